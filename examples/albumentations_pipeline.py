"""Use motion in an albumentations pipeline: with masks, boxes and points, with replay, and in workers.

Run `python examples/albumentations_pipeline.py`; it takes about ten seconds on a CPU, and less with `--quick`.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # no network access on the import of albumentations

import albumentations as A
import numpy as np
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from fomaug.integrations.albumentations import MotionAugment

SIZE = 256
FACES = Path(__file__).parent / "faces"


def load_faces(count: int) -> list[np.ndarray]:
    """Read the example faces, (256, 256, 3) uint8; draw one if they are missing."""
    files = sorted(path for path in FACES.rglob("*") if path.suffix in {".jpg", ".png"})[:count]
    pictures = [np.asarray(Image.open(file).convert("RGB").resize((SIZE, SIZE))) for file in files]
    return pictures or [draw_face()]


def draw_face() -> np.ndarray:
    """Draw an oval with two eyes and a mouth."""
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    picture = np.full((SIZE, SIZE, 3), (90, 110, 140), np.uint8)
    picture[x**2 / 0.3 + y**2 / 0.5 < 1] = (225, 180, 150)
    for centre in (-0.2, 0.2):
        picture[(x - centre) ** 2 + (y + 0.15) ** 2 < 0.004] = (40, 30, 30)
    picture[(np.abs(x) < 0.2) & (np.abs(y - 0.3) < 0.03)] = (170, 70, 70)
    return picture


def labels() -> dict[str, object]:
    """Return labels like those of a dataset: a mask and a box of the face, and three points on it."""
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    return {
        "mask": (x**2 / 0.3 + y**2 / 0.5 < 1).astype(np.uint8),
        "bboxes": [[58, 38, 198, 218]],
        "names": ["face"],
        "keypoints": [(102, 109), (154, 109), (128, 166)],
    }


def pipeline() -> A.Compose:
    """Compose motion, on the clean picture, with transforms of albumentations after it."""
    return A.ReplayCompose(
        [MotionAugment(p=0.9), A.HorizontalFlip(p=0.5), A.RandomBrightnessContrast(p=0.5)],
        bbox_params=A.BboxParams("pascal_voc", label_fields=["names"]),
        keypoint_params=A.KeypointParams("xy", remove_invisible=False),
    )


class Faces(Dataset[np.ndarray]):
    """A dataset that applies the pipeline."""

    def __init__(self, pictures: list[np.ndarray], transform: A.Compose) -> None:
        self.pictures = pictures
        self.transform = transform

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> np.ndarray:
        return self.transform(image=self.pictures[index])["image"]


def show_labels_and_replay(pictures: list[np.ndarray], copies: int, out: Path) -> None:
    """Write a sheet: every picture, then its copies with their points; check that a logged draw can be replayed."""
    transform = pipeline()
    rows = []
    for picture in pictures:
        row = [picture]
        for _ in range(copies):
            found = transform(image=picture, **labels())
            row.append(with_points(found["image"], found["keypoints"]))
            logged = json.dumps(found["replay"])  # plain JSON for a log or a database
            again = A.ReplayCompose.replay(json.loads(logged), image=picture, **labels())
            assert np.array_equal(again["image"], found["image"])
        rows.append(np.concatenate(row, 1))
    Image.fromarray(np.concatenate(rows)).save(out)
    print(f"wrote {out}: {len(rows)} faces with {copies} copies each; each was replayed to the same pixels")


def with_points(picture: np.ndarray, points: object) -> np.ndarray:
    """Mark points by small squares."""
    marked = picture.copy()
    for x, y in np.asarray(points).round().astype(int):
        marked[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3] = (0, 255, 0)
    return marked


def show_workers(pictures: list[np.ndarray]) -> None:
    """Load two epochs with two workers; all pictures differ."""
    transform = A.Compose([MotionAugment(p=1.0)])
    loader = DataLoader(Faces(pictures[:1] * 4, transform), batch_size=1, num_workers=2)
    seen = [batch.numpy().tobytes() for _ in range(2) for batch in loader]
    print(f"two epochs with two workers: {len(seen)} pictures of one face, {len(set(seen))} of them different")


def main() -> None:
    """Parse the arguments and run the example."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two faces, two copies each")
    parser.add_argument("--out", type=Path, default=Path("albumentations_pipeline.png"))
    arguments = parser.parse_args()
    pictures = load_faces(2 if arguments.quick else 8)
    show_labels_and_replay(pictures, 2 if arguments.quick else 5, arguments.out)
    show_workers(pictures)


if __name__ == "__main__":
    main()
