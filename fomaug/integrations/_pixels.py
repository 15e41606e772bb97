"""Labels in pixels, moved by a flow.

Two frames are in use among the libraries. Points, and kornia's boxes, count pixel centres: the corner pixels' centres
are at 0 and (W - 1, H - 1). Boxes elsewhere count pixel edges: the whole picture is (0, 0, W, H).
"""

from __future__ import annotations

import torch
from torch import Tensor

from fomaug import warp

Size = tuple[int, int]


def move_points_px(xy_px: Tensor, flow: Tensor, size: Size) -> Tensor:
    """Move points along with their pictures.

    Args:
        xy_px: (B, M, 2) of any dtype, (x, y) of pixel centres.
        flow: (B, h, w, 2) backward flow in [-1, 1].
        size: (H, W) of the pictures.

    Returns:
        (B, M, 2) in the dtype of `xy_px`; points that nothing shows any more are where they would be.
    """
    if xy_px.numel() == 0:
        return xy_px
    scale = _half_spans(flow, size)
    moved, _ = warp.points(xy_px.to(flow.device, flow.dtype) / scale - 1, flow)
    return _like((moved + 1) * scale, xy_px)


def move_boxes_px(xyxy_px: Tensor, flow: Tensor, size: Size) -> Tensor:
    """Move boxes along with their pictures, to the boxes of what they held.

    Args:
        xyxy_px: (B, M, 4) of any dtype, first and last pixel centre in x and y.
        flow: (B, h, w, 2) backward flow in [-1, 1].
        size: (H, W) of the pictures.

    Returns:
        (B, M, 4) in the dtype of `xyxy_px`.
    """
    if xyxy_px.numel() == 0:
        return xyxy_px
    scale = _half_spans(flow, size).repeat(2)
    moved, _ = warp.boxes(xyxy_px.to(flow.device, flow.dtype) / scale - 1, flow)
    return _like((moved + 1) * scale, xyxy_px)


def edges_to_centres(xyxy_px: Tensor) -> Tensor:
    """Turn boxes that count edges into the centres of their first and last pixels.

    A box thinner than a pixel becomes its middle line, and `centres_to_edges` gives it a pixel's width.
    """
    first, last = xyxy_px[..., :2], xyxy_px[..., 2:] - 1
    middle = (first + last) / 2
    return torch.cat([torch.minimum(first, middle), torch.maximum(last, middle)], -1)


def centres_to_edges(xyxy_px: Tensor) -> Tensor:
    """Turn first and last pixel centres into edges.

    >>> centres_to_edges(edges_to_centres(torch.tensor([2.0, 3.0, 7.0, 9.0])))
    tensor([2., 3., 7., 9.])
    """
    return torch.cat([xyxy_px[..., :2], xyxy_px[..., 2:] + 1], -1)


def _half_spans(flow: Tensor, size: Size) -> Tensor:
    """Half the distance between the outer pixel centres, (x, y)."""
    return flow.new_tensor([(size[1] - 1) / 2, (size[0] - 1) / 2]).clamp(min=0.5)


def _like(values: Tensor, given: Tensor) -> Tensor:
    if not given.is_floating_point():
        values = values.round()
    return values.to(given.device, given.dtype)
