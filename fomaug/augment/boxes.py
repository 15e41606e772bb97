"""Animate parts of pictures in batches, and put the faces of images back where they were cut out.

`MotionAugment` and `fomaug.expand` share `animate_parts`: it groups the faces of several pictures, encodes each once,
and bounds a pass through the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from typing import Final, NamedTuple

import torch
from torch import Tensor

from fomaug.augment.pixels import Range, layout
from fomaug.errors import ArgumentError
from fomaug.faces import MovedFace, Square, compose_motion, flow_cells, put_back, whole_picture
from fomaug.geometry import identity_grid
from fomaug.motion import MotionParams, MotionResult, PendingResult
from fomaug.types import Keypoints

# The density is fixed, so that a batch gives the same flow as its singles, and high, as faces may be small.
_CELL_DENSITY: Final = 1 / 2

_MOST_PIXELS: Final = 16_000_000  # of all results of a pass whose size is bounded

Animate = Callable[[Tensor, Sequence[MotionParams]], MotionResult]


class _Moved(NamedTuple):
    """A face that was animated, in the given row of a result."""

    square: Square
    result: MotionResult
    row: int

    @property
    def face(self) -> MovedFace:
        one = slice(self.row, self.row + 1)
        return MovedFace(self.square, self.result.image[one], self.result.flow[one], self.result.occlusion[one])


def animate_parts(
    animate: Animate, parts: Sequence[Tensor], draws: Sequence[Sequence[MotionParams]], *, batch_size: int | None = None
) -> Iterator[tuple[int, MotionResult, int]]:
    """Animate parts of pictures, each as often as it has draws; parts of one kind pass through the model together.

    Args:
        animate: function that moves a batch of images, all copies of the first image first.
        parts: images (C, h, w) of any sizes and dtypes.
        draws: motion parameters of each part, in any numbers.
        batch_size: largest number of results of one pass, fewer if they are large; None for no bound.

    Yields:
        The index of a part, a result, and the row of the result that shows the part. The rows of one part follow its
        draws.
    """
    kinds: dict[tuple[torch.Size, torch.dtype, int], list[int]] = {}
    for index, part in enumerate(parts):
        kinds.setdefault((part.shape, part.dtype, len(draws[index])), []).append(index)
    for (shape, _, copies), alike in kinds.items():
        most = len(alike) * copies
        if batch_size is not None:
            most = max(1, min(batch_size, _MOST_PIXELS // shape[1:].numel()))
        # A pass holds all copies of some parts, or some copies of one part.
        together, span = max(1, most // max(copies, 1)), max(1, min(copies, most))
        for start, first in product(range(0, len(alike), together), range(0, copies, span)):
            some = alike[start : start + together]
            rows = [(index, draw) for index in some for draw in draws[index][first : first + span]]
            result = animate(torch.stack([parts[index] for index in some]), [draw for _, draw in rows])
            yield from ((index, result, row) for row, (index, _) in enumerate(rows))


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
    for row, found in done.items():
        faces = [moved.face for moved in found]
        image[row] = put_back(images[row // copies][None], faces, value_range=value_range)[0]
        flow[row], occlusion[row] = (part[0] for part in compose_motion(size, cells, faces))

    def settle() -> list[MotionParams]:
        settled = list(params)
        for row, found in done.items():
            first, *others = (moved.result.params[moved.row] for moved in found)
            settled[row] = replace(first, others=tuple(others))
        return settled

    return make_result(image.contiguous(memory_format=layout(images)), flow, occlusion, params, settle)


def make_result(
    image: Tensor,
    flow: Tensor,
    occlusion: Tensor,
    drawn: Sequence[MotionParams],
    read: Callable[[], list[MotionParams]],
    keypoints: Keypoints | None = None,
) -> MotionResult:
    """Make a result; its parameters are read now if the host computed them, otherwise on first access."""
    if flow.device.type == "cpu":
        return MotionResult(image, flow, occlusion, read(), keypoints)
    return PendingResult(image, flow, occlusion, drawn, read, keypoints=keypoints)


def mirror_rows(result: MotionResult, params: Sequence[MotionParams]) -> MotionResult:
    """Mirror the rows with mirrored parameters, and the flow and the occlusion that move their labels.

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
    return make_result(image, flow, occlusion, params, lambda: result.params, result.keypoints)


def _animate_faces(
    animate: Animate, images: Tensor, params: Sequence[MotionParams], copies: int
) -> dict[int, list[_Moved]]:
    """Animate the faces of all rows that move, in their order; every square of an image is encoded once."""
    size = images.shape[2], images.shape[3]
    uses: dict[tuple[int, Square], list[tuple[int, int]]] = {}  # rows and numbers of the faces in a square of an image
    for row, param in enumerate(params):
        for number, own in enumerate(() if param.skipped else param.faces):
            uses.setdefault((row // copies, _square(own, size)), []).append((row, number))
    parts = [square.cut(images[image]) for image, square in uses]
    draws = [[params[row].faces[number] for row, number in rows] for rows in uses.values()]
    waiting = [(square, iter(rows)) for (_, square), rows in uses.items()]
    made: dict[int, dict[int, _Moved]] = {}
    for index, result, result_row in animate_parts(animate, parts, draws):
        square, rows = waiting[index]
        row, number = next(rows)
        made.setdefault(row, {})[number] = _Moved(square, result, result_row)
    return {row: [faces[number] for number in sorted(faces)] for row, faces in made.items()}


def _square(param: MotionParams, size: tuple[int, int]) -> Square:
    square = whole_picture(size) if param.box is None else Square(*param.box)
    if not square.lies_in(size):
        raise ArgumentError(
            f"the motion of {param.key!r} is for a face at {param.box}, which is not inside an image of {size}; give "
            "the image it was drawn for"
        )
    return square
