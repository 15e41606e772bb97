"""Labels in pixels, moved by a flow.

Two frames are in use among the libraries. Points, and kornia's boxes, count pixel centres: the corner pixels' centres
are at 0 and (W - 1, H - 1). Boxes elsewhere count pixel edges: the whole picture is (0, 0, W, H). `fomaug.warp` turns
the one into the other.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fomaug import warp

Size = tuple[int, int]


def move_points_px(xy_px: Tensor, flow: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Move points along with their pictures; a missing one, NaN or (-1, -1), stays as it is and is not visible.

    Args:
        xy_px: (B, M, 2) of any dtype, (x, y) of pixel centres.
        flow: (B, h, w, 2) backward flow in [-1, 1].
        size: (H, W) of the pictures.

    Returns:
        (B, M, 2) in the dtype of `xy_px`, and (B, M) bool: False where the picture no longer shows the point; then it
        is the nearest place.
    """
    moved, visible = warp.points(xy_px.to(flow.dtype), flow, size=size)
    return _like(moved, xy_px), visible


def move_boxes_px(xyxy_px: Tensor, flow: Tensor, size: Size) -> tuple[Tensor, Tensor]:
    """Move boxes along with their pictures, to the boxes of what they held.

    Args:
        xyxy_px: (B, M, 4) of any dtype, first and last pixel centre in x and y.
        flow: (B, h, w, 2) backward flow in [-1, 1].
        size: (H, W) of the pictures.

    Returns:
        (B, M, 4) in the dtype of `xyxy_px`, within the picture, and (B, M) bool: False where hardly anything of the
        content is left.
    """
    if not xyxy_px.shape[1]:
        return xyxy_px, torch.ones(xyxy_px.shape[:2], dtype=torch.bool, device=xyxy_px.device)
    moved, visible = warp.boxes(xyxy_px.to(flow.dtype), flow, size=size)
    return _like(moved, xyxy_px), visible


def move_corners_px(xy_px: Tensor, flow: Tensor, size: Size) -> Tensor:
    """Move corners of boxes as `move_points_px` moves points; none but NaN is missing."""
    half = torch.tensor([max(side - 1, 1) / 2 for side in size[::-1]], device=flow.device, dtype=flow.dtype)
    moved, _ = warp.points(xy_px.to(flow.dtype) / half - 1, flow)
    return _like((moved + 1) * half, xy_px)


def _like(values: Tensor, given: Tensor) -> Tensor:
    if not given.is_floating_point():
        values = values.round()
    return values.to(given.dtype)
