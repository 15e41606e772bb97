"""The picture files of a study: found, read, cut out, and made small."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fomaug.errors import ArgumentError, MediaError
from fomaug.labels import FaceLabels
from fomaug.media import FRAME_FORMATS, open_picture, read_picture, suffix_formats

_LONGEST: Final = 256  # pixels at which copies are made; larger pictures are reduced first
_ROOM: Final = 1.5  # side of the square around landmarks, in sides of their box
_SPLITS: Final = {"train", "training", "val", "valid", "validation", "test", "testing"}

_PLAIN: Final = (".pgm", ".ppm", ".pnm")  # formats of old face sets, which are only read here and never written
_SUFFIXES: Final = (*suffix_formats, *_PLAIN)

Square = tuple[int, int, int]  # x, y, side in pixels
Image8 = NDArray[np.uint8]


def find_pictures(folder: Path) -> list[str]:
    """List the pictures below a folder by their paths, sorted; hidden files and expanded datasets are left out."""
    if not folder.is_dir():
        raise ArgumentError(f"dataset {folder} is not a folder; give the folder that holds the pictures")
    keys = sorted(_walk(folder))
    if not keys:
        raise ArgumentError(f"dataset {folder} holds no pictures; known suffixes: {', '.join(_SUFFIXES)}")
    tops = {PurePosixPath(key).parts[0] for key in keys if "/" in key}
    if splits := sorted(top for top in tops if top.lower() in _SPLITS):
        raise ArgumentError(
            f"dataset {folder} has the split folder {splits[0]!r}, and a study makes its own splits; give one folder, "
            f"such as {folder / splits[0]}"
        )
    return keys


def digest_pictures(folder: Path, keys: Sequence[str]) -> str:
    """Sha256 of the names and sizes of the pictures: tells whether a dataset is still the one it was."""
    lines = (f"{key}\0{(folder / key).stat().st_size}\n" for key in keys)
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def read_face(path: Path, square: Square | None) -> Image8:
    """Read a picture, cut out the square (beyond the edges the border is repeated), and reduce it to 256 pixels."""
    eight = _read_plain(path) if path.suffix.lower() in _PLAIN else _read_usual(path)
    if square is not None:
        x, y, side = square
        rows, columns = (np.arange(start, start + side) for start in (y, x))
        eight = eight[rows.clip(0, eight.shape[0] - 1)][:, columns.clip(0, eight.shape[1] - 1)]
    longest = max(eight.shape[:2])
    if longest <= _LONGEST:
        return eight
    height, width = (max(1, round(length * _LONGEST / longest)) for length in eight.shape[:2])
    return np.ascontiguousarray(_resized(eight, height, width).permute(1, 2, 0).numpy())


def to_input(pixels: Image8, side: int) -> Tensor:
    """Stretch a picture (H, W, C) uint8 to the input (C, side, side) uint8."""
    return _resized(pixels, side, side)


def to_unit(points: NDArray[np.float64], size: Sequence[int], side: int) -> Tensor:
    """Turn landmarks (P, 2) in pixels of a picture of `size` (H, W) into [-1, 1] of its input.

    -1 and 1 are the centres of the input's first and last pixel.
    """
    small = (points + 0.5) * side / np.array([size[1], size[0]], float) - 0.5
    return torch.from_numpy(2 * small / (side - 1) - 1).float()


def to_pixels(points: Tensor, size: Sequence[int], side: int) -> NDArray[np.float64]:
    """Turn landmarks (P, 2) in [-1, 1] of an input into pixels of its picture of `size` (H, W); undoes `to_unit`."""
    small = (points.double().numpy() + 1) / 2 * (side - 1)
    found: NDArray[np.float64] = (small + 0.5) * np.array([size[1], size[0]], float) / side - 0.5
    return found


def square_around(labels: FaceLabels) -> Square:
    """The square around landmarks, with room, in whole pixels."""
    assert labels.points is not None
    low, high = labels.points.min(0), labels.points.max(0)
    side = max(2, round(float((high - low).max()) * _ROOM))
    x, y = ((low + high) / 2 - (side - 1) / 2).round().astype(int).tolist()
    return x, y, side


def in_square(points: NDArray[np.float64], square: Square, size: Sequence[int]) -> NDArray[np.float64]:
    """Move landmarks (P, 2) in pixels of a file to pixels of what `read_face` makes of the square, of `size` (H, W)."""
    x, y, side = square
    return (points - (x, y) + 0.5) * (size[0] / side) - 0.5


def _read_usual(path: Path) -> Image8:
    pixels = read_picture(path).pixels
    return (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels.astype(np.uint8)


def _read_plain(path: Path) -> Image8:
    try:
        with open_picture(path, FRAME_FORMATS) as image:
            found = np.array(image.convert("RGB" if image.mode == "RGB" else "L"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as cause:
        raise MediaError(f"cannot be read as a picture: {cause}") from cause
    return found if found.ndim == 3 else found[..., None]


def _resized(pixels: Image8, height: int, width: int) -> Tensor:
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float()
    found = F.interpolate(image, size=(height, width), mode="bilinear", antialias=True)
    return found[0].round().clamp(0, 255).to(torch.uint8)


def _walk(folder: Path) -> Iterator[str]:
    for path, folders, files in os.walk(folder):
        here = Path(path)
        if here != folder and "expand.json" in files:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in _SUFFIXES:
                yield (here / name).relative_to(folder).as_posix()
