"""Labels in pixels, as batches hold them, moved by the flow that moved their picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from fomaug import warp
from fomaug._errors import ShapeError

Size = tuple[int, int]
Move = Callable[[Any, Tensor, Size, Sequence[int]], Any]


def move_masks(masks: Any, flow: Tensor, size: Size, rows: Sequence[int]) -> Any:
    """Move (B, H, W) or (B, C, H, W) masks; void and class numbers stay what they are."""

    def move(mask: Tensor, flow: Tensor) -> Tensor:
        return warp.mask(mask, flow)

    return _by_rows(masks, flow, rows, move)


def move_points(points: Any, flow: Tensor, size: Size, rows: Sequence[int]) -> Any:
    """Move (B, M, 2) pixel points; a third column is visibility, set to 0 where a point can no longer be seen."""

    def move(points: Tensor, flow: Tensor) -> Tensor:
        _check_columns("points", points, (2, 3))
        moved, visible = warp.points(_to_unit(points[..., :2], size), flow)
        return _with_visibility(_to_pixels(moved, size), visible, points[..., 2:])

    return _by_rows(points, flow, rows, move)


def move_boxes(boxes: Any, flow: Tensor, size: Size, rows: Sequence[int]) -> Any:
    """Move (B, M, 4) pixel boxes x, y, x, y; a fifth column is visibility."""

    def move(boxes: Tensor, flow: Tensor) -> Tensor:
        _check_columns("boxes", boxes, (4, 5))
        corners = torch.unflatten(boxes[..., :4], -1, (2, 2))
        moved, visible = warp.boxes(_to_unit(corners, size).flatten(-2), flow)
        pixels = _to_pixels(torch.unflatten(moved, -1, (2, 2)), size).flatten(-2)
        return _with_visibility(pixels, visible, boxes[..., 4:])

    return _by_rows(boxes, flow, rows, move)


def _by_rows(labels: Any, flow: Tensor, rows: Sequence[int], move: Callable[[Tensor, Tensor], Tensor]) -> Any:
    """Move the labels of some images: a tensor with a batch axis, or one tensor for each image."""
    if isinstance(labels, Tensor):
        flat = labels[:, None] if labels.ndim == 2 else labels  # (B, 4) boxes: one for each image
        moved = flat.clone()
        chosen = torch.as_tensor(rows, device=labels.device)
        moved[chosen] = move(flat[chosen], flow[rows].to(labels.device)).to(labels.dtype)
        return moved.view_as(labels)
    found = list(labels)
    for row in rows:
        moved = move(found[row][None], flow[[row]].to(found[row].device))[0]
        found[row] = moved.to(found[row].dtype)
    return type(labels)(found)


def _with_visibility(values: Tensor, visible: Tensor, before: Tensor) -> Tensor:
    after = torch.where(visible[..., None], before, torch.zeros_like(before))
    return torch.cat([values, after.to(values.dtype)], -1)


def _to_unit(points: Tensor, size: Size) -> Tensor:
    return points.to(torch.float32) / _half_sides(points, size) - 1


def _to_pixels(points: Tensor, size: Size) -> Tensor:
    return (points + 1) * _half_sides(points, size)


def _half_sides(points: Tensor, size: Size) -> Tensor:
    height, width = size
    return torch.tensor([(width - 1) / 2, (height - 1) / 2], device=points.device)


def _check_columns(name: str, labels: Tensor, allowed: tuple[int, int]) -> None:
    if labels.ndim != 3 or labels.shape[-1] not in allowed:
        raise ShapeError(f"{name} must be (B, M, {allowed[0]} or {allowed[1]}), got {tuple(labels.shape)}")
