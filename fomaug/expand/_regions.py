"""Faces in larger pictures: cut out with some room, animated on their own, and blended back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fomaug.expand._move import Moved
from fomaug.geometry import identity_grid
from fomaug.writers import Picture

ROOM: Final = 1.8  # side of the square over the longer side of the face box, as faces lie in the training pictures
_RAISE: Final = 0.08  # of the box: boxes end at the brows, heads do not
_SEAM: Final = 0.12  # share of the square over which it is blended into the picture
_LEAST: Final = 32  # pixels; smaller squares hold nothing to animate
_MOST_CELLS: Final = 512

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


def compose(picture: Picture, regions: Sequence[Region], faces: Sequence[Moved]) -> Moved:
    """Blend animated faces into their picture; flow and occlusion become those of the whole picture.

    Towards the edges of its region a face fades into the picture, and its motion fades to none.

    Args:
        picture: the whole picture.
        regions: where the faces were cut out; later ones lie over earlier ones.
        faces: the animated cuttings.

    Returns:
        The whole picture, with the parameters of the first face.
    """
    pixels = picture.pixels.astype(np.float32)
    alpha = None if picture.alpha is None else picture.alpha.astype(np.float32)
    cells = _cells(picture.size, regions)
    flow, occlusion = identity_grid(cells)[None].clone(), torch.ones(1, 1, *cells)
    for region, face in zip(regions, faces, strict=True):
        weight = seam(region, picture.size)
        _blend(pixels, face.picture.pixels, region, weight)
        if alpha is not None and face.picture.alpha is not None:
            _blend(alpha, face.picture.alpha, region, weight)
        flow, occlusion = _blend_motion(flow, occlusion, face, region, weight, picture.size)
    kind = picture.pixels.dtype
    whole = replace(picture, pixels=_levels(pixels, kind), alpha=None if alpha is None else _levels(alpha, kind))
    return Moved(whole, faces[0].params, flow, occlusion)


def seam(region: Region, size: tuple[int, int]) -> NDArray[np.float32]:
    """Weights (H, W) of a region: 1 inside, falling to 0 at its edges, but for those at the picture's own edges."""
    height, width = region.size
    rows = _ramp(height, fade_start=region.top > 0, fade_end=region.bottom < size[0])
    columns = _ramp(width, fade_start=region.left > 0, fade_end=region.right < size[1])
    weight: NDArray[np.float32] = np.minimum(rows[:, None], columns[None, :])
    return weight


def _ramp(length: int, *, fade_start: bool, fade_end: bool) -> NDArray[np.float32]:
    band = max(1.0, _SEAM * length)
    places = np.arange(length, dtype=np.float32)
    share = np.ones(length, np.float32)
    if fade_start:
        share = np.minimum(share, places / band)
    if fade_end:
        share = np.minimum(share, places[::-1] / band)
    smooth: NDArray[np.float32] = share * share * (3 - 2 * share)
    return smooth


def _blend(whole: NDArray[np.float32], part: NDArray[Any], region: Region, weight: NDArray[np.float32]) -> None:
    there = whole[region.top : region.bottom, region.left : region.right]
    there += weight[..., None] * (part.astype(np.float32) - there)


def _levels(values: NDArray[np.float32], kind: np.dtype[Any]) -> NDArray[Any]:
    found: NDArray[Any] = values.round().clip(0, np.iinfo(kind).max).astype(kind)
    return found


def _cells(size: tuple[int, int], regions: Sequence[Region]) -> tuple[int, int]:
    """So many that the smallest region has about 64, as the flow of a whole picture has."""
    smallest = min(max(region.size) for region in regions)
    density = min(64 / smallest, _MOST_CELLS / max(size), 1.0)
    return max(2, math.ceil(size[0] * density)), max(2, math.ceil(size[1] * density))


def _blend_motion(
    flow: Tensor, occlusion: Tensor, face: Moved, region: Region, weight: NDArray[np.float32], size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Lay a face's flow into the picture's; both are corner-aligned in their own frames."""
    cells = (flow.shape[1], flow.shape[2])
    scale, offset = _into(region, size)
    inner = (identity_grid(cells) - offset) / scale  # where the picture's cells lie in the region's frame
    inside = (inner.abs() <= 1).all(-1)[None, None].float()
    share = F.grid_sample(torch.from_numpy(weight)[None, None], inner[None], align_corners=True) * inside
    own = F.grid_sample(face.flow.permute(0, 3, 1, 2), inner[None], padding_mode="border", align_corners=True)
    placed = own.permute(0, 2, 3, 1) * scale + offset
    seen = F.grid_sample(face.occlusion, inner[None], padding_mode="border", align_corners=True)
    return torch.lerp(flow, placed, share.permute(0, 2, 3, 1)), torch.lerp(occlusion, seen, share)


def _into(region: Region, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Scale and offset that take the region's [-1, 1] to the picture's."""
    height, width = size
    low = torch.tensor([region.left / max(width - 1, 1), region.top / max(height - 1, 1)]) * 2 - 1
    high = torch.tensor([(region.right - 1) / max(width - 1, 1), (region.bottom - 1) / max(height - 1, 1)]) * 2 - 1
    return (high - low) / 2, (high + low) / 2
