from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fomaug.errors import ArgumentError, MediaError
from fomaug.media import DamagedClipWarning, open_video
from fomaug.training.config import AugmentParams
from fomaug.training.pairs import ClipPairs, epoch_order, open_clips, vary


def strip(path: Path, frames: int = 5, side: int = 16) -> None:
    picture = np.zeros((side, side * frames, 3), np.uint8)
    for i in range(frames):
        picture[:, i * side : (i + 1) * side] = 10 * i
    Image.fromarray(picture).save(path)


def test_frames_side_by_side_are_a_clip(tmp_path: Path) -> None:
    strip(tmp_path / "a.png")
    (clip,) = open_clips(tmp_path)
    assert clip.count == 5
    assert [int(frame[0, 0, 0]) for frame in clip.take([1, 4])] == [10, 40]


def test_gifs_and_folders_are_clips(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (16, 16), (40 * i, 0, 0)) for i in range(4)]
    (tmp_path / "gifs").mkdir()
    frames[0].save(tmp_path / "gifs" / "a.gif", save_all=True, append_images=frames[1:], duration=40)
    (tmp_path / "folder").mkdir()
    for i, frame in enumerate(frames):
        frame.save(tmp_path / "folder" / f"{i}.png")
    assert sorted((clip.name, clip.count) for clip in open_clips(tmp_path)) == [("a", 4), ("folder", 4)]


def test_pairs_depend_on_seed_epoch_and_index_alone(moving_shapes: Path) -> None:
    clips = open_clips(moving_shapes)
    augment = AugmentParams(horizontal_flip=True, time_flip=True, brightness=0.2, hue=0.1)
    options = {"size": 32, "augment": augment, "num_repeats": 3, "seed": 7}
    first, second = ClipPairs(clips, **options), ClipPairs(clips, **options)
    assert len(first) == 12
    second[3]
    for ours, theirs in zip(first[5], second[5], strict=True):
        assert ours.shape == (3, 32, 32)
        assert ours.equal(theirs)
    assert not first[5][0].equal(ClipPairs(clips, **options, epoch=1)[5][0])


def test_clips_of_a_person_count_once(tmp_path: Path) -> None:
    for name in ("anchor#1", "anchor#2", "other#1"):
        strip(tmp_path / f"{name}.png")
    clips = open_clips(tmp_path)
    assert len(ClipPairs(clips, size=16, augment=AugmentParams())) == 3
    assert len(ClipPairs(clips, size=16, augment=AugmentParams(), id_sampling=True)) == 2


def test_each_clip_of_a_person_is_drawn(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        Image.new("RGB", (32, 16), (60 * number, 0, 0)).save(tmp_path / f"anchor#{number}.png")
    pairs = ClipPairs(open_clips(tmp_path), size=16, augment=AugmentParams(), id_sampling=True, num_repeats=40)
    drawn = [tuple(round(float(frame[0].mean()) * 255) for frame in pairs[i]) for i in range(len(pairs))]
    assert {first for first, _ in drawn} == {60, 120, 180}
    assert all(first == second for first, second in drawn)  # both frames of one clip


@pytest.mark.parametrize("suffix", [".mp4", ".gif"])
def test_videos_return_the_requested_frames(tmp_path: Path, suffix: str) -> None:
    with open_video(tmp_path / f"a{suffix}", fps=10) as video:
        for i in range(6):
            video.write(np.full((32, 32, 3), 40 * i, np.uint8))
    (clip,) = open_clips(tmp_path)
    assert (clip.name, clip.count) == ("a", 6)
    assert [float(frame.mean()) for frame in clip.take([0, 2, 2, 5])] == pytest.approx([0, 80, 80, 200], abs=4)


def test_time_flip_swaps_half_of_the_pairs_and_mirroring_takes_both_frames() -> None:
    first, second = torch.rand(2, 3, 8, 8)
    swapped = mirrored = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        source, driving = vary(first, second, AugmentParams(time_flip=True, horizontal_flip=True), rng=rng)
        turned = source.equal(first.flip(-1)) or source.equal(second.flip(-1))
        if turned:
            source, driving = source.flip(-1), driving.flip(-1)
        assert (source.equal(first) and driving.equal(second)) or (source.equal(second) and driving.equal(first))
        swapped += source.equal(second)
        mirrored += turned
    assert 70 < swapped < 130 and 70 < mirrored < 130


def test_ranks_share_an_epoch_without_overlap() -> None:
    parts = [list(epoch_order(11, 0, 3, rank, 3)) for rank in range(3)]
    assert [len(part) for part in parts] == [3, 3, 3]
    assert len({index for part in parts for index in part}) == 9


def test_colours_change_both_frames_alike_and_nothing_changes_by_default() -> None:
    frame = torch.rand(3, 8, 8)
    rng = np.random.default_rng(0)
    assert all(out.equal(frame) for out in vary(frame, frame, AugmentParams(), rng=rng))
    jitter = AugmentParams(brightness=0.3, contrast=0.3, saturation=0.3, hue=0.2)
    source, driving = vary(frame, frame, jitter, rng=rng)
    assert source.equal(driving)
    assert not source.equal(frame)


def test_a_whole_turn_of_the_hue_changes_nothing() -> None:
    from fomaug.training.pairs import _turn_hue

    pair = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(_turn_hue(pair, 2 * np.pi), pair, atol=1e-5, rtol=0)


def test_zoom_keeps_the_size_and_moves_both_frames_alike() -> None:
    frame = torch.rand(3, 16, 16)
    for ratio in (0.8, 1.25):
        params = AugmentParams(zoom_range=(ratio, ratio))
        source, driving = vary(frame, frame, params, rng=np.random.default_rng(0))
        assert source.shape == frame.shape
        assert source.equal(driving)
        assert not source.equal(frame)
    with pytest.raises(ArgumentError, match="zoom_range"):
        AugmentParams(zoom_range=(1.1, 0.9))


def test_videos_and_frames_side_by_side_are_both_used(tmp_path: Path) -> None:
    strip(tmp_path / "strip.png")
    frames = [Image.new("RGB", (16, 16), (40 * i, 0, 0)) for i in range(3)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:], duration=40)
    frames[0].save(tmp_path / "animated.png", save_all=True, append_images=frames[1:], duration=40)
    assert sorted((clip.name, clip.count) for clip in open_clips(tmp_path)) == [
        ("animated", 3),
        ("film", 3),
        ("strip", 5),
    ]


def test_frames_of_a_folder_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    for i in (0, 2, 10):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / "clip" / f"{i}.png")
    (clip,) = open_clips(tmp_path)
    assert [int(frame[0, 0, 0]) for frame in clip.take([0, 1, 2])] == [0, 2, 10]


def test_a_video_with_a_broken_end_has_the_frames_that_can_be_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = [Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)) for _ in range(8)]
    path = tmp_path / "a.gif"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=40)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.warns(DamagedClipWarning):
        (clip,) = open_clips(tmp_path)
    assert 2 <= clip.count < 8
    assert len(clip.take([0, clip.count - 1])) == 2


@pytest.mark.parametrize(
    ("mode", "colour"),
    [("L", 100), ("RGBA", (100, 100, 100, 255)), ("I;16", 100 * 257), ("P", 0)],
)
def test_frames_of_any_number_of_channels_are_rgb(tmp_path: Path, mode: str, colour: object) -> None:
    (tmp_path / "clip").mkdir()
    for i in range(2):
        picture = Image.new(mode, (16, 16), colour)
        if mode == "P":
            picture.putpalette([100] * 768)
        picture.save(tmp_path / "clip" / f"{i}.png")
    (clip,) = open_clips(tmp_path)
    assert all(frame.shape == (16, 16, 3) and (frame == 100).all() for frame in clip.take([0, 1]))


def test_frames_of_changing_size_make_pairs_of_one_size(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    for i, size in enumerate([(16, 16), (40, 20), (9, 30)]):
        Image.new("RGB", size, (200, 0, 0)).save(tmp_path / "clip" / f"{i}.png")
    pairs = ClipPairs(open_clips(tmp_path), size=32, augment=AugmentParams(), num_repeats=6)
    assert {frame.shape for i in range(6) for frame in pairs[i]} == {(3, 32, 32)}


def test_clips_of_one_frame_are_refused_and_named(tmp_path: Path) -> None:
    for i in range(7):
        Image.new("RGB", (16, 16)).save(tmp_path / f"{i}.png")
    with pytest.raises(MediaError, match="got one in 0, 1, 2, 3, 4 and 2 more"):
        open_clips(tmp_path)


def test_files_that_are_no_clips_are_named(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="which is not a folder"):
        open_clips(tmp_path / "nothing")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(MediaError, match=r"bad\.png cannot be read"):
        open_clips(tmp_path)
    Image.new("RGB", (20, 16)).save(tmp_path / "bad.png")
    with pytest.raises(MediaError, match="must be a multiple of the height"):
        open_clips(tmp_path)
