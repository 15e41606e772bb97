"""Apply motion parameters to faces in larger images: cut out, animated, blended back."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

import torch
from torch import Tensor

from fomaug.augment.pixels import Range, layout
from fomaug.errors import ArgumentError
from fomaug.faces import FaceMotion, Region, compose_motion, paste
from fomaug.geometry import identity_grid
from fomaug.motion import MotionParams, MotionResult

_CELL: Final = 2  # pixels of the image to a cell of its flow: faces may be small in it
_MOST_CELLS: Final = 512

Animate = Callable[[Tensor, Sequence[MotionParams]], MotionResult]


class _Face(NamedTuple):
    """One face of one copy: its place among the results, and how it moved."""

    image: Tensor  # (1, C, h, w)
    flow: Tensor
    occlusion: Tensor
    params: MotionParams


def apply_in_boxes(
    animate: Animate, images: Tensor, params: Sequence[MotionParams], copies: int, value_range: Range
) -> MotionResult:
    """Move the faces of images in their boxes; the rest of an image keeps its pixels.

    Args:
        animate: moves whole images; here the cuttings.
        images: (B, C, H, W), uint8 or float in the range; not modified.
        params: B * copies; those without a box move the whole image.
        copies: of each image.
        value_range: lowest and highest value of float images.

    Returns:
        As `apply`; the flow is that of the whole images, identity outside of the boxes, on a cell for every second
        pixel.
    """
    size = images.shape[2], images.shape[3]
    made = _animate_faces(animate, images, params, copies)
    cells = _cells(size)
    image = images.repeat_interleave(copies, 0)
    flow = identity_grid(cells, device=images.device).repeat(len(params), 1, 1, 1)
    occlusion = torch.ones(len(params), 1, *cells, device=images.device)
    settled = list(params)
    for row, param in enumerate(params):
        if param.skipped:
            continue
        faces = made[row]
        regions = [_region(own, size) for own in param.faces]
        image[row] = _paste_all(images[row // copies], faces, regions, value_range)
        motions = [FaceMotion(region, face.flow, face.occlusion) for face, region in zip(faces, regions, strict=True)]
        flow[row], occlusion[row] = (part[0] for part in compose_motion(size, cells, motions))
        settled[row] = _settle(param, [face.params for face in faces])
    return MotionResult(image.contiguous(memory_format=layout(images)), flow, occlusion, settled)


def _animate_faces(
    animate: Animate, images: Tensor, params: Sequence[MotionParams], copies: int
) -> dict[int, list[_Face]]:
    """Animate the faces of all rows, those of one size together; every cutting is encoded once."""
    size = images.shape[2], images.shape[3]
    wanted: dict[tuple[int, Region], list[tuple[int, int, MotionParams]]] = {}
    for row, param in enumerate(params):
        for number, own in enumerate(() if param.skipped else param.faces):
            alone = replace(own, box=None, others=())
            wanted.setdefault((row // copies, _region(own, size)), []).append((row, number, alone))
    groups: dict[tuple[tuple[int, int], int], list[tuple[int, Region]]] = {}
    for (image, region), uses in wanted.items():
        groups.setdefault((region.size, len(uses)), []).append((image, region))
    made: dict[int, dict[int, _Face]] = {}
    for group in groups.values():
        uses = [use for cutting in group for use in wanted[cutting]]
        result = animate(torch.stack([region.cut(images[image]) for image, region in group]), [use[2] for use in uses])
        for place, (row, number, _) in enumerate(uses):
            made.setdefault(row, {})[number] = _take(result, place)
    return {row: [faces[number] for number in sorted(faces)] for row, faces in made.items()}


def _take(result: MotionResult, place: int) -> _Face:
    one = slice(place, place + 1)
    return _Face(result.image[one], result.flow[one], result.occlusion[one], result.params[place])


def _paste_all(image: Tensor, faces: Iterable[_Face], regions: Sequence[Region], value_range: Range) -> Tensor:
    low, high = (0.0, 255.0) if image.dtype == torch.uint8 else value_range
    whole = image[None]
    for face, region in zip(faces, regions, strict=True):
        exact = torch.promote_types(image.dtype, torch.float32)
        pasted = paste(whole.to(exact), face.image.to(exact), face.flow, region)
        # Only what was pasted: an image may hold values beyond its range, and these stay.
        inside = region.cut(pasted).clamp(low, high)
        whole = whole.clone()
        region.cut(whole).copy_(inside.round() if image.dtype == torch.uint8 else inside)
    return whole[0]


def _settle(param: MotionParams, done: Sequence[MotionParams]) -> MotionParams:
    first, *others = [own.settle(face.reference, face.strength) for own, face in zip(param.faces, done, strict=True)]
    return replace(first, others=tuple(others))


def _region(param: MotionParams, size: tuple[int, int]) -> Region:
    region = Region(0, 0, size[1], size[0]) if param.box is None else Region(*param.box)
    if not region.lies_in(size):
        raise ArgumentError(
            f"the motion of {param.key!r} is for a face at {param.box}, which an image of {size} does not hold; give "
            "the image it was drawn for"
        )
    return region


def _cells(size: tuple[int, int]) -> tuple[int, int]:
    """Fixed by the image's size alone: a batch must give what its singles give."""
    density = min(1 / _CELL, _MOST_CELLS / max(size))
    return max(2, math.ceil(size[0] * density)), max(2, math.ceil(size[1] * density))
