"""Poses of faces, compared whatever the position and the size of the faces."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from fomaug.geometry.hull import hull_area

_HULL_ROWS: Final = 64  # a hull compares every point with every pair of points; this bounds the memory of it


def normalise(value: Tensor) -> Tensor:
    """Take position and scale out of points (N, K, 2): centre them and divide by the root of their hull's area.

    >>> normalise(torch.rand(3, 10, 2)).shape
    torch.Size([3, 10, 2])
    """
    centred = value - value.mean(1, keepdim=True)
    area = torch.cat([hull_area(centred[row : row + _HULL_ROWS]) for row in range(0, len(centred), _HULL_ROWS)])
    # Points on one line span no area; the floor keeps such a frame comparable instead of infinite.
    return centred / area.sqrt().clamp(min=1e-6)[:, None, None]


def pose_distance(source: Tensor, frames: Tensor) -> Tensor:
    """Compare poses, whatever the position and the size of the faces.

    Both point sets are centred and divided by the root of their hull's area, as the public first-order-motion demo does
    for its best frame. Turned heads of different people differ in shape, too, so small distances are not comparable
    between people.

    Args:
        source: (B, K, 2) points.
        frames: (T, K, 2) points.

    Returns:
        (B, T) root of the summed squared differences, 0 for equal poses.

    >>> pose_distance(torch.rand(2, 10, 2), torch.rand(5, 10, 2)).shape
    torch.Size([2, 5])
    """
    return shape_distance(normalise(source), normalise(frames))


def shape_distance(shapes: Tensor, others: Tensor) -> Tensor:
    """Compare normalised points (B, K, 2) with normalised points (T, K, 2): (B, T) distances."""
    # A matrix product would be faster, but loses the digits that tell neighbouring frames apart, and its last digits
    # depend on the number of rows.
    return torch.cdist(shapes.flatten(1), others.flatten(1), compute_mode="donot_use_mm_for_euclid_dist")
