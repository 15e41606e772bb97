from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fomaug import Animator, load_model
from fomaug.errors import ArgumentError, ShapeError
from fomaug.faces import FaceTracker, face_boxes
from fomaug.faces import search as _search
from fomaug.faces.canonical import mean_mesh, mesh_keypoints

BLANK = np.zeros((120, 160, 3), np.uint8)
FACE = mesh_keypoints(mean_mesh()[None]).value
FACES = Path(__file__).parents[2] / "examples/faces"


def test_the_face_is_found(finder) -> None:
    [box] = face_boxes(finder.marked(90, 60, 70), finder)
    assert (box[0] + box[2]) / 2 == pytest.approx(125, abs=4)
    assert (box[1] + box[3]) / 2 == pytest.approx(95, abs=4)


def test_no_face_is_found_in_an_empty_picture(finder) -> None:
    assert face_boxes(BLANK, finder) == []


def test_a_detector_is_used_instead(tiny_model: Animator) -> None:
    asked = []

    def detector(picture: np.ndarray) -> np.ndarray:
        asked.append(picture)
        return np.array([[1, 2, 30, 40, 0.9], [5, 6, 70, 80, 0.8]])

    assert face_boxes(BLANK, tiny_model, detector=detector) == [(1, 2, 30, 40), (5, 6, 70, 80)]
    assert asked[0] is BLANK


def test_models_without_known_face_points_need_a_detector(tiny_model: Animator) -> None:
    with pytest.raises(ArgumentError, match=r"model 'tiny' are not known points of the face.*give a detector"):
        face_boxes(BLANK, tiny_model)


@pytest.mark.parametrize("picture", [BLANK[..., 0], BLANK[..., :2], BLANK / 255.0])
def test_only_pictures_are_searched(finder, picture: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"\(H, W, 3\) uint8"):
        face_boxes(picture, finder)


@pytest.mark.parametrize("found", [[(1, 2, 3)], None, "left", [1, 2, 3, 4], 7])
def test_detectors_must_return_boxes(finder, found: Any) -> None:
    with pytest.raises(ShapeError, match=r"a detector must return a list of boxes .*, got ") as caught:
        face_boxes(BLANK, finder, detector=lambda picture: found)
    assert repr(found) in str(caught.value)


@pytest.fixture(scope="module")
def lite() -> Animator:
    return load_model("lite-256", device="cpu")


def test_the_shipped_model_finds_every_face(lite: Animator) -> None:
    rows, columns = np.mgrid[:300, :560]
    wall = np.stack([rows // 2 + 40, columns // 4 + 40, (rows + columns) // 6 + 30], -1).astype(np.uint8)
    corners = [(40, 50), (320, 70)]
    for (left, top), path in zip(corners, ["mona_lisa/leonardo.jpg", "person_b"], strict=True):
        file = FACES / path if path.endswith("jpg") else sorted((FACES / path).iterdir())[0]
        wall[top : top + 200, left : left + 200] = np.asarray(Image.open(file).convert("RGB").resize((200, 200)))
    found = sorted(face_boxes(wall, lite))
    assert len(found) == 2
    for box, (left, top) in zip(found, corners, strict=True):
        assert left < box[0] < left + 100 < box[2] < left + 200
        assert top < box[1] < top + 100 < box[3] < top + 200


def test_the_shipped_model_finds_no_face_in_stripes_and_noise(lite: Animator, rng: np.random.Generator) -> None:
    rows, columns = np.mgrid[:128, :128]
    stripes = np.where((rows + columns) % 20 < 10, 60, 190).astype(np.uint8)
    for picture in (np.repeat(stripes[..., None], 3, 2), rng.integers(0, 256, (128, 128, 3), np.uint8)):
        assert face_boxes(picture, lite) == []


@pytest.mark.parametrize(("left", "top", "side"), [(150, 60, 40), (10, 5, 60), (250, 150, 45), (60, 20, 160)])
def test_the_face_is_found_wherever_it_is(left: int, top: int, side: int, finder) -> None:
    [box] = FaceTracker(finder)(finder.marked(left, top, side))
    assert (box[1] + box[3]) / 2 == pytest.approx(top + side / 2, abs=0.05 * side)
    assert (box[0] + box[2]) / 2 == pytest.approx(left + side / 2, abs=0.05 * side)
    assert box[3] - box[1] == pytest.approx(side, rel=0.08)


def test_a_small_face_in_a_large_picture_is_found(finder) -> None:
    [box] = FaceTracker(finder)(finder.marked(700, 300, 150, (720, 1280)))
    assert (box[0] + box[2]) / 2 == pytest.approx(775, abs=5)
    assert (box[1] + box[3]) / 2 == pytest.approx(375, abs=5)


def test_the_search_starts_at_the_last_face(finder) -> None:
    tracker = FaceTracker(finder)
    tracker(finder.marked(150, 60, 40))
    first, finder.frames = finder.frames, 0
    assert tracker(finder.marked(154, 62, 40))
    assert finder.frames <= 8 < first
    [box] = tracker(finder.marked(20, 140, 40))
    assert (box[0] + box[2]) / 2 == pytest.approx(40, abs=2)


def test_detections_that_change_in_a_closer_square_are_rejected(finder) -> None:
    tracker = FaceTracker(finder)
    finder._find = lambda frame: FACE[0] * 0.5  # half as large in every view
    assert tracker(np.zeros((200, 300, 3), np.uint8)) == []


def test_points_in_another_arrangement_are_rejected(finder) -> None:
    assert FaceTracker(finder)(np.zeros((200, 300, 3), np.uint8)) == []
    assert _search._deviation(FACE * 0.3 + 0.2) == pytest.approx([0.0], abs=1e-5)
    assert _search._deviation(torch.rand(FACE.shape, generator=torch.Generator().manual_seed(0)))[0] > 0.3


@pytest.mark.parametrize("size", [(64, 64), (90, 160), (400, 100), (7, 5)])
def test_the_squares_cover_the_frame(size: tuple[int, int]) -> None:
    windows = list(_search._windows(*size))
    for share in (1.0, *_search._WINDOW_SHARES):
        seen = np.zeros(size, bool)
        for left, top, right, bottom in windows:
            assert right - left == bottom - top
            if right - left == max(1, round(share * min(size))):
                seen[top:bottom, left:right] = True
        assert seen.all()
    assert len(windows) < 150
