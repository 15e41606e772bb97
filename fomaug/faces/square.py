"""Squares in pictures: the parts that are cut out for the animation, or for the search for a face."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fomaug.media import Picture

FACE_SHARE: Final = 1.8
"""Side of the square over the longer side of the face's box, as in the pictures that face models are trained on."""

_RAISE: Final = 0.08  # as a share of the box's height, because boxes end at the brows
_LEAST_SIDE: Final = 32  # pixels; smaller squares have too little detail to animate

Size = tuple[int, int]
Pixel = TypeVar("Pixel", bound=np.generic)


class Square(NamedTuple):
    """A rectangle of a picture in whole pixels; a square unless it is clipped at the picture's edges.

    Attributes:
        left: first column.
        top: first row.
        right: last column plus one.
        bottom: last row plus one.
    """

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> Size:
        """(H, W)."""
        return self.bottom - self.top, self.right - self.left

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom), a plain tuple."""
        return self.left, self.top, self.right, self.bottom

    def cut(self, images: Tensor) -> Tensor:
        """Cut the square out of images (..., H, W); the result is a view.

        >>> import torch
        >>> Square(2, 1, 6, 4).cut(torch.zeros(3, 8, 8)).shape
        torch.Size([3, 3, 4])
        """
        return images[..., self.top : self.bottom, self.left : self.right]

    def cut_pixels(self, pixels: NDArray[Pixel]) -> NDArray[Pixel]:
        """Cut the square out of pixels (H, W, ...); the result is a view.

        >>> Square(2, 1, 6, 4).cut_pixels(np.zeros((8, 8, 3))).shape
        (3, 4, 3)
        """
        return pixels[self.top : self.bottom, self.left : self.right]

    def cut_picture(self, picture: Picture) -> Picture:
        """Cut the square out of a picture with its alpha channel; the arrays are views."""
        alpha = None if picture.alpha is None else self.cut_pixels(picture.alpha)
        return replace(picture, pixels=self.cut_pixels(picture.pixels), alpha=alpha)

    def lies_in(self, size: Size) -> bool:
        """Return whether the square has an area and is inside of a picture of (H, W)."""
        return 0 <= self.left < self.right <= size[1] and 0 <= self.top < self.bottom <= size[0]


def whole_picture(size: Size) -> Square:
    """Return the rectangle of a whole picture of (H, W)."""
    return Square(0, 0, size[1], size[0])


def square_at(box: Sequence[float], share: float, size: Sequence[int]) -> Square:
    """Return a square around a box, shifted into the picture if needed.

    Args:
        box: (left, top, right, bottom) in pixels.
        share: side of the square over the longer side of the box.
        size: (H, W) of the picture.

    >>> square_at((10, 10, 20, 30), 2.0, (100, 100))
    Square(left=0, top=0, right=40, bottom=40)
    """
    longer = max(box[2] - box[0], box[3] - box[1])
    side = int(np.clip(round(share * longer), 1, min(size[:2])))
    left, top = (
        int(np.clip(round((low + high - side) / 2), 0, length - side))
        for low, high, length in ((box[0], box[2], size[1]), (box[1], box[3], size[0]))
    )
    return Square(left, top, left + side, top + side)


def face_square(box: Sequence[float], size: Size) -> Square | None:
    """Return a square around a face's box, clipped at the picture's edges.

    Args:
        box: (left, top, right, bottom) in pixels; more columns are ignored.
        size: (H, W) of the picture.

    Returns:
        The square; None if the box is outside of the picture, or too small.
    """
    left, top, right, bottom = (float(edge) for edge in box[:4])
    side = FACE_SHARE * max(right - left, bottom - top)
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2 - _RAISE * (bottom - top)
    square = Square(
        max(0, round(middle_x - side / 2)),
        max(0, round(middle_y - side / 2)),
        min(size[1], round(middle_x + side / 2)),
        min(size[0], round(middle_y + side / 2)),
    )
    return square if min(square.size) >= _LEAST_SIDE else None


def face_squares(boxes: Iterable[Sequence[float]], size: Size) -> tuple[Square, ...]:
    """Return squares around the boxes of faces, see `face_square`; boxes without a square are left out."""
    squares = (face_square(box, size) for box in boxes)
    return tuple(square for square in squares if square is not None)


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the intersection over union of two boxes (left, top, right, bottom).

    >>> overlap((0, 0, 2, 2), (0, 1, 2, 3))
    0.3333333333333333
    """
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared) if shared else 0.0
