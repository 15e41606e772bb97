"""Labels in pixels, as batches hold them, moved as their pictures moved."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fomaug import warp
from fomaug._errors import ShapeError
from fomaug.augment import MotionResult


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
    """Move (B, H, W) or (B, C, H, W) masks; class numbers are never blended."""
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
    if not boxes.numel():
        return boxes
    moved, visible = warp.boxes(
        _floats(boxes[..., :4]), movement.flow, occlusion=movement.occlusion, size=movement.size
    )
    return _like(moved, visible, boxes[..., 4:])


def move_labels(labels: Any, movement: Movement, move: Move) -> Any:
    """Move the labels of a batch: a tensor with a batch axis, or a list or tuple of one tensor for each picture."""
    rows = list(movement.rows)
    if isinstance(labels, Tensor):
        # (B, 4) boxes and (B, 2) points: one for each picture.
        wide = labels[:, None] if labels.ndim == 2 else labels
        moved = wide.clone()
        moved[rows] = move(wide[rows], movement.part(rows, labels.device))
        return moved.view_as(labels)
    found = list(labels)
    for row in rows:
        found[row] = move(found[row][None], movement.part([row], found[row].device))[0]
    return type(labels)(found)


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
