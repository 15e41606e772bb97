"""The files and names that the blocks of the documentation speak of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from pages import ROOT
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import fomaug
from fomaug.cli import main
from fomaug.media import open_video, read_clip

Names = dict[str, Any]
EXAMPLES = ROOT / "examples"
PICTURES = [f"person_{letter}/front.jpg" for letter in "abcdefgh"]
SIZE = 128


def picture(index: int, size: int = SIZE) -> Image.Image:
    """Return one of the example faces, reduced."""
    with Image.open(EXAMPLES / "faces" / PICTURES[index % len(PICTURES)]) as image:
        return image.convert("RGB").resize((size, size))


def tensors(count: int, size: int = SIZE) -> torch.Tensor:
    """Return example faces (count, 3, size, size) in [0, 1]."""
    arrays = np.stack([np.asarray(picture(index, size)) for index in range(count)])
    return torch.from_numpy(arrays).permute(0, 3, 1, 2).float() / 255


def build_stage(folder: Path) -> None:
    """Make the files that many pages name: faces/, clips/, portrait.jpg, clip.mp4 and others."""
    (folder / "examples").symlink_to(EXAMPLES)
    faces(folder / "faces", {"anna": 2, "ben": 2})
    faces(folder / "test-set", {"carla": 1}, start=6)
    for target in ("clips", "my-clips"):
        for label, name in (("nod", "nod.mp4"), ("smile", "smile.mp4")):
            (folder / target / label).mkdir(parents=True)
            shorten(EXAMPLES / "clips" / name, folder / target / label / name)
    shorten(EXAMPLES / "clips/nod.mp4", folder / "clip.mp4")
    shorten(EXAMPLES / "clips/smile.mp4", folder / "take1.mp4")
    picture(0).save(folder / "portrait.jpg")
    picture(1).save(folder / "smile.jpg")
    (folder / "pairs.csv").write_text("source,driving\nportrait.jpg,clip.mp4\n")
    annotate(folder, count=68)


def faces(folder: Path, people: dict[str, int], start: int = 0) -> None:
    """Make a folder of class folders."""
    index = start
    for person, count in people.items():
        (folder / person).mkdir(parents=True)
        for number in range(1, count + 1):
            picture(index).save(folder / person / f"{number}.jpg")
            index += 1


def shorten(clip: Path, target: Path, frames: int = 6) -> None:
    """Write the first frames of a clip."""
    with open_video(target, fps=25.0) as video:
        for frame in read_clip(clip, max_frames=frames):
            video.write(frame)


def annotate(folder: Path, *, count: int, dataset: str = "faces") -> None:
    """Write faces.json: a box and `count` landmarks in every picture of a dataset, as COCO has them."""
    angles = np.linspace(0, 2 * np.pi, count, endpoint=False)
    ring = np.stack([64 + 24 * np.cos(angles), 68 + 30 * np.sin(angles), np.full(count, 2)], 1)
    paths = sorted(path.relative_to(folder / dataset) for path in (folder / dataset).rglob("*.jpg"))
    images = [{"id": i, "file_name": path.as_posix(), "width": SIZE, "height": SIZE} for i, path in enumerate(paths)]
    marks = [
        {
            "id": i,
            "image_id": i,
            "category_id": 1,
            "bbox": [34, 30, 60, 74],
            "area": 60 * 74,
            "iscrowd": 0,
            "keypoints": ring.ravel().round(1).tolist(),
            "num_keypoints": count,
        }
        for i in range(len(paths))
    ]
    data = {"images": images, "annotations": marks, "categories": [{"id": 1, "name": "face"}]}
    (folder / "faces.json").write_text(json.dumps(data))


def expand(*words: str) -> None:
    """Run `fomaug expand` in the current folder, as small as possible."""
    code = main(["expand", *words, "--copies", "1", "--gates", "off", "--workers", "1", "--no-progress"])
    assert code == 0


class Faces(Dataset[dict[str, torch.Tensor]]):
    """Example faces with a mask, a box, landmarks and a class."""

    def __init__(self, count: int = 4) -> None:
        self.images = tensors(count)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        mask = torch.zeros(SIZE, SIZE, dtype=torch.int64)
        mask[30:104, 34:94] = 1
        boxes = torch.tensor([[20.0, 16.0, 108.0, 116.0]])
        points = torch.tensor([[50.0, 60.0], [78.0, 60.0], [64.0, 90.0]])
        return {
            "image": self.images[index],
            "mask": mask,
            "boxes": boxes,
            "landmarks": points,
            "points": points,
            "label": torch.tensor(index % 2),
        }


class Pairs(Dataset[tuple[torch.Tensor, int]]):
    """Example faces with a class, as most datasets have them."""

    def __init__(self, count: int = 4) -> None:
        self.images = tensors(count)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.images[index], index % 2


def base_names() -> Names:
    """Return the names that blocks of all pages may use without importing or making them."""
    images = tensors(2)
    return {
        "__name__": "__docs__",
        "fomaug": fomaug,
        "torch": torch,
        "json": json,
        "np": np,
        "images": images,
        "keys": ["a", "b"],
        "paths": ["a.jpg", "b.jpg"],
        "loader": DataLoader(Pairs(2), batch_size=2),
        "epochs": 1,
        "epoch": 1,
        "model": fomaug.load_model(device="cpu"),
        "find": lambda picture: [(20, 16, 108, 116)],
    }


def lightning() -> ModuleType:
    """Stand in for Lightning, which the tests do not install: a module of torch with an epoch."""
    found = ModuleType("lightning")
    found.LightningModule = type("LightningModule", (torch.nn.Module,), {"current_epoch": 0})  # type: ignore[attr-defined]
    return found


def animated() -> SimpleNamespace:
    """Return a source, its copy, and the flow and occlusion of the copy."""
    augment = fomaug.MotionAugment(p=1.0)
    source = tensors(1)
    done = augment.apply(source, augment.draw(["a"]))
    return SimpleNamespace(source=source, result=done.image, flow=done.flow, occlusion=done.occlusion)


def camera() -> Iterator[torch.Tensor]:
    """Yield two frames."""
    yield from tensors(2).split(1)
