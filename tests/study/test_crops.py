"""Pictures and copies are cut to the faces around their landmarks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fomaug.augment import MotionAugment, MotionResult
from fomaug.geometry import identity_grid
from fomaug.labels import FaceLabels
from fomaug.study.augmentation import _to_copy, make_copies
from fomaug.study.data import StudyData, load_data
from fomaug.study.faces import ROOM, WIDE, cut, square_around
from fomaug.study.plan import StudyPlan

SIDE, PLACE = 96, np.array([[40.25, 40.25], [56.25, 40.25], [48.25, 52.25]])


@pytest.fixture
def people(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, Path]:
    """Write two pictures of each of two people, whose faces are at different places, and a file of their landmarks."""
    rows = ["file,x0,y0,x1,y1,x2,y2"]
    for person in ("a", "b"):
        (tmp_path / "faces" / person).mkdir(parents=True)
        for number in range(2):
            noise = rng.integers(0, 256, (SIDE // 4, SIDE // 4, 3), np.uint8).repeat(4, 0).repeat(4, 1)
            Image.fromarray(noise).save(tmp_path / "faces" / person / f"{number}.png")
            rows.append(f"{person}/{number}.png," + ",".join(f"{value}" for value in (PLACE + 3 * number).flatten()))
    (tmp_path / "landmarks.csv").write_text("\n".join(rows))
    return tmp_path / "faces", tmp_path / "landmarks.csv"


def load(people: tuple[Path, Path], **options: object) -> StudyData:
    return load_data(people[0], StudyPlan(annotations=str(people[1]), size=24, **options), features=False)  # type: ignore[arg-type]


def test_recognition_sees_the_squares_around_the_landmarks(people: tuple[Path, Path]) -> None:
    data = load(people)
    pixels = np.asarray(Image.open(people[0] / data.keys[0]))
    # 16 pixels are the longer side of the box of the landmarks.
    assert square_around(FaceLabels(points=PLACE)) == (37, 35, 61, 59)
    assert torch.equal(data.images[0], torch.from_numpy(pixels[35:59, 37:61].copy()).permute(2, 0, 1))
    assert data.points is None and data.class_names == ("a", "b")


def test_scenes_show_what_surrounds_the_face(people: tuple[Path, Path]) -> None:
    pixels, labels = load(people).scene(1)
    side = round(16 * WIDE)
    assert pixels.shape == (side, side, 3) and ROOM < WIDE
    assert labels is not None and labels.points is not None
    middle = (labels.points.min(0) + labels.points.max(0)) / 2
    np.testing.assert_allclose(middle, (side - 1) / 2, atol=0.5)
    tall = cut(
        np.asarray(Image.open(people[0] / "a" / "0.png")), square_around(FaceLabels(points=PLACE), 20, most=SIDE)
    )
    assert tall.shape == (SIDE, SIDE, 3)


def test_copies_that_do_not_move_are_the_inputs(people: tuple[Path, Path], still: MotionAugment) -> None:
    data = load(people)
    made = make_copies(still, data, range(4), copies=1, gates=False, progress=lambda _: None)
    assert torch.equal(made.images, data.images)


def test_copies_are_cut_around_their_own_landmarks(people: tuple[Path, Path]) -> None:
    data = load(people)
    pixels, labels = data.scene(0)
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
    grid = identity_grid(pixels.shape[:2])[None]
    step = 4
    # Every pixel of the copy is that of the source `step` pixels to the right: the face moves to the left.
    shift = torch.tensor([2.0 * step / (pixels.shape[1] - 1), 0.0])
    moved = MotionResult(image.roll(-step, 3), grid + shift, torch.ones(1, 1, *pixels.shape[:2]), [])
    copy = _to_copy(data, labels, moved, 0)
    assert torch.equal(copy.image, data.images[0])


def test_pictures_without_landmarks_are_named(people: tuple[Path, Path]) -> None:
    rows = people[1].read_text().splitlines()
    people[1].write_text("\n".join(rows[:-1]))
    assert load(people).skipped == (("b/1.png", "has no annotation"),)


def test_a_test_folder_is_cut_by_its_own_landmarks(people: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "val" / "a").mkdir(parents=True)
    Image.fromarray(np.asarray(Image.open(people[0] / "a" / "0.png"))[::-1]).save(tmp_path / "val" / "a" / "9.png")
    (tmp_path / "val.csv").write_text("file,x0,y0,x1,y1,x2,y2\na/9.png,40.25,54.75,56.25,54.75,48.25,42.75")
    data = load(people, test=str(tmp_path / "val"), test_annotations=str(tmp_path / "val.csv"))
    assert (data.num_own, data.num_test) == (4, 1)
    assert torch.equal(data.images[4].flip(1), data.images[0])
