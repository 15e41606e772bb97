from __future__ import annotations

import re
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

from fomaug import DrivingPool, Keypoints
from fomaug.driving import build as _build
from fomaug.driving import read_track
from fomaug.errors import ArgumentError, LabelError, MediaError, PoolError
from fomaug.media import read_clip, to_unit


@pytest.fixture
def clips(tmp_path: Path, media) -> Path:
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(5)]
    (tmp_path / "clips" / "happy").mkdir(parents=True)
    (tmp_path / "clips" / "sad").mkdir()
    media.write_video(tmp_path / "clips" / "happy" / "nod.mp4", frames)
    media.write_animation(tmp_path / "clips" / "sad" / "nod.gif", frames, duration=100)
    media.write_folder(tmp_path / "clips" / "sad" / "walk", frames[:3])
    return tmp_path / "clips"


def test_every_clip_becomes_a_track(clips: Path, tiny_model) -> None:
    pool = DrivingPool.from_clips(clips, tiny_model, crop="frame", batch_size=2)
    assert pool.names == ("happy/nod.mp4", "sad/nod.gif", "walk")
    assert [len(track) for track in pool] == [5, 5, 3]
    assert [track.fps for track in pool] == [25, 10, 25]
    assert pool.labels == (None, None, None)
    assert pool.skipped == ()
    assert (pool.model_name, pool.model_hash) == (tiny_model.name, tiny_model.hash)
    assert pool[0].clip_hash == read_clip(clips / "happy" / "nod.mp4").hash
    assert pool[0].facts == {"clip": "nod.mp4", "size": "64 x 64"}
    assert pool[0].crop is None
    pool.check_model(tiny_model)


def test_keypoints_are_those_of_the_frames_one_by_one(clips: Path, tiny_model) -> None:
    track = DrivingPool.from_clips(clips / "sad" / "walk", tiny_model, crop="frame", batch_size=2)[0]
    for row, frame in enumerate(read_clip(clips / "sad" / "walk")):
        alone = tiny_model.detect(to_unit(frame[None]))
        torch.testing.assert_close(track.keypoints[row].value, alone.value, rtol=0, atol=1e-5)
        torch.testing.assert_close(track.keypoints[row].jacobian, alone.jacobian, rtol=0, atol=1e-4)


def test_keypoints_are_in_the_frame_of_the_crop(clips: Path, tiny_model, media) -> None:
    frames = [np.pad(frame, ((8, 30), (50, 4), (0, 0))) for frame in read_clip(clips / "sad" / "walk")]
    wide = media.write_folder(clips.parent / "wide", frames)
    pool = DrivingPool.from_clips(wide, tiny_model, detector=lambda picture: [(64.2, 22.2, 99.8, 57.8)])
    assert pool[0].crop == (50, 8, 114, 72)
    assert "note" not in pool[0].facts
    plain = DrivingPool.from_clips(clips / "sad" / "walk", tiny_model, crop="frame")
    torch.testing.assert_close(pool[0].keypoints.value, plain[0].keypoints.value, rtol=0, atol=1e-5)


def test_a_face_that_is_missed_in_some_frames_is_noted(clips: Path, tiny_model) -> None:
    asked = count()

    def sees_it_on_a_second_look(picture: np.ndarray) -> list[tuple[int, ...]]:
        return [(8, 8, 24, 24)] if next(asked) not in (1, 2) else []

    track = DrivingPool.from_clips(clips / "sad" / "walk", tiny_model, detector=sees_it_on_a_second_look)[0]
    assert len(track) == 3
    assert track.crop is not None
    assert track.facts["note"] == "a face was found in 1 of 3 examined frames"


def test_a_clip_without_a_face_is_left_out_and_named(clips: Path, tiny_model) -> None:
    happy = read_clip(clips / "happy" / "nod.mp4")
    faces = {frame.tobytes() for frame in happy}

    def happy_ones(picture: np.ndarray) -> list[tuple[int, ...]]:
        return [(8, 8, 56, 56)] if picture.tobytes() in faces else []

    pool = DrivingPool.from_clips(clips, tiny_model, detector=happy_ones)
    assert [(track.name, len(track)) for track in pool] == [("happy/nod.mp4", 5)]
    assert [name for name, _ in pool.skipped] == ["sad/nod.gif", "walk"]
    reason = r"walk: no face was found in 3 examined frames; .* crop=\"frame\""
    assert re.search(reason, pool.skipped[1][1])
    with pytest.raises(PoolError, match=f"none of 1 clips can be used; the reason of the first: .*{reason}"):
        DrivingPool.from_clips(clips / "sad" / "walk", tiny_model, detector=happy_ones)
    with pytest.raises(MediaError, match=reason):
        DrivingPool.from_clips(clips / "sad" / "walk", tiny_model, detector=happy_ones, on_error="raise")
    assert len(DrivingPool.from_clips(clips / "sad" / "walk", tiny_model, crop="frame")[0]) == 3


def test_without_a_found_square_the_whole_frame_is_read(
    finder, media, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = [np.full((100, 150, 3), shade, np.uint8) for shade in (10, 20, 30, 40)]
    clip = media.write_folder(tmp_path / "clip", frames)
    with pytest.raises(PoolError, match="no face was found"):
        _build.tracks_from_clips(clip, finder, None, _build.BuildOptions())
    monkeypatch.setattr(_build, "is_steady", lambda _, picture: picture.mean() < 35)
    [track], _ = _build.tracks_from_clips(clip, finder, None, _build.BuildOptions())
    assert track.crop is None
    assert "the whole frame is used" in track.facts["note"]


def test_frames_without_a_face_are_left_out(finder, media, tmp_path: Path) -> None:
    """The clip is black at the start, in the middle and at the end, in sampled frames and in others."""
    black = np.zeros((100, 150, 3), np.uint8)
    faces = [finder.marked(60 + index % 5, 30, 40, (100, 150)) for index in range(32)]
    frames = [*[black] * 5, *faces[:20], *[black] * 2, *faces[20:], *[black] * 3]
    clip = media.write_folder(tmp_path / "clip", frames)
    [track], skipped = _build.tracks_from_clips(clip, finder, None, _build.BuildOptions())
    assert not skipped
    assert track.facts["note"].endswith("10 of 42 frames show no face and were left out")
    [pure], _ = _build.tracks_from_clips(
        media.write_folder(tmp_path / "pure", faces), finder, None, _build.BuildOptions()
    )
    assert len(track) == 32
    assert pure.crop == track.crop
    torch.testing.assert_close(track.keypoints.value, pure.keypoints.value)
    whole, notes = read_track(clip, finder)
    assert len(whole) == 42, "one clip is read as it is: its frames may be shown beside the result"
    assert "were left out" not in " ".join(notes)


def test_a_clip_with_the_face_in_all_frames_needs_no_face_test(
    finder, media, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_build, "is_steady", None)
    clip = media.write_folder(tmp_path / "clip", [finder.marked(60, 30, 40, (100, 150))] * 20)
    [track], _ = _build.tracks_from_clips(clip, finder, None, _build.BuildOptions())
    assert len(track) == 20


def test_a_clip_with_invalid_keypoints_is_left_out(clips: Path, tiny_model, monkeypatch) -> None:
    one_point = Keypoints(torch.zeros(1, 4, 2), torch.eye(2).expand(1, 4, 2, 2))
    detect = type(tiny_model).detect
    monkeypatch.setattr(
        type(tiny_model),
        "detect",
        lambda self, frames: one_point[[0] * 3] if len(frames) == 3 else detect(self, frames),
    )
    pool = DrivingPool.from_clips(clips, tiny_model, crop="frame")
    assert len(pool) == 2
    assert pool.skipped == (
        ("walk", "track 'walk': the keypoints of frame 0 span no area: all are at one point or on one line"),
    )


def test_labels_come_from_folders_files_and_mappings(clips: Path, tiny_model, tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("clip,label\nnod.gif,tilt\n")
    for labels, expected in (
        ("folders", ("happy", "sad", "sad")),
        ({"walk": "walk", "nod.mp4": "nod"}, ("nod", None, "walk")),
        (tmp_path / "labels.csv", (None, "tilt", None)),
    ):
        assert DrivingPool.from_clips(clips, tiny_model, crop="frame", labels=labels).labels == expected
    with pytest.raises(LabelError, match="no such clip"):
        DrivingPool.from_clips(clips, tiny_model, crop="frame", labels={"nope": "x"})


def test_a_bad_clip_is_left_out_and_named_or_raised(clips: Path, tiny_model) -> None:
    (clips / "bad.mp4").write_text("no video")
    pool = DrivingPool.from_clips(clips, tiny_model, crop="frame")
    assert len(pool) == 3
    assert [name for name, _ in pool.skipped] == ["bad"]
    assert "is not a video that can be read" in pool.skipped[0][1]
    with pytest.raises(MediaError, match=r"bad\.mp4 is not a video"):
        DrivingPool.from_clips(clips, tiny_model, crop="frame", on_error="raise")
    with pytest.raises(PoolError, match=r"none of 1 clips can be used; the reason of the first: .*bad\.mp4"):
        DrivingPool.from_clips(clips / "bad.mp4", tiny_model)


def test_damage_and_cuts_are_noted(clips: Path, tiny_model) -> None:
    (clips / "sad" / "walk" / "f1.png").write_bytes(b"")
    track = DrivingPool.from_clips(clips / "sad" / "walk", tiny_model, crop="frame")[0]
    assert "f1.png is left out" in track.facts["note"]
    assert len(track) == 2
    cut = DrivingPool.from_clips(clips / "happy", tiny_model, crop="frame", max_frames=2)[0]
    assert len(cut) == 2
    assert cut.facts["note"] == "only the first 2 frames were read"


def test_a_track_of_one_frame_is_noted(clips: Path, tiny_model) -> None:
    [still] = DrivingPool.from_clips(clips / "happy", tiny_model, crop="frame", max_frames=1)
    assert still.facts["note"].endswith("; the track has one frame and therefore no relative motion")


def test_a_pool_is_the_same_whatever_the_batch(clips: Path, tiny_model, tmp_path: Path) -> None:
    one, other = (
        DrivingPool.from_clips(clips, tiny_model, crop="frame", batch_size=size)[0].keypoints.value for size in (1, 16)
    )
    torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_several_roots_may_be_given(clips: Path, tiny_model) -> None:
    pool = DrivingPool.from_clips([clips / "happy", clips / "sad" / "walk"], tiny_model, crop="frame")
    assert pool.names == ("nod", "walk")


def test_a_clip_that_is_given_twice_is_refused(clips: Path, tiny_model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clips.parent)
    name = clips.name
    for given in ([clips, clips], [clips, clips / "happy" / "nod.mp4"], [f"{name}/sad/walk", clips]):
        with pytest.raises(
            ArgumentError, match=r"clips must be given once each, got .*(nod\.mp4|walk).* more than once"
        ):
            DrivingPool.from_clips(given, tiny_model, crop="frame")


def test_an_empty_folder_has_no_clips(tmp_path: Path, tiny_model) -> None:
    with pytest.raises(PoolError, match="there is no clip in"):
        DrivingPool.from_clips(tmp_path, tiny_model)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"crop": "faces"}, "crop must be one of face, frame, got 'faces'; did you mean 'face'"),
        ({"on_error": "ignore"}, "on_error must be one of skip, raise, got 'ignore'"),
        ({"batch_size": 0}, "batch_size must be 1 or more, got 0"),
        ({"max_frames": 0}, "max_frames must be 1 or more, got 0"),
    ],
)
def test_bad_options_are_refused(option: dict[str, object], message: str, clips: Path, tiny_model) -> None:
    with pytest.raises(ArgumentError, match=message):
        DrivingPool.from_clips(clips, tiny_model, **option)


def test_clips_of_another_kind_are_refused(tiny_model) -> None:
    with pytest.raises(ArgumentError, match="clips must be a clip, a folder of clips or a list of them, got None"):
        DrivingPool.from_clips(None, tiny_model)


def test_progress_is_shown_on_request(clips: Path, tiny_model, capsys: pytest.CaptureFixture[str]) -> None:
    DrivingPool.from_clips(clips, tiny_model, crop="frame")
    assert capsys.readouterr().err == ""
    DrivingPool.from_clips(clips, tiny_model, crop="frame", progress=True)
    assert "3/3" in capsys.readouterr().err


def test_one_clip_is_read_as_in_a_pool(clips: Path, tiny_model, capsys: pytest.CaptureFixture[str]) -> None:
    path = clips / "happy" / "nod.mp4"
    track, notes = read_track(path, tiny_model, crop="frame", max_frames=4, progress=True)
    pooled = DrivingPool.from_clips(path, tiny_model, crop="frame", max_frames=4)[0]
    assert (track.name, track.fps, track.clip_hash) == (pooled.name, pooled.fps, pooled.clip_hash)
    torch.testing.assert_close(track.keypoints.value, pooled.keypoints.value)
    assert notes == (), "that no more was read was asked for"
    assert "motion of nod" in capsys.readouterr().err
    with pytest.raises(MediaError, match=r"there is no clip .*none\.mp4"):
        read_track(clips / "none.mp4", tiny_model)


def test_large_frames_are_reduced_before_they_are_batched() -> None:
    assert _build._shrunk(np.zeros((2000, 1000, 3), np.uint8), 64).shape == (64, 32, 3)
    assert _build._shrunk(np.zeros((70, 90, 3), np.uint8), 64).shape == (50, 64, 3)
    small = np.zeros((30, 40, 3), np.uint8)
    assert _build._shrunk(small, 64) is small


@pytest.mark.parametrize("lengths", [[], [3], [16] * 11 + [5], [1, 2, 3, 4]])
def test_keypoints_are_joined_in_order(lengths: list[int]) -> None:
    whole = torch.arange(sum(lengths) * 4.0).view(-1, 2, 2)
    parts = [Keypoints(part) for part in torch.split(whole, lengths)] if lengths else []
    joined = _build._joined(iter(parts))
    if joined is None:
        assert not lengths
    else:
        torch.testing.assert_close(joined.value, whole, atol=0, rtol=0)
