"""The faces in the pictures of a study: squares around them, and warnings of pictures and copies without a usable face.

Squares are cut out and reduced, and landmarks are converted to their pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fomaug.animator import Animator
from fomaug.faces import FaceTracker, Square, is_face_model, is_steady
from fomaug.labels import FaceLabels
from fomaug.media import read_picture

if TYPE_CHECKING:
    from fomaug.study.arms import Arm
    from fomaug.study.data import StudyData
    from fomaug.study.design import Split

ROOM: Final = 1.5
"""Side of the square that networks see, as a multiple of the longer side of the landmarks' box."""
WIDE: Final = 2.2
"""Side of the square that copies are made from; it shows what surrounds the face, which turns with it."""
_LONGEST: Final = 256  # Pixels of the longer side; larger pictures are reduced to it before copies are made.
_CHECKED: Final = 50  # Largest number of pictures that are searched, since a search can take a third of a second.
_LARGE: Final = 0.2  # Share of pictures without a face above which a study warns; of portraits, one in 30 is missed.

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


class FaceCheck(NamedTuple):
    """The number of training pictures that were searched for a face, and of those that show none."""

    checked: int
    without_face: int


def warnings_of(check: FaceCheck | None, copies: Mapping[str, tuple[float, float]]) -> Iterator[str]:
    """Yield warnings if many training pictures show no face, or most copies of an arm are rejected.

    Args:
        check: result of the search for faces; None if there was none.
        copies: numbers of copies and of rejected copies of a choice, by the name of the arm.
    """
    if check is not None and check.without_face > _LARGE * check.checked:
        yield (
            f"no face was found in {check.without_face} of {check.checked} examined training pictures "
            f"({100 * check.without_face / check.checked:.0f} %); copies of such pictures are distorted pictures and "
            "not moved faces, so the verdict says little about copies of faces. Give upright pictures that are cropped "
            "to the face"
        )
    for name, (made, rejected) in copies.items():
        if rejected > made:
            yield (
                f"the gates rejected {rejected:.0f} of {made + rejected:.0f} copies of a choice "
                f"({100 * rejected / (made + rejected):.0f} %) in arm {name}, which therefore trains with few copies"
            )


def check_faces(data: StudyData, splits: Sequence[Split], arms: Sequence[Arm]) -> FaceCheck | None:
    """Search a sample of the training pictures of all choices for faces.

    Args:
        data: dataset of the study.
        splits: all choices of training pictures.
        arms: all arms; the first model whose keypoints are points of the face finds the faces.

    Returns:
        The numbers; None if no arm has such a model.
    """
    models = [arm.augment.model for arm in arms if arm.augment is not None]
    model = next(filter(is_face_model, models), None)
    if model is None:
        return None
    rows = np.unique(np.concatenate([split.train for split in splits]))
    chosen = rows[np.linspace(0, len(rows) - 1, min(len(rows), _CHECKED)).round().astype(int)]
    without = sum(not _shows_face(model, data.scene(int(row))[0]) for row in chosen)
    return FaceCheck(len(chosen), without)


def _shows_face(model: Animator, pixels: Image8) -> bool:
    """Return whether the whole picture, or a part of it, is a face; the quick check of the whole decides for most."""
    picture = np.ascontiguousarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
    missing = [max(pixels.shape[:2]) - length for length in pixels.shape[:2]]
    square = np.pad(picture, (*((gap // 2, gap - gap // 2) for gap in missing), (0, 0)), "edge")
    return is_steady(model, square) or bool(FaceTracker(model)(picture))
