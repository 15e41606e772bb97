"""The picture files of a study: list them, read them, cut out the face and reduce it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fomaug.errors import ArgumentError
from fomaug.faces import Square
from fomaug.labels import FaceLabels
from fomaug.media import digest_sizes, file_size, list_pictures, read_picture, read_suffixes

_LONGEST: Final = 256  # Pixels of the longer side; larger pictures are reduced to it before copies are made.
_ROOM: Final = 1.5  # Side of the square around landmarks, as a multiple of the longer side of their box.
_SPLITS: Final = {"train", "training", "val", "valid", "validation", "test", "testing"}

Image8 = NDArray[np.uint8]


def find_pictures(folder: Path) -> list[str]:
    """List the keys of the pictures below a folder, sorted; hidden files and expanded datasets are left out.

    Raises:
        ArgumentError: the folder does not exist, holds no pictures, or is divided into splits.
    """
    if not folder.is_dir():
        raise ArgumentError(f"dataset {folder} is not a folder; give the folder that holds the pictures")
    keys = list_pictures(folder, read_suffixes).keys
    if not keys:
        raise ArgumentError(f"dataset {folder} holds no pictures; known suffixes: {', '.join(read_suffixes)}")
    tops = {PurePosixPath(key).parts[0] for key in keys if "/" in key}
    if splits := sorted(top for top in tops if top.lower() in _SPLITS):
        raise ArgumentError(
            f"dataset {folder} has the split folder {splits[0]!r}, and a study makes its own splits; give one folder, "
            f"such as {folder / splits[0]}"
        )
    return keys


def digest_pictures(folder: Path, keys: Sequence[str]) -> str:
    """Return the sha256 of the keys and sizes of the pictures, to detect changes of a dataset."""
    return digest_sizes((key, file_size(folder / key)) for key in keys)


def read_face(path: Path, square: Square | None) -> Image8:
    """Read a picture, cut out the square (beyond the edges the border is repeated), and reduce it to 256 pixels.

    Args:
        path: path of the picture.
        square: square to cut out, in pixels of the file; None for the whole picture.

    Returns:
        (H, W, 1 or 3) uint8 in [0, 255].

    Raises:
        MediaError: the picture cannot be read.
    """
    pixels = _read_8_bits(path)
    if square is not None:
        rows, columns = np.arange(square.top, square.bottom), np.arange(square.left, square.right)
        pixels = pixels[rows.clip(0, pixels.shape[0] - 1)][:, columns.clip(0, pixels.shape[1] - 1)]
    longest = max(pixels.shape[:2])
    if longest <= _LONGEST:
        return pixels
    height, width = (max(1, round(length * _LONGEST / longest)) for length in pixels.shape[:2])
    return np.ascontiguousarray(_resized(pixels, height, width).permute(1, 2, 0).numpy())


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
    """Invert `to_unit`: turn landmarks (P, 2) in [-1, 1] of an input into pixels of its picture of `size` (H, W)."""
    small = (points.double().numpy() + 1) / 2 * (side - 1)
    found: NDArray[np.float64] = (small + 0.5) * np.array([size[1], size[0]], float) / side - 0.5
    return found


def square_around(labels: FaceLabels) -> Square:
    """Return the square around landmarks, with room, in whole pixels; it may extend beyond the picture."""
    assert labels.points is not None
    low, high = labels.points.min(0), labels.points.max(0)
    side = max(2, round(float((high - low).max()) * _ROOM))
    x, y = ((low + high) / 2 - (side - 1) / 2).round().astype(int).tolist()
    return Square(x, y, x + side, y + side)


def in_square(points: NDArray[np.float64], square: Square, size: Sequence[int]) -> NDArray[np.float64]:
    """Move landmarks (P, 2) from pixels of the file to pixels of the square that `read_face` returns as (H, W)."""
    return (points - (square.left, square.top) + 0.5) * (size[0] / square.size[0]) - 0.5


def _read_8_bits(path: Path) -> Image8:
    pixels = read_picture(path).pixels
    return (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels.astype(np.uint8)


def _resized(pixels: Image8, height: int, width: int) -> Tensor:
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float()
    found = F.interpolate(image, size=(height, width), mode="bilinear", antialias=True)
    return found[0].round().clamp(0, 255).to(torch.uint8)
