"""Faces in larger pictures: where to cut them out, with some room, to be animated on their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from fomaug.writers import Picture

ROOM: Final = 1.8  # side of the square over the longer side of the face box, as faces lie in the training pictures
_RAISE: Final = 0.08  # of the box: boxes end at the brows, heads do not
_LEAST: Final = 32  # pixels; smaller squares hold nothing to animate

Box = Sequence[float]


@dataclass(frozen=True)
class Region:
    """A rectangle of a picture, in whole pixels; its end is not part of it."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.bottom - self.top, self.right - self.left


def region_around(box: Box, size: tuple[int, int]) -> Region | None:
    """Lay a square around a face box; where the picture ends, so does it.

    Args:
        box: (x0, y0, x1, y1) in pixels.
        size: (H, W) of the picture.

    Returns:
        None if the box lies outside of the picture, or is too small.
    """
    x0, y0, x1, y1 = (float(value) for value in box[:4])
    side = ROOM * max(x1 - x0, y1 - y0)
    middle_x, middle_y = (x0 + x1) / 2, (y0 + y1) / 2 - _RAISE * (y1 - y0)
    region = Region(
        max(0, round(middle_x - side / 2)),
        max(0, round(middle_y - side / 2)),
        min(size[1], round(middle_x + side / 2)),
        min(size[0], round(middle_y + side / 2)),
    )
    return region if min(region.size) >= _LEAST else None


def crop(picture: Picture, region: Region) -> Picture:
    """Cut a region out."""
    rows, columns = slice(region.top, region.bottom), slice(region.left, region.right)
    alpha = None if picture.alpha is None else picture.alpha[rows, columns]
    return replace(picture, pixels=picture.pixels[rows, columns], alpha=alpha)
