from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomaug import Animator, load_model
from fomaug.errors import ArgumentError, ShapeError
from fomaug.faces import face_boxes

BLANK = np.zeros((120, 160, 3), np.uint8)
FACES = Path(__file__).parents[2] / "examples/faces"


def test_the_face_is_found(finder) -> None:
    [box] = face_boxes(finder.marked(90, 60, 70), finder)
    assert (box[0] + box[2]) / 2 == pytest.approx(125, abs=4)
    assert (box[1] + box[3]) / 2 == pytest.approx(95, abs=4)


def test_where_nothing_is_nothing_is_found(finder) -> None:
    assert face_boxes(BLANK, finder) == []


def test_a_detector_is_asked_instead(tiny_model: Animator) -> None:
    asked = []

    def detector(picture: np.ndarray) -> np.ndarray:
        asked.append(picture)
        return np.array([[1, 2, 30, 40, 0.9], [5, 6, 70, 80, 0.8]])

    assert face_boxes(BLANK, tiny_model, detector=detector) == [(1, 2, 30, 40), (5, 6, 70, 80)]
    assert asked[0] is BLANK


def test_a_model_that_knows_no_face_needs_a_detector(tiny_model: Animator) -> None:
    with pytest.raises(ArgumentError, match=r"'tiny' does not know .*give a detector"):
        face_boxes(BLANK, tiny_model)


@pytest.mark.parametrize("picture", [BLANK[..., 0], BLANK[..., :2], BLANK / 255.0])
def test_only_pictures_are_searched(finder, picture: np.ndarray) -> None:
    with pytest.raises(ShapeError, match=r"\(H, W, 3\) uint8"):
        face_boxes(picture, finder)


def test_boxes_have_four_edges(finder) -> None:
    with pytest.raises(ShapeError, match=r"got \(1, 2, 3\)"):
        face_boxes(BLANK, finder, detector=lambda picture: [(1, 2, 3)])


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
