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
    length = along.diagonal(dim1=2, dim2=3)  # (B, K, K), squared
    between = torch.minimum(along, length[..., None] - along)
    on_hull = torch.where(side == 0, between, side).amin(-1) >= 0
    # Edges of points that coincide would be counted several times, so the later ones are moved to the origin, where
    # their terms are 0. So is the term of an edge without a length.
    first = ((length > 0) | _not_earlier(points.shape[1], points.device)).all(-1)
    x, y = (value * first[..., None]).unbind(-1)
    product = x[:, :, None] * y[:, None]
    return 0.5 * ((product - product.mT) * on_hull).sum((1, 2)).abs()


@constants
def _not_earlier(count: int, device: torch.device) -> Tensor:
    """Return (K, K) bool: whether the second point does not come before the first."""
    return torch.ones(count, count, dtype=torch.bool, device=device).triu()


_HULL_ROWS: Final = 128  # samples in a call of hull_area, which limits its memory of K^3 for each


def hull_areas(value: Tensor) -> Tensor:
    """Do as `hull_area`, for any number of samples."""
    parts = [hull_area(value[row : row + _HULL_ROWS]) for row in range(0, len(value), _HULL_ROWS)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def normalise(value: Tensor) -> Tensor:
    """Remove position and scale from points (N, K, 2): centre them and divide them by the root of their hull's area.

    >>> normalise(torch.rand(3, 10, 2)).shape
    torch.Size([3, 10, 2])
    """
    centred = value - value.mean(1, keepdim=True)
    return scaled(centred, hull_areas(centred).sqrt())


def scaled(centred: Tensor, size: Tensor) -> Tensor:
    """Divide centred points (N, K, 2) by the roots (N,) of the areas of their hulls."""
    # Points on one line span no area; the lower bound keeps the result finite.
    return centred / size.clamp(min=1e-6)[:, None, None]


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
