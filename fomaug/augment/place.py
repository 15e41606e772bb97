"""Add the squares of moving faces to motion parameters: from given boxes, a detector or the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from fomaug.animator import Animator
from fomaug.augment.pixels import Range, check_images, to_unit
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, MediaError, ShapeError
from fomaug.faces import Detector, Square, check_finder, face_squares, find_squares
from fomaug.media import Frame, from_unit
from fomaug.motion import DrawSettings, MotionParams, draw
from fomaug.options import OnMissing

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
    boxes = [square.edges for square in squares]
    for param in params:
        rest = [replace(draws[param.copy], box=box) for draws, box in zip(others, boxes[1:], strict=True)]
        yield replace(param, box=boxes[0], others=tuple(rest))


def on_host(faces: Tensor | Sequence[Any]) -> Tensor | Sequence[Any]:
    """Copy the boxes of all images to the host, in one copy if they are tensors of one dtype on one device."""
    if isinstance(faces, Tensor):
        return faces.detach().cpu()
    there = {row: boxes for row, boxes in enumerate(faces) if isinstance(boxes, Tensor) and boxes.device.type != "cpu"}
    if len({(boxes.device, boxes.dtype) for boxes in there.values()}) != 1:
        return faces
    read = dict(zip(there, read_together(list(there.values())), strict=True))
    return [read.get(row, boxes) for row, boxes in enumerate(faces)]


def read_together(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copy tensors of one dtype to the host in one copy."""
    read = torch.cat([tensor.detach().flatten() for tensor in tensors]).cpu()
    parts = torch.split(read, [tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]


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
