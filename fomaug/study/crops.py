"""Squares around the faces of pictures: cut them out, reduce them, and convert landmarks to their pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fomaug.faces import Square
from fomaug.labels import FaceLabels
from fomaug.media import read_picture

ROOM: Final = 1.5
"""Side of the square that networks see, as a multiple of the longer side of the landmarks' box."""
WIDE: Final = 2.2
"""Side of the square that copies are made from; it shows what surrounds the face, which turns with it."""
_LONGEST: Final = 256  # Pixels of the longer side; larger pictures are reduced to it before copies are made.

Image8 = NDArray[np.uint8]


def read_face(path: Path, square: Square | None) -> Image8:
    """Read a picture, cut out the square, and reduce it to 256 pixels on the longer side.

    Args:
        path: path of the picture.
        square: square to cut out, in pixels of the file; None for the whole picture.

    Returns:
        (H, W, 1 or 3) uint8 in [0, 255].

    Raises:
        MediaError: the picture cannot be read.
    """
    pixels = _read_8_bits(path)
    return _reduced(pixels if square is None else cut(pixels, square))


def read_scene(path: Path, labels: FaceLabels) -> tuple[Image8, FaceLabels]:
    """Read a face with its surroundings, as copies are made from it: hair, ears and neck move with the face.

    Args:
        path: path of the picture.
        labels: landmarks in pixels of the file.

    Returns:
        (H, W, 1 or 3) uint8, at most 256 pixels on the longer side, and the landmarks in its pixels.

    Raises:
        MediaError: the picture cannot be read.
    """
    pixels = _read_8_bits(path)
    square = square_around(labels, WIDE, most=max(pixels.shape[:2]))
    scene = _reduced(cut(pixels, square))
    assert labels.points is not None
    return scene, FaceLabels(points=in_square(labels.points, square, scene.shape), visible=labels.visible)


def cut(pixels: Image8, square: Square) -> Image8:
    """Cut a square out of a picture (H, W, C); beyond the edges of the picture, its border is repeated."""
    rows, columns = np.arange(square.top, square.bottom), np.arange(square.left, square.right)
    found: Image8 = pixels[rows.clip(0, pixels.shape[0] - 1)][:, columns.clip(0, pixels.shape[1] - 1)]
    return found


def _reduced(pixels: Image8) -> Image8:
    longest = max(pixels.shape[:2])
    if longest <= _LONGEST:
        return pixels
    height, width = (max(1, round(length * _LONGEST / longest)) for length in pixels.shape[:2])
    return np.ascontiguousarray(_resized(pixels, height, width).permute(1, 2, 0).numpy())


def to_input(pixels: Image8, side: int, channels: int | None = None) -> Tensor:
    """Stretch a picture (H, W, C) uint8 to the input (C, side, side) uint8, or to one with other channels."""
    image = _resized(pixels, side, side)
    if channels is None or channels == len(image):
        return image
    return image.float().mean(0, keepdim=True).round().byte() if channels == 1 else image.expand(channels, -1, -1)


def to_unit(points: NDArray[np.float64], size: Sequence[int], side: int) -> Tensor:
    """Turn landmarks (P, 2) in pixels of a picture of `size` (H, W) into [-1, 1] of its input.

    -1 and 1 are the centres of the input's first and last pixel.
    """
    small = (points + 0.5) * side / np.array([size[1], size[0]], float) - 0.5
    return torch.from_numpy(2 * small / (side - 1) - 1).float()


def square_around(labels: FaceLabels, room: float = ROOM, most: float = math.inf) -> Square:
    """Return the square around landmarks, in whole pixels; it may extend beyond the picture.

    Args:
        labels: landmarks (P, 2) in pixels.
        room: side of the square, as a multiple of the longer side of the landmarks' box.
        most: largest side in pixels, unless the square with the usual room is larger.
    """
    assert labels.points is not None
    low, high = labels.points.min(0), labels.points.max(0)
    longest = float((high - low).max())
    side = max(2, round(longest * ROOM), round(min(longest * room, most)))
    x, y = ((low + high) / 2 - (side - 1) / 2).round().astype(int).tolist()
    return Square(x, y, x + side, y + side)


def in_square(points: NDArray[np.float64], square: Square, size: Sequence[int]) -> NDArray[np.float64]:
    """Move landmarks (P, 2) from pixels of the file to pixels of the square that `read_face` returns as (H, W)."""
    return (points - (square.left, square.top) + 0.5) * (size[0] / square.size[0]) - 0.5


def input_points(labels: FaceLabels, square: Square | None, size: Sequence[int], side: int) -> Tensor | None:
    """Return landmarks in pixels of a file as (P, 2) in [-1, 1] of the input; None without landmarks.

    Args:
        labels: landmarks of the file.
        square: square around them that was cut out.
        size: (H, W) of the picture that was cut out.
        side: side of the input in pixels.
    """
    if labels.points is None or square is None:
        return None
    return to_unit(in_square(labels.points, square, size), size, side)


def _read_8_bits(path: Path) -> Image8:
    pixels = read_picture(path).pixels
    return (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels.astype(np.uint8)


def _resized(pixels: Image8, height: int, width: int) -> Tensor:
    image = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float()
    found = F.interpolate(image, size=(height, width), mode="bilinear", antialias=True)
    return found[0].round().clamp(0, 255).to(torch.uint8)
