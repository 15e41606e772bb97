"""Labels in pixels, as batches hold them, moved as their pictures moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fomaug import warp
from fomaug.augment import MotionResult
from fomaug.data.pictures import label_like, label_tensor
from fomaug.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Movement:
    """How the pictures of a batch moved.

    Attributes:
        flow: (B, h, w, 2) backward flow.
        occlusion: (B, 1, h, w), 1 where the picture shows its source.
        size: (H, W) of the pictures.
        rows: those that moved at all; the labels of the others are left alone.
    """

    flow: Tensor
    occlusion: Tensor
    size: tuple[int, int]
    rows: Sequence[int]

    @staticmethod
    def of(result: MotionResult) -> Movement:
        """Read the movement off a result."""
        height, width = result.image.shape[2:]
        rows = [row for row, param in enumerate(result.params) if not param.skipped]
        return Movement(result.flow, result.occlusion, (height, width), rows)

    def part(self, rows: Sequence[int], device: torch.device) -> Movement:
        """Take some rows, on the labels' device."""
        return Movement(self.flow[rows].to(device), self.occlusion[rows].to(device), self.size, range(len(rows)))


Move = Callable[[Tensor, Movement], Tensor]


def move_mask(mask: Tensor, movement: Movement) -> Tensor:
    """Move (B, H, W), (B, C, H, W) or (B, H, W, C) masks; class numbers are never blended.

    The last are told by H and W, which are in proportion to those of the pictures.
    """
    if mask.ndim == 4 and _channels_last(mask, movement.size):
        return warp.mask(mask.movedim(3, 1), movement.flow).movedim(1, 3).contiguous()
    return warp.mask(mask, movement.flow)


def move_points(points: Tensor, movement: Movement) -> Tensor:
    """Move (B, M, 2) pixel points; a third column is visibility, set to 0 where a point can no longer be seen."""
    _check_columns("points", points, (2, 3))
    moved, visible = warp.points(
        _floats(points[..., :2]), movement.flow, occlusion=movement.occlusion, size=movement.size
    )
    return _like(moved, visible, points[..., 2:])


def move_boxes(boxes: Tensor, movement: Movement) -> Tensor:
    """Move (B, M, 4) pixel boxes x, y, x, y; a fifth column is visibility."""
    _check_columns("boxes", boxes, (4, 5))
    moved, visible = warp.boxes(
        _floats(boxes[..., :4]), movement.flow, occlusion=movement.occlusion, size=movement.size
    )
    return _like(moved, visible, boxes[..., 4:])


def move_labels(labels: Any, movement: Movement, move: Move) -> Any:
    """Move the labels of a batch: a tensor with a batch axis, or a list or tuple with the label of each picture.

    None is no label, of the batch or of one picture, and stays.
    """
    if labels is None:
        return None
    if not isinstance(labels, Tensor | list | tuple):
        raise ShapeError(
            f"the labels of a batch must be a tensor, or a list with the label of each picture, got "
            f"{type(labels).__name__}; set the place of the labels, or leave it out"
        )
    if not (labels.numel() if isinstance(labels, Tensor) else len(labels)):
        return labels
    rows = list(movement.rows)
    if isinstance(labels, Tensor):
        # (B, 4) boxes and (B, 2) points: one for each picture.
        wide = labels[:, None] if labels.ndim == 2 else labels
        moved = move(wide[rows], movement.part(rows, labels.device))
        # Picked out of both: torch cannot put rows of every dtype in their places.
        order = list(range(len(wide)))
        for place, row in enumerate(rows, start=len(wide)):
            order[row] = place
        return torch.cat([wide, moved])[order].view_as(labels)
    found = list(labels)
    for row in rows:
        found[row] = move_label(found[row], movement, row, move)
    return type(labels)(found)


def move_label(label: Any, movement: Movement, row: int, move: Move) -> Any:
    """Move the label of one picture of a batch: a tensor, an array, a PIL mask or nested lists; it stays what it is.

    None is no label, and stays.
    """
    if label is None:
        return None
    values = label_tensor(label)
    if not values.numel():
        return label  # [] is a list of no boxes as well as of no points
    moved = move_labels(values[None], movement.part([row], values.device), move)
    return label_like(moved[0], label)


def _channels_last(masks: Tensor, size: tuple[int, int]) -> bool:
    """Whether (B, ?, ?, ?) masks are (B, H, W, C); where that may be so or not, they are (B, C, H, W)."""
    (a, b, c), (height, width) = masks.shape[1:], size
    return a * width == b * height and b * width != c * height


def _floats(values: Tensor) -> Tensor:
    return values if values.is_floating_point() else values.float()


def _like(moved: Tensor, visible: Tensor, flags: Tensor) -> Tensor:
    """Put the visibility behind the coordinates, all in the dtype of the label."""
    kept = torch.where(visible[..., None], flags, torch.zeros_like(flags))
    exact = moved if flags.is_floating_point() else moved.round()
    return torch.cat([exact.to(flags.dtype), kept], -1)


def _check_columns(name: str, labels: Tensor, allowed: tuple[int, int]) -> None:
    if labels.ndim != 3 or labels.shape[-1] not in allowed:
        raise ShapeError(f"{name} must be (B, M, {allowed[0]} or {allowed[1]}), got {tuple(labels.shape)}")
