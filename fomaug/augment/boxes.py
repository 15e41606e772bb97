"""Move the faces of images in their boxes, and leave the rest of the images as it is; mirror whole results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from fomaug.augment.pixels import Range, layout
from fomaug.errors import ArgumentError
from fomaug.faces import MovedFace, Square, compose_motion, flow_cells, put_back, whole_picture
from fomaug.geometry import identity_grid
from fomaug.motion import MotionParams, MotionResult, PendingResult

# The density is fixed, so that a batch gives the same flow as its singles, and high, as faces may be small.
_CELL_DENSITY: Final = 1 / 2

Animate = Callable[[Tensor, Sequence[MotionParams]], MotionResult]
_MovedFaces = dict[int, tuple[MovedFace, MotionResult, int]]  # by number of the face; the result and its row


def apply_in_boxes(
    animate: Animate, images: Tensor, params: Sequence[MotionParams], copies: int, value_range: Range
) -> MotionResult:
    """Move the faces of images in their boxes; the rest of an image keeps its pixels.

    Args:
        animate: function that moves whole images; it is called with the squares that are cut out.
        images: (B, C, H, W), uint8 or float in the range; not modified.
        params: B * copies parameters; those without a box move the whole image.
        copies: number of copies of each image.
        value_range: lowest and highest value of float images.

    Returns:
        The result as of `apply`. The flow has a cell for every second pixel of the whole images, and is the identity
        outside of the boxes.
    """
    size = images.shape[2], images.shape[3]
    cells = flow_cells(size, _CELL_DENSITY)
    image = images.repeat_interleave(copies, 0)
    flow = identity_grid(cells, device=images.device).repeat(len(params), 1, 1, 1)
    occlusion = torch.ones(len(params), 1, *cells, device=images.device)
    done = _animate_faces(animate, images, params, copies)
    for row, faces in done.items():
        moved = [faces[number][0] for number in sorted(faces)]
        source = row // copies
        image[row] = put_back(images[source : source + 1], moved, value_range=value_range)[0]
        flow[row], occlusion[row] = (part[0] for part in compose_motion(size, cells, moved))

    def settle() -> list[MotionParams]:
        settled = list(params)
        for row, faces in done.items():
            found = [result.params[index] for _, result, index in (faces[number] for number in sorted(faces))]
            settled[row] = _settle(params[row], found)
        return settled

    return make_result(image.contiguous(memory_format=layout(images)), flow, occlusion, params, settle)


def make_result(
    image: Tensor,
    flow: Tensor,
    occlusion: Tensor,
    drawn: Sequence[MotionParams],
    read: Callable[[], list[MotionParams]],
) -> MotionResult:
    """Make a result, whose parameters are read now if the host computed them, and otherwise when they are looked at."""
    if flow.device.type == "cpu":
        return MotionResult(image, flow, occlusion, read())
    return PendingResult(image, flow, occlusion, drawn, read)


def mirror_rows(result: MotionResult, params: Sequence[MotionParams]) -> MotionResult:
    """Mirror the rows whose parameters say so, with the flow and the occlusion that move their labels.

    Args:
        result: result of the parameters.
        params: parameters before they were fitted, which are known without waiting for a device.
    """
    mirrored = [param.mirrored and not param.skipped for param in params]
    if not any(mirrored):
        return result

    def flipped(values: Tensor, axis: int) -> Tensor:
        rows = torch.tensor(mirrored, device=values.device).view(-1, *[1] * (values.ndim - 1))
        return torch.where(rows, values.flip(axis), values)

    image = flipped(result.image, 3).contiguous(memory_format=layout(result.image))
    flow, occlusion = flipped(result.flow, 2), flipped(result.occlusion, 3)
    return make_result(image, flow, occlusion, params, lambda: result.params)


def _animate_faces(
    animate: Animate, images: Tensor, params: Sequence[MotionParams], copies: int
) -> dict[int, _MovedFaces]:
    """Animate the faces of all rows, those of one size together, so that every square is encoded once."""
    size = images.shape[2], images.shape[3]
    uses: dict[tuple[int, Square], list[tuple[int, int, MotionParams]]] = {}  # of a square: row, number and parameters
    for row, param in enumerate(params):
        for number, own in enumerate(() if param.skipped else param.faces):
            alone = replace(own, box=None, others=())
            uses.setdefault((row // copies, _square(own, size)), []).append((row, number, alone))
    groups: dict[tuple[tuple[int, int], int], list[tuple[int, Square]]] = {}
    for image, square in uses:
        groups.setdefault((square.size, len(uses[image, square])), []).append((image, square))
    made: dict[int, _MovedFaces] = {}
    for group in groups.values():
        parts = torch.stack([square.cut(images[image]) for image, square in group])
        rows = [(square, *use) for image, square in group for use in uses[image, square]]
        result = animate(parts, [param for *_, param in rows])
        for index, (square, row, number, _) in enumerate(rows):
            made.setdefault(row, {})[number] = _take(result, index, square)
    return made


def _take(result: MotionResult, index: int, square: Square) -> tuple[MovedFace, MotionResult, int]:
    one = slice(index, index + 1)
    return MovedFace(square, result.image[one], result.flow[one], result.occlusion[one]), result, index


def _settle(param: MotionParams, done: Sequence[MotionParams]) -> MotionParams:
    first, *others = [own.settle(face.reference, face.strength) for own, face in zip(param.faces, done, strict=True)]
    return replace(first, others=tuple(others))


def _square(param: MotionParams, size: tuple[int, int]) -> Square:
    square = whole_picture(size) if param.box is None else Square(*param.box)
    if not square.lies_in(size):
        raise ArgumentError(
            f"the motion of {param.key!r} is for a face at {param.box}, which an image of {size} does not hold; give "
            "the image it was drawn for"
        )
    return square
