from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from fomaug import Animator, DrivingPool, MotionAugment, MotionParams, warp
from fomaug.convert import ConvertReport, convert
from fomaug.expand import expand
from fomaug.media import read_picture, save_image

SIZES = {"anna/1.png": (48, 48), "anna/2.png": (40, 56), "ben/1.png": (48, 48), "ben/2.jpg": (48, 48)}


def make_face(seed: int, size: tuple[int, int]) -> np.ndarray:
    """Draw a smooth picture that depends on the seed."""
    small = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8))
    return np.asarray(small.resize(size[::-1], Image.Resampling.BICUBIC))


def landmarks(key: str, count: int) -> np.ndarray:
    """Draw landmarks in the middle of a picture that depend on its key."""
    rng = np.random.default_rng(sum(key.encode()) + count)
    return rng.uniform(12, 32, (count, 2)).round(2)


class Labelled(NamedTuple):
    """A small annotated dataset, its expansion, and the expected labels of every picture."""

    faces: Path
    out: Path
    rows: list[dict]
    replay: Callable[[dict], torch.Tensor]

    def points(self, key: str, count: int, row: dict | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Return the expected landmarks (P, 2) and their visibility; those of a copy are moved by its flow."""
        given = landmarks(key, count)
        if row is None:
            return given, np.ones(count, bool)
        moved, seen = warp.points(torch.from_numpy(given)[None], self.replay(row).double(), size=tuple(row["size"]))
        return moved[0].numpy(), seen[0].numpy()

    def box(self, key: str, row: dict | None = None) -> np.ndarray:
        """Return the expected box (x0, y0, x1, y1) of the face as pixel edges."""
        edges = torch.tensor([BOXES[key]], dtype=torch.float64)
        if row is None:
            return edges[0].numpy()
        centres = warp.edges_to_centres(edges)
        moved, _ = warp.boxes(centres[None], self.replay(row).double(), size=tuple(row["size"]))
        return warp.centres_to_edges(moved[0])[0].numpy()

    def each(self) -> list[tuple[str, dict | None]]:
        """List (key of the source, row of the copy or None) for every picture, originals first."""
        return [*((key, None) for key in SIZES), *((row["source"], row) for row in self.rows)]


BOXES = {
    "anna/1.png": [8.0, 10.0, 36.0, 40.0],
    "anna/2.png": [10.0, 8.0, 40.0, 34.0],
    "ben/1.png": [6.0, 6.0, 30.0, 38.0],
    "ben/2.jpg": [12.0, 9.0, 41.0, 37.0],
}


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """Write four pictures of two persons; one picture has another size."""
    for seed, (name, size) in enumerate(SIZES.items()):
        (tmp_path / "faces" / name).parent.mkdir(parents=True, exist_ok=True)
        save_image(tmp_path / "faces" / name, make_face(seed, size))
    return tmp_path / "faces"


@pytest.fixture
def labelled(faces: Path, tmp_path: Path, tiny_model: Animator, tiny_pool: DrivingPool) -> Callable[..., Labelled]:
    """Annotate the faces with boxes and a number of landmarks, and expand them."""

    def make(count: int = 5, **options: object) -> Labelled:
        annotations = tmp_path / "annotations.json"
        annotations.write_text(json.dumps(coco_of(count)))
        options = {"gates": "off", "copies": 2, "annotations": str(annotations), **options}
        expand(faces, tmp_path / "out", driving=tiny_pool, model=tiny_model, **options)
        rows = [json.loads(line) for line in (tmp_path / "out" / "manifest.jsonl").read_text().splitlines()]
        augment = MotionAugment(driving=tiny_pool, model=tiny_model)

        def replay(row: dict) -> torch.Tensor:
            pixels = read_picture(faces / row["source"]).to_unit()
            return augment.apply(pixels, [MotionParams.from_dict(row["motion"])]).flow

        return Labelled(faces, tmp_path / "out", rows, replay)

    return make


def coco_of(count: int) -> dict:
    images, annotations = [], []
    for number, (name, (height, width)) in enumerate(SIZES.items(), 1):
        images.append({"id": number, "file_name": name, "width": width, "height": height})
        x0, y0, x1, y1 = BOXES[name]
        flat = [value for x, y in landmarks(name, count).tolist() for value in (x, y, 2)]
        face = {"bbox": [x0, y0, x1 - x0, y1 - y0], "keypoints": flat, "num_keypoints": count, "smiling": "yes"}
        annotations.append({"id": number, "image_id": number, "category_id": 1, **face})
    return {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "head"}]}


@pytest.fixture
def to(tmp_path: Path) -> Callable[..., ConvertReport]:
    """Convert an expanded dataset without its notes."""

    def call(labelled: Labelled, format: str, dest: str = "dest", **options: object) -> ConvertReport:
        notes: list[str] = []
        return convert(labelled.out, tmp_path / dest, to=format, on_note=notes.append, **options)

    return call
