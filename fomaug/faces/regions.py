"""Where to cut a face out, with some room, to be animated on its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from torch import Tensor

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

    @property
    def edges(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom)."""
        return self.left, self.top, self.right, self.bottom

    def cut(self, images: Tensor) -> Tensor:
        """Take the region out of pictures (..., H, W); a view.

        >>> import torch
        >>> Region(2, 1, 6, 4).cut(torch.zeros(3, 8, 8)).shape
        torch.Size([3, 3, 4])
        """
        return images[..., self.top : self.bottom, self.left : self.right]

    def lies_in(self, size: tuple[int, int]) -> bool:
        """Whether a picture of (H, W) holds all of it, and it holds a pixel."""
        return 0 <= self.left < self.right <= size[1] and 0 <= self.top < self.bottom <= size[0]


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


def regions_around(boxes: Iterable[Box], size: tuple[int, int]) -> tuple[Region, ...]:
    """Lay squares around face boxes, see `region_around`; those that hold nothing are left out."""
    found = (region_around(box, size) for box in boxes)
    return tuple(region for region in found if region is not None)
