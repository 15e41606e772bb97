"""Which faces of an image move: boxes as they are given, or found, become part of the motion parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug.animator import Animator
from fomaug.augment.pixels import Range, check_images, to_unit
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, MediaError, ShapeError
from fomaug.faces import Detector, Region, check_finder, find_regions, regions_around
from fomaug.motion import DrawSettings, MotionParams, draw

OnMissing = Literal["skip", "copy", "error"]
Faces = Literal["auto"] | Detector | Tensor | Sequence[Any]
"""Face boxes (x0, y0, x1, y1) in pixels, for each image none, one or more; or what finds them."""

Locate = Callable[[int], tuple[Region, ...]]  # number of an image to the regions of its faces


def make_locator(images: Tensor, faces: Faces, animator: Animator, value_range: Range) -> Locate:
    """Make the function that says where the faces of an image are.

    Args:
        images: (B, 3 or 1, H, W), uint8 or float in the range.
        faces: (B, M, 4) or (B, 4) boxes, or one (M, 4) for each image; a fifth column is visibility. Or a function from
            an (H, W, 3) uint8 picture to boxes; or "auto": the model looks.
        animator: the model.
        value_range: lowest and highest value of float images.

    Raises:
        ArgumentError: for another word, another number of images, or a model that cannot look.
    """
    check_images(images, value_range)
    size = images.shape[2], images.shape[3]
    if callable(faces) or isinstance(faces, str):
        if isinstance(faces, str) and faces != "auto":
            raise ArgumentError(f"faces must be boxes, a detector or 'auto', got {faces!r}")
        detector = faces if callable(faces) else None
        check_finder(animator, detector)
        return lambda row: find_regions(_to_picture(images[row], value_range), animator, detector=detector)
    if len(faces) != len(images):
        raise ArgumentError(
            f"faces holds boxes of {len(faces)} images, but there are {len(images)}; give some for each"
        )
    return lambda row: regions_around(_boxes(faces[row]), size)


def place(
    pool: DrivingPool,
    settings: DrawSettings,
    params: Sequence[MotionParams],
    locate: Locate,
    *,
    copies: int,
    on_missing: OnMissing,
) -> list[MotionParams]:
    """Tell motion parameters which faces of their images they move; every further face gets a draw of its own.

    Args:
        pool: which the parameters were drawn from.
        settings: how they were drawn.
        params: all copies of the first image first. Those that know their faces already keep them.
        locate: finds the faces of an image; asked only for images that move.
        copies: of each image.
        on_missing: an "error", or leave images without a face as they are.

    Raises:
        MediaError: an image has no face, and that is an error.
    """
    placed = list(params)
    open_rows = [row for row, param in enumerate(params) if not param.skipped and param.box is None]
    for image, group in groupby(open_rows, lambda row: row // copies):
        rows, regions = list(group), locate(image)
        if not regions and on_missing == "error":
            raise MediaError(f"the image {params[rows[0]].key!r} has no face that can be used")
        for row, param in zip(rows, _with_faces(pool, settings, [params[row] for row in rows], regions), strict=True):
            placed[row] = param
    return placed


def _with_faces(
    pool: DrivingPool, settings: DrawSettings, params: Sequence[MotionParams], regions: Sequence[Region]
) -> Iterator[MotionParams]:
    """The copies of one image, each with the draws of all faces."""
    if not regions:
        yield from (param.at_rest() for param in params)
        return
    first = params[0]
    copies = max(param.copy for param in params) + 1
    seeded = replace(settings, seed=first.seed)
    others = [
        draw(pool, seeded, [first.key], copies=copies, epoch=first.epoch, face=face) for face in range(1, len(regions))
    ]
    boxes = [region.edges for region in regions]
    for param in params:
        rest = [replace(draws[param.copy], box=box) for draws, box in zip(others, boxes[1:], strict=True)]
        yield replace(param, box=boxes[0], others=tuple(rest))


def _boxes(boxes: Any) -> list[list[float]]:
    """The visible boxes of one image, as plain numbers; None is an image without a face."""
    if boxes is None:
        return []
    array = np.asarray(boxes.detach().cpu() if isinstance(boxes, Tensor) else boxes, float)
    array = array.reshape(0, 4) if array.size == 0 else np.atleast_2d(array)
    if array.ndim != 2 or array.shape[1] not in (4, 5):
        raise ShapeError(f"face boxes of an image must be (M, 4) or, with visibility, (M, 5), got {array.shape}")
    visible = array[:, 4] > 0 if array.shape[1] == 5 else np.ones(len(array), bool)
    found: list[list[float]] = array[visible & np.isfinite(array).all(1), :4].tolist()
    return found


def _to_picture(image: Tensor, value_range: Range) -> NDArray[np.uint8]:
    """(3 or 1, H, W) to (H, W, 3) uint8."""
    unit = to_unit(image.detach()[None], value_range)[0]
    bytes_ = (unit * 255).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).cpu()
    picture: NDArray[np.uint8] = bytes_.contiguous().numpy()
    return picture
