"""Poses of faces: the area that keypoints span, and distances between poses that ignore position and size."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from fomaug.device import constants


def hull_area(value: Tensor) -> Tensor:
    """Measure the area of the convex hull of every sample's points.

    A directed edge is part of the hull when all other points are on its left; the shoelace sum over these edges is the
    area. The K^3 comparisons are cheap for a few dozen points, and run batched on any device.

    Args:
        value: (B, K, 2) points.

    Returns:
        (B,) areas in squared units of the points.

    >>> hull_area(torch.tensor([[[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.0], [1.0, 0.5]]])).tolist()
    [2.0]
    """
    points = value.detach()
    edges = points[:, None] - points[:, :, None]  # (B, K, K, 2), from the first to the second
    edge_x, edge_y = edges.unbind(-1)
    side = edge_x[..., None] * edge_y[:, :, None]
    side = side - side.transpose(2, 3)  # (B, K, K, K), positive where the third point is on the left
    # Of points on one line only the outer two are an edge: no point of the line is beyond its end or before its start.
    along = edge_x[..., None] * edge_x[:, :, None] + edge_y[..., None] * edge_y[:, :, None]
    length = edges.square().sum(-1)
    between = torch.minimum(along, length[..., None] - along)
    on_hull = (torch.where(side == 0, between, side).amin(-1) >= 0) & (length > 0)
    # Edges of points that coincide would be counted several times.
    same = (points[:, :, None] == points[:, None]).all(-1)
    first = ~(same & _earlier(points.shape[1], points.device)).any(-1)
    counted = on_hull & first[:, :, None] & first[:, None]
    start, end = value[:, :, None], value[:, None]
    shoelace = start[..., 0] * end[..., 1] - start[..., 1] * end[..., 0]
    return 0.5 * (shoelace * counted).sum((1, 2)).abs()


@constants
def _earlier(count: int, device: torch.device) -> Tensor:
    """Return (K, K) bool: whether the second point comes before the first."""
    return torch.ones(count, count, dtype=torch.bool, device=device).tril(-1)


_HULL_ROWS: Final = 64  # samples in a call of hull_area, which limits its memory of K^3 for each


def normalise(value: Tensor) -> Tensor:
    """Remove position and scale from points (N, K, 2): centre them and divide them by the root of their hull's area.

    >>> normalise(torch.rand(3, 10, 2)).shape
    torch.Size([3, 10, 2])
    """
    centred = value - value.mean(1, keepdim=True)
    area = torch.cat([hull_area(centred[row : row + _HULL_ROWS]) for row in range(0, len(centred), _HULL_ROWS)])
    # Points on one line span no area; the lower bound keeps the result finite.
    return centred / area.sqrt().clamp(min=1e-6)[:, None, None]


def pose_distance(source: Tensor, frames: Tensor) -> Tensor:
    """Compare poses, independent of the position and the size of the faces.

    Both point sets are centred and divided by the root of their hull's area, as in the search for the best frame in the
    public first-order-motion demo. Heads of different people also differ in shape, so small distances are not
    comparable between people.

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
    # A matrix product would be faster, but it loses the digits that distinguish neighbouring frames, and its last
    # digits depend on the number of rows.
    return torch.cdist(shapes.flatten(1), others.flatten(1), compute_mode="donot_use_mm_for_euclid_dist")
