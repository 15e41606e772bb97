"""Animated faces, blended back into their picture with no seam.

From the middle of a region to its edges, first the animated face gives way to the source warped by the same flow: the
two lie on one another, so nothing shows twice. Then that flow fades to none, until the source is itself again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fomaug.expand._move import Moved
from fomaug.expand._regions import Region
from fomaug.geometry import identity_grid, resize_flow, warp_image
from fomaug.writers import Picture

_CALM: Final = 0.12  # share of the square over which the motion fades to none
_CROSS: Final = 0.08  # and then that over which the animated face comes in
_MOST_CELLS: Final = 512


def compose(picture: Picture, regions: Sequence[Region], faces: Sequence[Moved]) -> Moved:
    """Blend animated faces into their picture; flow and occlusion become those of the whole picture.

    Args:
        picture: the whole picture.
        regions: where the faces were cut out; later ones lie over earlier ones.
        faces: the animated cuttings.

    Returns:
        The whole picture, with the parameters of the first face; outside of the regions it is the source, bit for bit.
    """
    pixels = picture.pixels.copy()
    alpha = None if picture.alpha is None else picture.alpha.copy()
    cells = _cells(picture.size, regions)
    flow, occlusion = identity_grid(cells)[None].clone(), torch.ones(1, 1, *cells)
    for region, face in zip(regions, faces, strict=True):
        calm, cross = fades(region, picture.size)
        _paste(pixels, face.picture.pixels, face.flow, region, calm, cross)
        if alpha is not None and face.picture.alpha is not None:
            _paste(alpha, face.picture.alpha, face.flow, region, calm, cross)
        flow, occlusion = _lay_motion(flow, occlusion, face, region, (calm, cross), picture.size)
    return Moved(replace(picture, pixels=pixels, alpha=alpha), faces[0].params, flow, occlusion)


def fades(region: Region, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Weights of a region's motion, and of the animated face in it.

    Both are 1 inside and 0 at the region's edges, but for those at the picture's own edges; the face's is above 0 only
    where the motion's is 1.

    Args:
        region: in the picture.
        size: (H, W) of the picture.

    Returns:
        Two of (h, w), as many as the region has pixels.
    """
    calm, cross = (
        [
            _ramp(length, (start, share), fades=(low > 0, high < end))
            for length, low, high, end in (
                (region.size[0], region.top, region.bottom, size[0]),
                (region.size[1], region.left, region.right, size[1]),
            )
        ]
        for start, share in ((0.0, _CALM), (_CALM, _CROSS))
    )
    return torch.minimum(calm[0][:, None], calm[1]), torch.minimum(cross[0][:, None], cross[1])


def _ramp(length: int, band: tuple[float, float], *, fades: tuple[bool, bool]) -> Tensor:
    """Rise smoothly over a band (its start, its width, in shares of the length) beside each end that fades."""
    start, width = (share * length for share in band)
    places = torch.arange(length)
    share = torch.ones(length)
    for fade, distance in zip(fades, (places, places.flip(0)), strict=True):
        if fade:
            share = share.minimum(((distance - start) / max(width, 1.0)).clamp(0, 1))
    return share * share * (3 - 2 * share)


def _paste(whole: NDArray[Any], part: NDArray[Any], flow: Tensor, region: Region, calm: Tensor, cross: Tensor) -> None:
    """Blend a part (h, w, C) into the whole picture, in place."""
    there = whole[region.top : region.bottom, region.left : region.right]
    # In a picture of 16 bits, the places that float32 can name are a few levels apart.
    exact = torch.float32 if whole.dtype == np.uint8 else torch.float64
    before, after = (torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1)[None] for array in (there, part))
    warped = warp_image(before.to(exact), _calmed(flow.to(exact), calm), mode="bicubic", padding="border")
    blended = torch.lerp(warped.float(), after, cross)[0].permute(1, 2, 0).numpy()
    there[...] = blended.round().clip(0, np.iinfo(whole.dtype).max).astype(whole.dtype)


def _calmed(flow: Tensor, weight: Tensor) -> Tensor:
    """Take a flow (1, h, w, 2) to the size of the weight (H, W), and weigh its motion."""
    still = identity_grid((weight.shape[0], weight.shape[1]), dtype=flow.dtype)
    return still + weight[..., None] * (resize_flow(flow, (weight.shape[0], weight.shape[1])) - still)


def _cells(size: tuple[int, int], regions: Sequence[Region]) -> tuple[int, int]:
    """So many that the smallest region has about 64, as the flow of a whole picture has."""
    smallest = min(max(region.size) for region in regions)
    density = min(64 / smallest, _MOST_CELLS / max(size), 1.0)
    return max(2, math.ceil(size[0] * density)), max(2, math.ceil(size[1] * density))


def _lay_motion(
    flow: Tensor, occlusion: Tensor, face: Moved, region: Region, weights: tuple[Tensor, Tensor], size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Lay a face's flow into the picture's; both are corner-aligned in their own frames."""
    still = identity_grid((flow.shape[1], flow.shape[2]))
    scale, offset = _into(region, size)
    inner = ((still - offset) / scale)[None]  # where the picture's cells lie in the region's frame
    inside = (inner.abs() <= 1).all(-1)[:, None].float()
    calm, cross = (_read(weight[None, None], inner) * inside for weight in weights)
    own = _read(face.flow.permute(0, 3, 1, 2), inner).permute(0, 2, 3, 1) * scale + offset
    placed = torch.lerp(still[None], own, calm.permute(0, 2, 3, 1))
    # Beside the face is what was there before, moved along: it may be the edge of another face.
    moved = placed + _read((flow - still).permute(0, 3, 1, 2), placed).permute(0, 2, 3, 1)
    seen = _read(face.occlusion, inner)
    return torch.lerp(moved, own, cross.permute(0, 2, 3, 1)), torch.lerp(_read(occlusion, placed), seen, cross)


def _read(maps: Tensor, places: Tensor) -> Tensor:
    return F.grid_sample(maps, places, padding_mode="border", align_corners=True)


def _into(region: Region, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Scale and offset that take the region's [-1, 1] to the picture's."""
    height, width = size
    low = torch.tensor([region.left / max(width - 1, 1), region.top / max(height - 1, 1)]) * 2 - 1
    high = torch.tensor([(region.right - 1) / max(width - 1, 1), (region.bottom - 1) / max(height - 1, 1)]) * 2 - 1
    return (high - low) / 2, (high + low) / 2
