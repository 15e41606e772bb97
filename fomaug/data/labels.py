"""Move images and labels of every kind in batches and items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fomaug.augment import MotionResult
from fomaug.errors import ShapeError
from fomaug.labels import Movement
from fomaug.media import check_mode, like_array, to_array, to_tensor

AnyImage = Tensor | NDArray[Any] | Image.Image
"""A (C, H, W) tensor, an (H, W, C) or (H, W) array, or a PIL image."""

Move = Callable[[Tensor, Movement], Tensor]


@dataclass(frozen=True, eq=False)
class BatchMovement:
    """The motion of the images of a batch.

    Attributes:
        movement: motion of all images.
        rows: rows of the images that moved at all; the labels of the others stay as they are.
    """

    movement: Movement
    rows: Sequence[int]

    @staticmethod
    def of(result: MotionResult) -> BatchMovement:
        """Return the motion of a result."""
        height, width = result.image.shape[2:]
        return BatchMovement(Movement(result.flow, result.occlusion, (height, width)), result.moving)


def move_mask(mask: Tensor, movement: Movement) -> Tensor:
    """Move (B, H, W), (B, C, H, W) or (B, H, W, C) masks; class numbers are never blended.

    The last kind is recognised by H and W, which are in proportion to those of the images.
    """
    if mask.ndim == 4 and _channels_last(mask, movement.size):
        return movement.masks(mask.movedim(3, 1)).movedim(1, 3).contiguous()
    return movement.masks(mask)


def move_points(points: Tensor, movement: Movement) -> Tensor:
    """Move (B, M, 2) pixel points; a third column is visibility, set to 0 for points that the motion hides."""
    _check_columns("points", points, (2, 3))
    return _with_visibility(*movement.points(points[..., :2]), movement.swapped(points[..., 2:]))


def move_boxes(boxes: Tensor, movement: Movement) -> Tensor:
    """Move (B, M, 4) pixel boxes x, y, x, y; a fifth column is visibility."""
    _check_columns("boxes", boxes, (4, 5))
    return _with_visibility(*movement.boxes(boxes[..., :4]), boxes[..., 4:])


def move_labels(labels: Any, batch: BatchMovement, move: Move) -> Any:
    """Move the labels of a batch: a tensor with a batch axis, or a list or tuple with the label of each image.

    None, for the batch or for one image, means no label, and stays.
    """
    if labels is None:
        return None
    if not isinstance(labels, Tensor | list | tuple):
        raise ShapeError(
            f"the labels of a batch must be a tensor, or a list with the label of each picture, got "
            f"{type(labels).__name__}; set the path of the labels, or leave it out"
        )
    if not (labels.numel() if isinstance(labels, Tensor) else len(labels)):
        return labels
    rows = list(batch.rows)
    if isinstance(labels, Tensor):
        # (B, 4) boxes and (B, 2) points: one for each image.
        wide = labels[:, None] if labels.ndim == 2 else labels
        moved = move(wide[rows], batch.movement.of(rows, labels.device))
        # Selected from both by index: torch cannot assign rows of every dtype.
        order = list(range(len(wide)))
        for index, row in enumerate(rows, start=len(wide)):
            order[row] = index
        return torch.cat([wide, moved])[order].view_as(labels)
    found = list(labels)
    for row in rows:
        found[row] = move_label(found[row], batch.movement, row, move)
    return type(labels)(found)


def move_label(label: Any, movement: Movement, row: int, move: Move) -> Any:
    """Move the label of one image of a batch: a tensor, an array, a PIL mask or nested lists; its type stays.

    None means no label, and stays.
    """
    if label is None:
        return None
    values = label_tensor(label)
    if not values.numel():
        return label  # [] is a list of no boxes as well as of no points
    alone = BatchMovement(movement.of([row], values.device), [0])
    return label_like(move_labels(values[None], alone, move)[0], label)


def image_tensor(image: AnyImage) -> Tensor:
    """Return an image as (C, H, W), values as they are."""
    if isinstance(image, Tensor):
        if image.ndim != 3:
            raise ShapeError(f"a picture must be a (C, H, W) tensor, got {tuple(image.shape)}")
        return image
    if isinstance(image, Image.Image):
        check_mode(image.mode)
        image = np.asarray(image)
    if not isinstance(image, np.ndarray):
        raise ShapeError(f"a picture must be a tensor, an array or a PIL image, got {type(image).__name__}")
    if image.ndim not in (2, 3):
        raise ShapeError(f"a picture must be an (H, W) or (H, W, C) array, got {image.shape}")
    return to_tensor(image[..., None] if image.ndim == 2 else image)


def image_like(moved: Tensor, image: AnyImage) -> AnyImage:
    """Return a moved (C, H, W) tensor as an image of the given one's type."""
    if isinstance(image, Tensor):
        return moved
    if isinstance(image, Image.Image):
        pixels = to_array(moved)
        return Image.fromarray(pixels[..., 0] if image.mode == "L" else pixels)
    return like_array(moved, image)


def label_tensor(label: object) -> Tensor:
    """Return a label as a tensor: tensor, array, PIL mask, or nested lists."""
    if isinstance(label, Tensor):
        return label
    try:
        return torch.from_numpy(np.array(label))
    except (TypeError, ValueError) as error:
        raise ShapeError(
            f"a label must be a tensor, an array, a PIL mask or nested lists of numbers, got {type(label).__name__} "
            f"({error}); give None for a picture without one"
        ) from error


def label_like(moved: Tensor, label: object) -> object:
    """Return a moved label as a label of the given one's type."""
    if isinstance(label, Tensor):
        return moved
    if isinstance(label, Image.Image):
        mask = Image.fromarray(moved.numpy())
        if label.mode == "P":
            mask.putpalette(label.getpalette() or [])
        return mask
    return moved.numpy() if isinstance(label, np.ndarray) else moved.tolist()


def _channels_last(masks: Tensor, size: tuple[int, int]) -> bool:
    """Return whether (B, ?, ?, ?) masks can only be (B, H, W, C); ambiguous ones count as (B, C, H, W)."""
    (a, b, c), (height, width) = masks.shape[1:], size
    return a * width == b * height and b * width != c * height


def _with_visibility(moved: Tensor, visible: Tensor, flags: Tensor) -> Tensor:
    """Append the column of visibility, if the label has one."""
    return torch.cat([moved, torch.where(visible[..., None], flags, torch.zeros_like(flags))], -1)


def _check_columns(name: str, labels: Tensor, allowed: tuple[int, int]) -> None:
    if labels.ndim != 3 or labels.shape[-1] not in allowed:
        raise ShapeError(f"{name} must be (B, M, {allowed[0]} or {allowed[1]}), got {tuple(labels.shape)}")
