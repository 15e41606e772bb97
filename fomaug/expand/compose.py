"""Faces of a picture: cut out of it, and blended back when they are animated, alpha and depth kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from fomaug.expand.move import Moved
from fomaug.faces import FaceMotion, Region, blend, compose_motion
from fomaug.media import Picture

_MOST_CELLS: Final = 512


def crop(picture: Picture, region: Region) -> Picture:
    """Cut a region out."""
    rows, columns = slice(region.top, region.bottom), slice(region.left, region.right)
    alpha = None if picture.alpha is None else picture.alpha[rows, columns]
    return replace(picture, pixels=picture.pixels[rows, columns], alpha=alpha)


def compose(picture: Picture, regions: Sequence[Region], faces: Sequence[Moved]) -> Moved:
    """Blend animated faces into their picture; flow and occlusion become those of the whole picture.

    Args:
        picture: the whole picture.
        regions: where the faces were cut out; later ones lie over earlier ones.
        faces: the animated cuttings.

    Returns:
        The whole picture, its parameters those of all faces with their boxes; outside of the regions it is the source,
        bit for bit.
    """
    pixels = picture.pixels.copy()
    alpha = None if picture.alpha is None else picture.alpha.copy()
    for region, face in zip(regions, faces, strict=True):
        _paste(pixels, face.picture.pixels, face, region)
        if alpha is not None and face.picture.alpha is not None:
            _paste(alpha, face.picture.alpha, face, region)
    motions = [FaceMotion(region, face.flow, face.occlusion) for region, face in zip(regions, faces, strict=True)]
    flow, occlusion = compose_motion(picture.size, _cells(picture.size, regions), motions)
    boxed = [replace(face.params, box=region.edges) for region, face in zip(regions, faces, strict=True)]
    params = replace(boxed[0], others=tuple(boxed[1:]))
    return Moved(replace(picture, pixels=pixels, alpha=alpha), params, flow, occlusion)


def _paste(whole: NDArray[Any], part: NDArray[Any], face: Moved, region: Region) -> None:
    """Blend a part (h, w, C) into the whole (H, W, C), in place."""
    there = whole[region.top : region.bottom, region.left : region.right]
    exact = torch.float32 if whole.dtype == np.uint8 else torch.float64
    before, after = (torch.from_numpy(array.astype(np.float32)).permute(2, 0, 1)[None] for array in (there, part))
    size = whole.shape[0], whole.shape[1]
    blended = blend(before.to(exact), after, face.flow, region, size)[0].permute(1, 2, 0).numpy()
    there[...] = blended.round().clip(0, np.iinfo(whole.dtype).max).astype(whole.dtype)


def _cells(size: tuple[int, int], regions: Sequence[Region]) -> tuple[int, int]:
    """So many that the smallest region has about 64, as the flow of a whole picture has."""
    smallest = min(max(region.size) for region in regions)
    density = min(64 / smallest, _MOST_CELLS / max(size), 1.0)
    return max(2, math.ceil(size[0] * density)), max(2, math.ceil(size[1] * density))
