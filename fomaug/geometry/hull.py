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
    start, end = value[:, :, None], value[:, None]  # (B, K, 1, 2), (B, 1, K, 2)
    edge = end - start  # (B, K, K, 2)
    to_point = value[:, None, None] - start[:, :, :, None]  # (B, K, 1, K, 2)
    side = edge[..., None, 0] * to_point[..., 1] - edge[..., None, 1] * to_point[..., 0]  # (B, K, K, K)
    along = (edge[..., None, :] * to_point).sum(-1)
    length = edge.square().sum(-1, keepdim=True)
    # Of points on one line only the outer two make an edge: with a point beyond its end or before its start it is none.
    beyond = (side == 0) & ((along > length) | (along < 0))
    on_hull = (side >= 0).all(-1) & ~beyond.any(-1) & (length[..., 0] > 0)
    shoelace = start[..., 0] * end[..., 1] - start[..., 1] * end[..., 0]
    # Points that coincide would count their edges several times.
    same = (value[:, :, None] == value[:, None]).all(-1)
    first = ~(same & torch.ones_like(same).tril(-1)).any(-1)
    counted = on_hull & first[:, :, None] & first[:, None]
    return 0.5 * (shoelace * counted).sum((1, 2)).abs()
