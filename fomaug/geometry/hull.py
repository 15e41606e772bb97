"""The area that keypoints span."""

from __future__ import annotations

import torch
from torch import Tensor


def hull_area(value: Tensor) -> Tensor:
    """Measure the convex hull of every sample's points.

    A directed edge belongs to the hull when all other points lie on its left; the shoelace sum over these edges is the
    area. That is K^3 comparisons, nothing for a few dozen points, and it runs batched on any device.

    Args:
        value: (B, K, 2) points.

    Returns:
        (B,) areas in squared units of the points.

    >>> hull_area(torch.tensor([[[0.0, 0.0], [2.0, 0.0], [2.0, 1.0], [0.0, 1.0], [1.0, 0.5]]])).tolist()
    [2.0]
    """
    x, y = value.detach().unbind(-1)
    edge_x, edge_y = x[:, None] - x[:, :, None], y[:, None] - y[:, :, None]  # (B, K, K), from the first to the second
    side = edge_x[..., None] * edge_y[:, :, None]
    side = side - side.transpose(2, 3)  # (B, K, K, K), positive where the third point lies on the left
    # Of points on one line only the outer two make an edge: with a point beyond its end or before its start it is none.
    along = edge_x[..., None] * edge_x[:, :, None] + edge_y[..., None] * edge_y[:, :, None]
    length = edge_x.square() + edge_y.square()
    between = torch.minimum(along, length[..., None] - along)
    on_hull = (torch.where(side == 0, between, side).amin(-1) >= 0) & (length > 0)
    # Points that coincide would count their edges several times.
    same = (x[:, :, None] == x[:, None]) & (y[:, :, None] == y[:, None])
    first = ~(same & torch.ones_like(same).tril(-1)).any(-1)
    counted = on_hull & first[:, :, None] & first[:, None]
    start, end = value[:, :, None], value[:, None]
    shoelace = start[..., 0] * end[..., 1] - start[..., 1] * end[..., 0]
    return 0.5 * (shoelace * counted).sum((1, 2)).abs()
