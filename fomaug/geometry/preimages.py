"""Pre-images: all coordinates at which a backward flow shows a point of the source.

Each cell of the flow's grid is split into two triangles, on which the map is linear and has an exact inverse. The cells
that may contain a point are found in two steps: by bounding boxes of blocks of cells, then by those of single cells. So
a point costs little more on a fine grid than on a coarse one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.geometry.plane import identity_grid, inverse_2x2

_SLACK = 1e-4  # tolerance in cells, so that points on an edge are in both triangles
_WIDER = 1e-3  # margin of a box as a share of its size: more than the tolerance of any triangle within
_AT_ONCE = 1_000_000  # comparisons in one step, which bounds the memory


class Preimages(NamedTuple):
    """Pre-images of points, in no particular order; a point may have none, one or several.

    Attributes:
        point: (P,) int, index into the B * M points.
        xy: (P, 2) coordinates in the target, [-1, 1].
        upright: (P,) bool, False where the flow flips the source.
    """

    point: Tensor
    xy: Tensor
    upright: Tensor


def find_preimages(points: Tensor, flow: Tensor) -> Preimages:
    """Find all pre-images of points.

    Args:
        points: (B, M, 2) float in the source, [-1, 1].
        flow: (B, h, w, 2) backward flow of the same dtype, h and w at least 2.

    >>> flow = identity_grid((8, 8))[None]
    >>> find_preimages(torch.tensor([[[0.3, -0.2], [7.0, 0.0]]]), flow).point.unique()
    tensor([0])
    """
    boxes = _boxes(flow, 1)
    found = [
        _in_triangles(points, flow, pairs, *_near_cells(points, boxes, pairs, _block(flow)))
        for pairs in _near_blocks(points, flow)
    ]
    empty = Preimages(
        torch.zeros(0, dtype=torch.long, device=flow.device),
        flow.new_zeros(0, 2),
        torch.zeros(0, dtype=torch.bool, device=flow.device),
    )
    return Preimages(*(torch.cat(part) for part in zip(empty, *found, strict=True)))


def _block(flow: Tensor) -> int:
    """Return the number of cells along a block's side, which is about the number of blocks along the grid's."""
    return math.ceil(math.sqrt(max(flow.shape[1:3]) - 1))


def _near_blocks(points: Tensor, flow: Tensor) -> Iterator[Tensor]:
    """Yield pairs (N, 3) of a point (sample, number) and a block whose box contains it, a limited number at a time."""
    side = _block(flow)
    low, high = (bound.flatten(1, 2)[:, None] for bound in _boxes(flow, side))  # (B, 1, blocks, 2)
    step = max(1, _AT_ONCE // (len(flow) * low.shape[2]))
    for start in range(0, points.shape[1], step):
        pairs = _inside(points[:, start : start + step, None], low, high).nonzero()
        pairs[:, 1] += start
        yield from torch.split(pairs, max(1, _AT_ONCE // side**2))


def _near_cells(
    points: Tensor, boxes: tuple[Tensor, Tensor], pairs: Tensor, side: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the cells of the blocks in pairs (N, 3) whose box contains the point: pair, row and column, each (P,)."""
    _, rows, columns, _ = boxes[0].shape
    sample, number, block = pairs.unbind(1)
    across = math.ceil(columns / side)
    steps = torch.arange(side, device=points.device)
    row = ((block // across * side)[:, None] + steps)[:, :, None].expand(-1, side, side)
    column = ((block % across * side)[:, None] + steps)[:, None, :].expand(-1, side, side)
    real = (row < rows) & (column < columns)
    cell = (sample[:, None, None] * rows + row.clamp(max=rows - 1)) * columns + column.clamp(max=columns - 1)
    low, high = (bound.reshape(-1, 2)[cell] for bound in boxes)  # (N, side, side, 2)
    holds = _inside(points[sample, number][:, None, None], low, high) & real
    pair, down, right = holds.nonzero(as_tuple=True)
    return pair, row[pair, down, right], column[pair, down, right]


def _boxes(flow: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """Compute slightly enlarged bounds (B, rows, columns, 2) of the values in blocks of side x side cells."""
    planes = flow.permute(0, 3, 1, 2)
    high = F.max_pool2d(planes, side + 1, side, ceil_mode=True)
    low = -F.max_pool2d(-planes, side + 1, side, ceil_mode=True)
    wider = _WIDER * (high - low)
    return (low - wider).permute(0, 2, 3, 1), (high + wider).permute(0, 2, 3, 1)


def _inside(points: Tensor, low: Tensor, high: Tensor) -> Tensor:
    return ((points >= low) & (points <= high)).all(-1)


def _in_triangles(points: Tensor, flow: Tensor, pairs: Tensor, pair: Tensor, row: Tensor, column: Tensor) -> Preimages:
    """Find the pre-images in both triangles of given cells."""
    _, h, w, _ = flow.shape
    sample, number, _ = pairs[pair].unbind(1)
    point, index = points[sample, number], sample * points.shape[1] + number
    corner = [[flow[sample, row + down, column + right] for right in (0, 1)] for down in (0, 1)]
    grid = identity_grid((h, w), device=flow.device, dtype=flow.dtype)
    size = torch.tensor([2 / (w - 1), 2 / (h - 1)], device=flow.device, dtype=flow.dtype)
    halves = [
        _solve(point, (corner[0][0], corner[0][1], corner[1][0]), grid[row, column], size),
        _solve(point, (corner[1][1], corner[1][0], corner[0][1]), grid[row + 1, column + 1], -size),
    ]
    kept = [(index[inside], xy[inside], upright[inside]) for inside, xy, upright in halves]
    return Preimages(*(torch.cat(both) for both in zip(*kept, strict=True)))


def _solve(
    point: Tensor, triangle: tuple[Tensor, Tensor, Tensor], origin: Tensor, axes: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Tell whether triangles (corner, end along x, end along y; each (P, 2)) contain points, where, and if upright."""
    corner, along_x, along_y = triangle
    edges = torch.stack([along_x - corner, along_y - corner], dim=-1)  # (P, 2, 2)
    # A degenerate triangle has no inverse; NaN compares false, so no point is found in it.
    local = (inverse_2x2(edges) @ (point - corner)[..., None])[..., 0]
    inside = (local >= -_SLACK).all(-1) & (local.sum(-1) <= 1 + _SLACK)
    upright = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0] > 0
    return inside, origin + local * axes, upright
