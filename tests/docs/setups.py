"""What single pages need beside the stage that all share; a page without an entry needs nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import stage
import torch
from stage import Names, tensors
from torch.utils.data import DataLoader, default_collate

import fomaug

Setup = Callable[[Path, Names], None]
SETUPS: dict[str, Setup] = {}
BEFORE: dict[str, Callable[[list[str]], None]] = {}


def setup(page: str) -> Callable[[Setup], Setup]:
    """Register what a page needs."""

    def keep(function: Setup) -> Setup:
        assert page not in SETUPS, page
        SETUPS[page] = function
        return function

    return keep


@setup("README.md")
def _readme(folder: Path, names: Names) -> None:
    names.update(
        masks=torch.zeros(2, stage.SIZE, stage.SIZE, dtype=torch.int64),
        points=torch.full((2, 5, 2), 60.0),
        boxes=torch.tensor([[[32.0, 32.0, 96.0, 96.0]]] * 2),
        frames=tensors(2),
        dataset=stage.Faces(),
    )


@setup("docs/concepts/flow-and-labels.md")
def _labels(folder: Path, names: Names) -> None:
    done = stage.animated()
    size = stage.SIZE
    names.update(
        flow=done.flow,
        occlusion=done.occlusion,
        masks=torch.zeros(1, size, size, dtype=torch.int64),
        xy=torch.zeros(1, 5, 2),
        xyxy=torch.tensor([[[20.0, 16.0, 108.0, 116.0]]]),
        edges=torch.tensor([[[20.0, 16.0, 108.0, 116.0]]]),
        H=size,
        W=size,
    )


@setup("docs/reference/annotations.md")
def _annotations(folder: Path, names: Names) -> None:
    done = stage.animated()
    stage.faces(folder / "faces/a", {"": 2})
    stage.annotate(folder, count=5)
    shutil.move(folder / "faces.json", folder / "faces/annotations.json")
    names.update(flow=done.flow, occlusion=done.occlusion, H=stage.SIZE, W=stage.SIZE)


@setup("docs/concepts/quality.md")
def _quality(folder: Path, names: Names) -> None:
    names.update(vars(stage.animated()))


@setup("docs/how-to/animate.md")
def _animate(folder: Path, names: Names) -> None:
    names.update(picture=tensors(1), camera=stage.camera, show=lambda image: None)


@setup("docs/how-to/views.md")
def _views(folder: Path, names: Names) -> None:
    names.update(loader=DataLoader(stage.Pairs(2), batch_size=2))


@setup("docs/how-to/expand.md")
@setup("docs/how-to/recognition.md")
def _embedder(folder: Path, names: Names) -> None:
    names.update(embedder=lambda images: images.mean((2, 3)))


@setup("docs/how-to/training-loops.md")
def _loops(folder: Path, names: Names) -> None:
    names.update(
        dataset=stage.Faces(2),
        faces=stage.Pairs(2),
        mask=torch.zeros(2, stage.SIZE, stage.SIZE, dtype=torch.int64),
        boxes=torch.tensor([[[20.0, 16.0, 108.0, 116.0]]] * 2),
        batches=DataLoader(stage.Faces(2), batch_size=2),
        dataloader=DataLoader(stage.Pairs(2), batch_size=2),
        originals=tensors(2),
        ramp=lambda epoch: min(0.5, epoch / 20),
        lightning=stage.lightning(),
    )


@setup("docs/how-to/integrations.md")
def _integrations(folder: Path, names: Names) -> None:
    size = stage.SIZE
    names.update(
        image=np.asarray(stage.picture(0)),
        mask=np.zeros((size, size), np.uint8),
        boxes=[(20, 16, 108, 116)],
        names=["face"],
        points=[(50.0, 60.0), (78.0, 60.0)],
        batch=(
            tensors(2),
            torch.zeros(2, 1, size, size),
            torch.tensor([[[20.0, 16.0, 108.0, 116.0]]] * 2),
            torch.tensor([[[50.0, 60.0]]] * 2),
            torch.tensor([0, 1]),
        ),
        lightning=stage.lightning(),
        dataset=stage.Pairs(2),
        DataLoader=DataLoader,
        default_collate=default_collate,
    )


@setup("docs/reference/files.md")
def _files(folder: Path, names: Names) -> None:
    stage.expand("faces", "faces-expanded")
    names.update(
        row=json.loads((folder / "faces-expanded/manifest.jsonl").read_text().splitlines()[0]),
        pool=fomaug.DrivingPool.builtin(names["model"]),
        source=tensors(1),
    )


@setup("docs/how-to/landmarks.md")
def _landmarks(folder: Path, names: Names) -> None:
    names.update(dataset=stage.Faces(2))


@setup("docs/how-to/detection.md")
def _detection(folder: Path, names: Names) -> None:
    stage.faces(folder / "images", {"anna": 1, "ben": 1})
    for person in ("anna", "ben"):
        (folder / "labels" / person).mkdir(parents=True)
        (folder / "labels" / person / "1.txt").write_text("0 0.5 0.5 0.4 0.5\n")
    names.update(dataloader=DataLoader(stage.Faces(2), batch_size=2))


@setup("docs/evidence/study.md")
def _study(folder: Path, names: Names) -> None:
    stage.faces(folder / "val", {"anna": 2, "ben": 2}, start=4)
    stage.faces(folder / "photos", {"anna": 2, "ben": 2})
    shutil.copy(folder / "faces.json", folder / "photos.json")
    names.update(model=lambda images: images.mean((2, 3)))


@setup("docs/reference/formats.md")
def _formats(folder: Path, names: Names) -> None:
    shutil.rmtree(folder / "faces")
    for start, split in ((0, "train"), (2, "test")):
        stage.faces(folder / "faces" / split, {"anna": 2, "ben": 2}, start)
    stage.annotate(folder, count=68)


def _landmarks_of_the_format(words: list[str]) -> None:
    """Give the dataset as many landmarks as a format of `fomaug convert` needs."""
    name = words[words.index("--to") + 1] if "--to" in words else ""
    if count := {"wflw": 98, "aflw": 21, "cofw": 29, "csv": 68}.get(name):
        shutil.rmtree("faces-expanded")
        stage.annotate(Path(), count=count)
        stage.expand("faces", "faces-expanded", "--annotations", "faces.json")


BEFORE["docs/reference/formats.md"] = _landmarks_of_the_format
