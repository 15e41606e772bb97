"""Faces in batches of images: find their squares, animate them, and put them back where they were cut out.

`MotionAugment` and `fomaug.expand` share `animate_parts`: it groups the faces of several pictures, encodes each once,
and bounds a pass through the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby, product
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fomaug.animator import Animator
from fomaug.augment.pixels import Range, check_images, layout, to_unit
from fomaug.device import read_together
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, MediaError, ShapeError
from fomaug.faces import (
    Detector,
    MovedFace,
    Square,
    check_finder,
    compose_motion,
    face_squares,
    find_squares,
    flow_cells,
    put_back,
    whole_picture,
)
from fomaug.geometry import identity_grid
from fomaug.media import Frame, from_unit
from fomaug.motion import DrawSettings, MotionParams, MotionResult, PendingResult, draw
from fomaug.options import OnMissing
from fomaug.types import Keypoints

Faces = Literal["auto"] | Detector | Tensor | Sequence[Any]
"""Face boxes (left, top, right, bottom) in pixels, any number for each image; or a detector; or "auto": the model."""

Locate = Callable[[int], tuple[Square, ...]]  # function from an image's index to the squares around its faces


def make_locator(images: Tensor, faces: Faces, animator: Animator, value_range: Range) -> Locate:
    """Make the function that locates the faces of an image.

    Args:
        images: (B, 3 or 1, H, W), uint8 or float in the range.
        faces: (B, M, 4) or (B, 4) boxes, or one (M, 4) for each image; a fifth column is visibility. Or a function from
            an (H, W, 3) uint8 picture to boxes; or "auto" for the model's own search.
        animator: model that finds faces if there is no detector.
        value_range: lowest and highest value of float images.

    Raises:
        ArgumentError: `faces` is another word or has another length, or the model cannot find faces.
    """
    check_images(images, value_range)
    size = images.shape[2], images.shape[3]
    if callable(faces) or isinstance(faces, str):
        if isinstance(faces, str) and faces != "auto":
            raise ArgumentError(f"faces must be boxes, a detector or 'auto', got {faces!r}")
        detector = faces if callable(faces) else None
        check_finder(animator, detector)
        return lambda row: find_squares(_to_frame(images[row], value_range), animator, detector=detector)
    if len(faces) != len(images):
        raise ArgumentError(
            f"faces has boxes for {len(faces)} images, but there are {len(images)} images; give boxes for each"
        )
    boxes = on_host(faces)
    return lambda row: face_squares(_boxes(boxes[row]), size)


def place(
    pool: DrivingPool,
    settings: DrawSettings,
    params: Sequence[MotionParams],
    locate: Locate,
    *,
    copies: int,
    on_missing: OnMissing,
) -> list[MotionParams]:
    """Add the boxes of moving faces to motion parameters; every further face has its own draw.

    Args:
        pool: pool that the parameters were drawn from.
        settings: settings of the draw.
        params: motion parameters, all copies of the first image first. Those that have boxes already keep them.
        locate: function that locates the faces of an image; it is called only for images that move.
        copies: number of copies of each image.
        on_missing: "error" to raise for an image without a face; otherwise the image stays unchanged.

    Raises:
        MediaError: an image has no face, and `on_missing` is "error".
    """
    located = list(params)
    open_rows = [row for row, param in enumerate(params) if not param.skipped and param.box is None]
    for image, group in groupby(open_rows, lambda row: row // copies):
        rows, squares = list(group), locate(image)
        if not squares and on_missing == "error":
            raise MediaError(f"the image {params[rows[0]].key!r} has no face that can be used")
        for row, param in zip(rows, _with_faces(pool, settings, [params[row] for row in rows], squares), strict=True):
            located[row] = param
    return located


def _with_faces(
    pool: DrivingPool, settings: DrawSettings, params: Sequence[MotionParams], squares: Sequence[Square]
) -> Iterator[MotionParams]:
    """Yield the parameters of the copies of one image, each with the draws of all faces."""
    if not squares:
        yield from (param.at_rest() for param in params)
        return
    first = params[0]
    copies = max(param.copy for param in params) + 1
    seeded = replace(settings, seed=first.seed)
    others = [
        draw(pool, seeded, [first.key], copies=copies, epoch=first.epoch, face=face) for face in range(1, len(squares))
    ]
    for param in params:
        faces = (param, *(draws[param.copy] for draws in others))
        yield MotionParams.of_faces(replace(face, box=s.edges) for face, s in zip(faces, squares, strict=True))


def on_host(faces: Tensor | Sequence[Any]) -> Tensor | Sequence[Any]:
    """Copy the boxes of all images to the host, in one copy if they are tensors of one dtype on one device."""
    if isinstance(faces, Tensor):
        return faces.detach().cpu()
    there = {row: boxes for row, boxes in enumerate(faces) if isinstance(boxes, Tensor) and boxes.device.type != "cpu"}
    if len({(boxes.device, boxes.dtype) for boxes in there.values()}) != 1:
        return faces
    read = dict(zip(there, read_together(list(there.values())), strict=True))
    return [read.get(row, boxes) for row, boxes in enumerate(faces)]


def _boxes(boxes: Any) -> list[list[float]]:
    """Return the visible boxes of one image, as plain numbers; None means that the image has no face."""
    if boxes is None:
        return []
    array = np.asarray(boxes.detach().cpu() if isinstance(boxes, Tensor) else boxes, float)
    array = array.reshape(0, 4) if array.size == 0 else np.atleast_2d(array)
    if array.ndim != 2 or array.shape[1] not in (4, 5):
        raise ShapeError(f"face boxes of an image must be (M, 4) or, with visibility, (M, 5), got {array.shape}")
    visible = array[:, 4] > 0 if array.shape[1] == 5 else np.ones(len(array), bool)
    found: list[list[float]] = array[visible & np.isfinite(array).all(1), :4].tolist()
    return found


def _to_frame(image: Tensor, value_range: Range) -> Frame:
    """Convert an image (3 or 1, H, W) to (H, W, 3) uint8."""
    return from_unit(to_unit(image.detach()[None], value_range)[0])


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
            settled[row] = MotionParams.of_faces(moved.result.params[moved.row] for moved in found)
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
