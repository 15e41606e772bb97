"""Backward warps: for every target pixel, fetch the source where the flow points."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Padding = Literal["zeros", "border", "reflection"]
Mode = Literal["bilinear", "nearest", "bicubic"]


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample a flow onto another grid of the same frame, corner-aligned.

    Args:
        flow: (B, h, w, 2) backward flow, x and y in [-1, 1].
        size: (H, W).

    Returns:
        (B, H, W, 2).
    """
    if tuple(flow.shape[1:3]) == size:
        return flow
    channels_first = flow.permute(0, 3, 1, 2)
    return F.interpolate(channels_first, size=size, mode="bilinear", align_corners=True).permute(0, 2, 3, 1)


def resize_map(tensor: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample maps (B, C, h, w) that belong to a flow's grid to (B, C, H, W), corner-aligned."""
    if tuple(tensor.shape[2:]) == size:
        return tensor
    return F.interpolate(tensor, size=size, mode="bilinear", align_corners=True)


def warp_image(image: Tensor, flow: Tensor, *, mode: Mode = "bilinear", padding: Padding = "zeros") -> Tensor:
    """Fetch every pixel from where the backward flow points (paper: Sec. 3.2, the warp of the source).

    Args:
        image: (B, C, H, W) float.
        flow: (B, h, w, 2) in [-1, 1], corner-aligned; resized to (H, W) where it differs.
        mode: how to read between pixels.
        padding: what lies outside of the image.

    Returns:
        (B, C, H, W).
    """
    flow = resize_flow(flow, (image.shape[2], image.shape[3]))
    # Half floats cannot name a pixel of a large picture.
    exact = torch.promote_types(torch.promote_types(image.dtype, flow.dtype), torch.float32)
    warped = F.grid_sample(image.to(exact), flow.to(exact), mode=mode, padding_mode=padding, align_corners=True)
    return warped.to(image.dtype)
