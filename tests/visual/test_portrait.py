from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomaug import Animator
from fomaug.driving import read_track
from fomaug.errors import ArgumentError
from fomaug.faces import face_square
from fomaug.media import read_mark, save_image
from fomaug.visual import AnimateOptions, animate_clip
from fomaug.visual.inputs import choose_frame, read_motion, read_portrait


def ignore(_: str) -> None:
    pass


def portrait(path: Path, model: Animator, **options: object):
    frame = options.pop("frame", None)
    return read_portrait(path, model, AnimateOptions(**options), frame=frame, on_note=ignore)


@pytest.fixture(scope="module")
def photograph(face: Path, tmp_path_factory) -> Path:
    """Return a large picture that contains a face."""
    whole = np.full((500, 620, 3), (90, 120, 150), np.uint8)
    whole += np.random.default_rng(0).integers(0, 30, (500, 620, 1), np.uint8)
    whole[60:316, 200:456] = np.asarray(Image.open(face).convert("RGB").resize((256, 256)))
    return save_image(tmp_path_factory.mktemp("photograph") / "p.png", whole)


def test_a_face_that_fills_its_picture_is_animated_whole(face_model, face) -> None:
    assert portrait(face, face_model).square is None


def test_a_face_in_a_photograph_is_found(face_model, photograph) -> None:
    square = portrait(photograph, face_model).square
    assert square is not None
    middle = ((square.left + square.right) / 2, (square.top + square.bottom) / 2)
    assert np.abs(np.array(middle) - (328, 188)).max() < 40
    assert 150 < max(square.size) < 330


def test_whole_means_whole_and_a_box_is_the_face(face_model, photograph) -> None:
    assert portrait(photograph, face_model, face="whole").square is None
    found = portrait(photograph, face_model, face=(260, 110, 130, 150))
    assert found.square == face_square((260, 110, 390, 260), (500, 620))
    assert found.source.image.shape[2:] == found.square.size
    with pytest.raises(ArgumentError, match=r"covers too little of .*p\.png, a picture of 620 x 500 pixels"):
        portrait(photograph, face_model, face=(900, 900, 50, 50))


def test_a_picture_without_a_face_is_animated_whole_with_a_note(face_model, tmp_path) -> None:
    path = save_image(tmp_path / "wall.png", np.full((64, 64, 3), 128, np.uint8))
    notes: list[str] = []
    assert read_portrait(path, face_model, AnimateOptions(), frame=None, on_note=notes.append).square is None
    assert notes == [f"{path}: no face was found, so the whole picture is animated"]


def test_only_the_face_moves_at_the_size_of_the_photograph(face_model, photograph, other_face, tmp_path) -> None:
    out = animate_clip(photograph, other_face, tmp_path / "out.png", model=face_model, on_note=ignore)
    before, after = np.asarray(Image.open(photograph)), np.asarray(Image.open(out))
    assert before.shape == after.shape
    square = portrait(photograph, face_model).square
    changed = np.abs(before.astype(int) - after).max(2)
    inside = changed[square.top : square.bottom, square.left : square.right].copy()
    changed[square.top : square.bottom, square.left : square.right] = 0
    assert not changed.any()
    assert inside.max() > 30
    assert read_mark(out).source_type == "compositeWithTrainedAlgorithmicMedia"


def test_overlays_and_comparisons_show_the_photograph(face_model, photograph, other_face, tmp_path) -> None:
    out = animate_clip(
        photograph, other_face, tmp_path / "out.png", model=face_model, compare=True, overlay="keypoints"
    )
    shown, before = np.asarray(Image.open(out)), np.asarray(Image.open(photograph))
    assert shown.shape[0] == 500
    np.testing.assert_array_equal(shown[:, :620], before)
    right = shown[:, -620:]
    np.testing.assert_array_equal(right[400:], before[400:])
    assert np.abs(right.astype(int) - before).max() > 100, "discs of bright colours"


@pytest.fixture
def video(tmp_path: Path, media) -> Path:
    return media.write(tmp_path / "source.mp4", media.stripes(8))


def test_a_frame_of_a_video_is_a_picture(tiny_model, video, media) -> None:
    for frame in (0, 5):
        found = portrait(video, tiny_model, frame=frame)
        assert np.abs(found.pixels.astype(int) - media.frames_of(video)[frame]).mean() < 2
    with pytest.raises(ArgumentError, match=r"source_frame is 8, but .*source\.mp4 has 8, from 0 to 7"):
        portrait(video, tiny_model, frame=8)


def test_the_frame_of_a_video_that_is_posed_like_the_clip_is_chosen(tiny_model, video, tmp_path, media) -> None:
    other = media.write(tmp_path / "driving.mp4", [media.stripes(8)[5], media.stripes(8)[6]])
    settings = AnimateOptions(crop="frame", reference="first")
    motion = read_motion(other, tiny_model, settings, on_note=ignore, progress=False)

    def track():
        return read_track(video, tiny_model, crop="frame")[0]

    assert choose_frame(video, motion, settings, track) == 5
    assert choose_frame(video, motion, AnimateOptions(reference=1), track) == 6
    assert choose_frame(video, motion, AnimateOptions(source_frame="first"), track) == 0
    assert choose_frame(video, motion, AnimateOptions(source_frame=3), track) == 3
    assert choose_frame(tmp_path / "a.png", motion, settings, track) is None


def test_videos_and_folders_can_be_animated(tiny_model, video, clip, tmp_path, media) -> None:
    folder = tmp_path / "frames"
    for i, frame in enumerate(media.stripes(3)):
        save_image(folder / f"{i}.png", frame)
    for source in (video, folder):
        out = animate_clip(source, clip, tmp_path / "out.mp4", model=tiny_model, crop="frame", on_note=ignore)
        assert media.frames_of(out)[0].shape == (64, 64, 3)
