from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fomaug import transfer
from fomaug.driving import neutral_like
from fomaug.errors import ArgumentError
from fomaug.media import save_image
from fomaug.visual import AnimateOptions, animate_clip
from fomaug.visual.inputs import read_motion


def test_a_driving_picture_makes_a_picture(face_model, face, other_face, tmp_path) -> None:
    out = animate_clip(face, other_face, tmp_path / "out.png", model=face_model)
    pixels = torch.from_numpy(np.asarray(Image.open(face).convert("RGB")).copy()).permute(2, 0, 1)[None] / 255
    source = face_model.encode(pixels)
    settings = AnimateOptions()
    driving = read_motion(other_face, face_model, settings, on_note=lambda _: None, progress=False).track.keypoints
    moved = transfer(source.keypoints, driving, neutral_like(source.keypoints, driving, face_model))
    wanted = (face_model.animate(source, moved).image[0].permute(1, 2, 0) * 255).round().numpy()
    assert np.abs(np.asarray(Image.open(out)).astype(int) - wanted).max() <= 1


def test_a_video_of_a_driving_picture_moves_to_its_pose(face_model, face, other_face, tmp_path, media) -> None:
    before = np.asarray(Image.open(face).convert("RGB")).astype(int)
    frames = media.frames_of(animate_clip(face, other_face, tmp_path / "out.mp4", model=face_model))
    still = np.asarray(Image.open(animate_clip(face, other_face, tmp_path / "out.png", model=face_model))).astype(int)
    assert len(frames) == 25
    for frame, near, far in ((frames[0], before, still), (frames[-1], still, before)):
        assert np.abs(frame - near).mean() < np.abs(frame - far).mean()


def test_absolute_transfer_uses_the_driving_points_unchanged(tiny_model, image, tmp_path, rng) -> None:
    other = save_image(tmp_path / "d.png", rng.integers(0, 256, (64, 64, 3), np.uint8))
    out = animate_clip(image, other, tmp_path / "out.png", model=tiny_model, crop="frame", relative=False)
    pixels = torch.from_numpy(np.asarray(Image.open(image)).copy()).permute(2, 0, 1)[None] / 255
    driving = tiny_model.detect(torch.from_numpy(np.asarray(Image.open(other)).copy()).permute(2, 0, 1)[None] / 255)
    wanted = (tiny_model.animate(tiny_model.encode(pixels), driving).image[0].permute(1, 2, 0) * 255).round().numpy()
    assert np.abs(np.asarray(Image.open(out)).astype(int) - wanted).max() <= 1


def test_a_clip_cannot_make_a_picture(tiny_model, image, clip, tmp_path) -> None:
    with pytest.raises(ArgumentError, match=r"the result of the clip .*clip\.mp4 must be an \.mp4, \.gif or \.webp"):
        animate_clip(image, clip, tmp_path / "out.png", model=tiny_model, crop="frame")
    assert not (tmp_path / "out.png").exists()


def test_a_region_moves_alone(face_model, face, other_face, tmp_path) -> None:
    before = np.asarray(Image.open(face).convert("RGB")).astype(int)
    amount, row = {}, {}
    for region in ("all", "mouth", "eyes"):
        out = animate_clip(face, other_face, tmp_path / f"{region}.png", model=face_model, region=region)
        change = np.square(np.asarray(Image.open(out)).astype(float) - before).sum((1, 2))
        amount[region], row[region] = change.sum(), (change * np.arange(len(change))).sum() / change.sum()
    assert max(amount["mouth"], amount["eyes"]) < amount["all"]
    assert row["eyes"] < row["mouth"] - 10


def test_a_region_needs_a_model_that_names_its_points(tiny_model, image, clip, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="names its keypoints"):
        animate_clip(image, clip, tmp_path / "out.mp4", model=tiny_model, crop="frame", region="mouth")
    assert not (tmp_path / "out.mp4").exists()
