from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from fomaug import Animator, DrivingPool, transfer
from fomaug.driving import closest_frame
from fomaug.errors import ArgumentError, FomaugError, MediaError
from fomaug.geometry import target_keypoints
from fomaug.media import read_mark, save_image
from fomaug.visual import animate as _render
from fomaug.visual import animate_clip


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_every_frame_is_the_picture_moved_as_the_clip_moves(
    tiny_model: Animator, image: Path, clip: Path, tmp_path: Path
) -> None:
    found = frames_of(animate_clip(image, clip, tmp_path / "out.mp4", model=tiny_model, crop="frame"))
    track = DrivingPool.from_clips(clip, tiny_model, crop="frame")[0]
    pixels = torch.from_numpy(np.asarray(Image.open(image)).copy()).permute(2, 0, 1)[None] / 255
    source = tiny_model.encode(pixels)
    reference = track.keypoints[int(closest_frame(track, source.keypoints)[0])]
    assert len(found) == len(track) == 11
    for i, frame in enumerate(found):
        moved = tiny_model.animate(source, transfer(source.keypoints, track.keypoints[i], reference))
        wanted = moved.image[0].permute(1, 2, 0).numpy() * 255
        assert np.abs(frame.mean(2) - wanted.mean(2)).mean() < 4  # the codec's loss


@pytest.mark.parametrize("suffix", ["mp4", "gif", "webp"])
def test_videos_are_marked(tiny_model: Animator, image: Path, clip: Path, tmp_path: Path, suffix: str) -> None:
    out = animate_clip(image, clip, tmp_path / f"out.{suffix}", model=tiny_model, max_frames=3)
    mark = read_mark(out)
    assert (mark.synthetic, mark.model) == (True, "tiny")


@pytest.mark.parametrize("overlay", [None, "keypoints", "flow", "occlusion"])
def test_compare_shows_source_clip_and_result(
    tiny_model: Animator, image: Path, clip: Path, tmp_path: Path, overlay: str | None
) -> None:
    options = {"model": tiny_model, "compare": True, "overlay": overlay, "crop": "frame", "max_frames": 3}
    (first, *_, last) = frames_of(animate_clip(image, clip, tmp_path / "out.mp4", **options))
    assert first.shape == (48, 40 + 4 + 48 + 4 + 40, 3)
    assert np.abs(first[:, :36].astype(int) - last[:, :36]).mean() < 6, "the source stands still"


def test_strength_zero_returns_the_picture(
    tiny_model: Animator, image: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def target(source, driving, reference, mode, names, strength):
        seen.append((mode.relative, strength))
        return target_keypoints(source, driving, reference, mode, names, strength)

    monkeypatch.setattr(_render, "target_keypoints", target)
    animate_clip(image, clip, tmp_path / "out.mp4", model=tiny_model, strength=0.0, relative=False, batch_size=4)
    assert seen == [(False, 0.0)] * 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"overlay": "flwo"}, ArgumentError, "did you mean 'flow'"),
        ({"strenght": 1}, ArgumentError, "did you mean 'strength'"),
        ({"strength": -1}, ArgumentError, "strength must be 0 or more"),
        ({"reference": 99}, ArgumentError, "reference is frame 99, but the clip has 11"),
        ({"image": "nowhere.png"}, MediaError, r"nowhere\.png does not exist; give a picture or a clip"),
        ({"clip": "nowhere.mp4"}, MediaError, r"nowhere\.mp4"),
        ({"out": "out.txt"}, ArgumentError, "suffix must be one of"),
    ],
)
def test_mistakes_are_named_and_leave_no_file(
    tiny_model: Animator, image: Path, clip: Path, tmp_path: Path, options: dict, error: type, message: str
) -> None:
    arguments = {"image": image, "clip": clip, "out": tmp_path / "out.mp4", "model": tiny_model, **options}
    with pytest.raises(error, match=message):
        animate_clip(**arguments)
    assert not (tmp_path / "out.mp4").exists()


def test_grey_and_transparent_pictures_can_be_animated(
    tiny_model: Animator, clip: Path, tmp_path: Path, rng: np.random.Generator
) -> None:
    for channels in ((), (2,), (4,)):
        image = save_image(tmp_path / "b.png", rng.integers(0, 256, (32, 32, *channels), np.uint8))
        out = animate_clip(image, clip, tmp_path / "out.mp4", model=tiny_model, max_frames=1, crop="frame")
        assert frames_of(out)[0].shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("image", "out", "said"),
    [
        ("nowhere.png", "out.mp4", "nowhere.png does not exist; give a picture or a clip"),
        (".", "out.xyz", "cannot write 'out.xyz': its suffix must be one of .mp4, .gif, .webp"),
        (".", ".", "is a folder; name the file to write"),
        (".", "clip.mp4", "is also the input .*; give another path for the result"),
        ("clip.mp4", "./clip.mp4", "is also the input .*; give another path for the result"),
    ],
)
def test_impossible_requests_are_errors_before_the_clip_is_read(
    tiny_model: Animator, tmp_path: Path, image: str, out: str, said: str
) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"no clip, which would be said if it were read")
    with pytest.raises(FomaugError, match=said):
        animate_clip(tmp_path / image, tmp_path / "clip.mp4", tmp_path / out, model=tiny_model)
    assert (tmp_path / "clip.mp4").read_bytes().startswith(b"no clip")
