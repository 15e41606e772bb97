"""Measure how many faces the model finds by its own keypoints, and how many it reports in pictures without faces.

    python benchmarks/face_finder.py PORTRAITS [--grey FOLDER] [--free FOLDER] [--count 60] [--seed 0]

PORTRAITS contains `images/`, pictures of 256 x 256, and `landmarks.npz` with their face meshes, in the form that the
training reads. --grey is a folder, with any subfolders, of pictures that show one face each and nothing else; --free is
a folder of pictures without faces. A face counts as found if the overlap (intersection over union) of a box with the
true box is above one half; the true box of a grey picture is centred. docs/decisions/0005-face-detector.md has results.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import fomaug
from fomaug.faces import face_boxes, overlap

Picture = NDArray[np.uint8]
Case = tuple[Picture, tuple[float, ...] | None]
HEIGHTS = (0.55, 0.27, 0.18, 0.14)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("portraits", type=Path)
    parser.add_argument("--grey", type=Path)
    parser.add_argument("--free", type=Path)
    parser.add_argument("--model", default="lite-256")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    model = fomaug.load_model(args.model, device="cpu")
    rng = np.random.default_rng(args.seed)
    heads = list(portraits(args.portraits, args.count))
    report("portraits cropped to the head", heads, model)
    report("pasted, 45 to 90 % of the shorter side", (pasted(head, rng) for head in heads), model)
    for height in HEIGHTS:
        some = (among_blobs(head, height, rng) for head in heads[: args.count // 3])
        report(f"among blobs, 640 x 480, face {height} of the height", some, model)
    report("blobs alone", ((blobs((480, 640), rng), None) for _ in range(2 * args.count // 3)), model)
    if args.grey:
        report("grey photographs, pasted", (pasted(head, rng) for head in grey(args.grey, 80)), model)
    if args.free:
        report("pictures without faces, and crops", free(args.free, rng), model)


def report(name: str, cases: Iterable[Case], model: fomaug.Animator) -> None:
    """Count the faces that are found and the other boxes, and print a line."""
    number = faces = found = elsewhere = 0
    for picture, truth in cases:
        boxes = face_boxes(picture, model)
        hits = [truth is not None and overlap(box, truth) > 0.5 for box in boxes]
        number, faces, found = number + 1, faces + (truth is not None), found + any(hits)
        elsewhere += len(hits) - sum(hits)
    print(f"{name:48} {number:4} pictures, {found} of {faces} faces found, {elsewhere} boxes elsewhere", flush=True)


def portraits(folder: Path, count: int) -> Iterator[Case]:
    """Yield evenly spaced portraits, with the boxes of their meshes."""
    with np.load(folder / "landmarks.npz", allow_pickle=False) as data:
        names, meshes = data["files"], data["landmarks"].astype(np.float32)
    for row in np.linspace(0, len(names) - 1, count).round().astype(int):
        low, high = meshes[row, :, :2].min(0), meshes[row, :, :2].max(0)
        yield read(folder / "images" / str(names[row])), (*map(float, low), *map(float, high))


def grey(folder: Path, count: int) -> Iterator[Case]:
    """Yield pictures that a face fills; the box is an estimate: most of the width, the lower three quarters."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in (".pgm", ".png", ".jpg"))
    for path in islice(files, 0, None, max(len(files) // count, 1)):
        picture = read(path)
        height, width = picture.shape[:2]
        yield picture, (0.1 * width, 0.2 * height, 0.9 * width, 0.97 * height)


def free(folder: Path, rng: np.random.Generator) -> Iterator[Case]:
    """Yield pictures without a face, three crops of each, noise, patches and gradients."""
    for path in sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png")):
        picture = read(path)
        yield picture, None
        side = min(picture.shape[:2]) // 2
        for _ in range(3):
            top, left = (int(rng.integers(0, length - side + 1)) for length in picture.shape[:2])
            yield picture[top : top + side, left : left + side], None
    for cells in (4, 8, 16, 64, 256):
        yield resized(rng.integers(0, 256, (cells, cells, 3), np.uint8), (256, 256)), None


def pasted(case: Case, rng: np.random.Generator) -> Case:
    """Put a picture into a larger one."""
    ground = blobs((int(rng.integers(360, 640)), int(rng.integers(360, 640))), rng)
    return laid(case, ground, rng.uniform(0.45, 0.9) * min(ground.shape[:2]) / min(case[0].shape[:2]), rng)


def among_blobs(case: Case, height: float, rng: np.random.Generator) -> Case:
    """Put a portrait among blobs; the height of its face is a share of the whole height."""
    truth = case[1]
    assert truth is not None
    return laid(case, blobs((480, 640), rng), height * 480 / (truth[3] - truth[1]), rng)


def laid(case: Case, ground: Picture, scale: float, rng: np.random.Generator) -> Case:
    """Paste a picture, scaled, and cut if it is too large, at a random position of a background."""
    picture, truth = case
    assert truth is not None
    small = resized(picture, (round(picture.shape[0] * scale), round(picture.shape[1] * scale)))
    box = np.array(truth) * scale
    cut = [max(0, int((inner - outer) / 2)) for inner, outer in zip(small.shape[:2], ground.shape[:2], strict=True)]
    small = small[cut[0] : cut[0] + ground.shape[0], cut[1] : cut[1] + ground.shape[1]]
    top, left = (int(rng.integers(0, ground.shape[i] - small.shape[i] + 1)) for i in (0, 1))
    ground[top : top + small.shape[0], left : left + small.shape[1]] = small
    return ground, tuple(box + np.tile([left - cut[1], top - cut[0]], 2))


def blobs(size: tuple[int, int], rng: np.random.Generator) -> Picture:
    """Draw a picture of soft coloured blobs."""
    cells = rng.integers(0, 256, (int(rng.integers(3, 12)), int(rng.integers(3, 12)), 3), np.uint8)
    return resized(cells, size).copy()


def resized(picture: Picture, size: tuple[int, int]) -> Picture:
    return np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BICUBIC))


def read(path: Path) -> Picture:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


if __name__ == "__main__":
    main()
