"""The inverse of a backward flow: the target coordinates of points of the source.

A backward flow gives the source coordinates of every target pixel; landmarks need the inverse. The target coordinates
that show a point are its pre-images. A point has one pre-image where the flow does not fold, none where it is hidden,
and several in a fold. Pre-images are found on a piecewise linear map; Newton steps on the bilinear map then remove the
remaining error of some hundredths of a pixel.
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
_WIDER = 1e-3  # margin of a box as a share of its size; it exceeds the tolerance of any triangle in the box
_AT_ONCE = 1_000_000  # comparisons in one step, which limits the memory


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
    """Return the number of cells along a block's side, about the number of blocks along the grid's side."""
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
    """Return whether points are in triangles (corner, end along x, end along y; each (P, 2)), where, and if upright."""
    corner, along_x, along_y = triangle
    edges = torch.stack([along_x - corner, along_y - corner], dim=-1)  # (P, 2, 2)
    # A degenerate triangle has no inverse; NaN compares false, so no point is found in it.
    local = (inverse_2x2(edges) @ (point - corner)[..., None])[..., 0]
    inside = (local >= -_SLACK).all(-1) & (local.sum(-1) <= 1 + _SLACK)
    upright = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0] > 0
    return inside, origin + local * axes, upright


_NEWTON_STEPS = 4
_APART = 1e-2  # distance below which two pre-images are the same one, found in two triangles
_FLIPPED = 100.0  # cost of a pre-image where the source is flipped
_MOST_NODES = 64  # nodes along a side that are compared with a point that has no pre-image
_POINTS_AT_ONCE = 512  # points that are compared with the nodes in one step, which limits the memory


def invert_points(xy: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Find the target coordinates at which the flow shows points of the source.

    Args:
        xy: (B, M, 2) points in the source, [-1, 1].
        flow: (B, h, w, 2) backward flow, h and w at least 2.

    Returns:
        (B, M, 2) target coordinates, always finite, and (B, M) bool: whether they are unique and exact. A point that
        the flow never shows, or shows several times, gets the nearest candidate and False.

    >>> from fomaug.geometry import identity_grid
    >>> found, valid = invert_points(torch.tensor([[[0.3, -0.2]]]), identity_grid((8, 8))[None] * 0.5)
    >>> [round(v, 4) for v in found.flatten().tolist()], valid.item()
    ([0.6, -0.4], True)
    """
    exact = torch.promote_types(xy.dtype, torch.float32)
    points, fine = xy.to(exact), flow.to(exact)
    start, single = _choose(points, fine)
    found, valid = _refine(points, start, fine)
    return found.to(xy.dtype), valid & single


def uneven_stretch(xy: Tensor, flow: Tensor) -> Tensor:
    """Measure how much more a flow stretches the source in one direction than across it.

    A surface that turns away from the viewer is compressed in one direction only, so its flow covers much of the source
    in this direction; a change of size alone does not count.

    Args:
        xy: (B, M, 2) target coordinates, [-1, 1].
        flow: (B, h, w, 2) backward flow, h and w at least 2, its cells about as wide as high.

    Returns:
        (B, M): the difference of the singular values of the flow's derivative, 0 for turns and zooms.

    >>> from fomaug.geometry import identity_grid
    >>> squeezed = identity_grid((8, 8))[None] * torch.tensor([3.0, 1.0])
    >>> round(uneven_stretch(torch.zeros(1, 1, 2), squeezed).item(), 4)
    2.0
    """
    _, h, w, _ = flow.shape
    exact = torch.promote_types(torch.promote_types(xy.dtype, flow.dtype), torch.float32)
    _, jacobian = _evaluate(xy.to(exact), flow.to(exact))
    # Derivatives are in units of cells; otherwise a turn of a wide image would count as a stretch.
    (dxx, dxy), (dyx, dyy) = (row.unbind(-1) for row in jacobian.unbind(-2))
    shape = (w - 1) / (h - 1)
    flipped = torch.hypot(dxx - dyy, dxy * shape + dyx / shape)
    straight = torch.hypot(dxx + dyy, dxy * shape - dyx / shape)
    return torch.minimum(flipped, straight)


def _choose(points: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Choose an upright pre-image of each point, then the nearest: (B, M, 2), and whether it is the only one."""
    flat = points.reshape(-1, 2)
    found = find_preimages(points, flow)
    cost = (found.xy - flat[found.point]).norm(dim=-1) + _FLIPPED * ~found.upright
    best = torch.full((len(flat),), torch.inf, device=flat.device, dtype=flat.dtype)
    best = best.scatter_reduce(0, found.point, cost, "amin")
    chosen, single = flat.clone(), best < _FLIPPED
    cheapest = cost == best[found.point]
    chosen[found.point[cheapest]] = found.xy[cheapest]
    elsewhere = ((found.xy - chosen[found.point]).abs() > _APART).any(-1) | ~found.upright
    single[found.point[elsewhere]] = False
    missing = (~best.isfinite()).nonzero()[:, 0]
    chosen[missing] = _nearest(flat[missing], missing // max(points.shape[1], 1), flow)
    return chosen.view_as(points), single.view(points.shape[:2])


def _nearest(points: Tensor, sample: Tensor, flow: Tensor) -> Tensor:
    """Find the node of the grid whose value is nearest to each of (P, 2) points of the samples (P,)."""
    # Nodes are evenly spaced and include the border, where points leave the image.
    rows, columns = (
        torch.linspace(0, length - 1, min(length, _MOST_NODES), device=flow.device).round().long()
        for length in flow.shape[1:3]
    )
    grid = identity_grid((flow.shape[1], flow.shape[2]), device=flow.device, dtype=flow.dtype)
    nodes, xy = flow[:, rows][:, :, columns].flatten(1, 2), grid[rows][:, columns].reshape(-1, 2)
    parts = [
        (nodes[which] - part[:, None]).norm(dim=-1).argmin(1)
        for part, which in zip(torch.split(points, _POINTS_AT_ONCE), torch.split(sample, _POINTS_AT_ONCE), strict=True)
    ]
    return xy[torch.cat(parts)]


def _refine(points: Tensor, xy: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Apply Newton's method to the bilinear map; a step that does not reduce the residual is rejected."""
    residual = _evaluate(xy, flow)[0] - points
    for _ in range(_NEWTON_STEPS):
        _, jacobian = _evaluate(xy, flow)
        step = (inverse_2x2(jacobian) @ residual[..., None])[..., 0]
        tried = (xy - step).nan_to_num(0.0).clamp(-1, 1)
        left = _evaluate(tried, flow)[0] - points
        nearer = left.norm(dim=-1) < residual.norm(dim=-1)
        xy = torch.where(nearer[..., None], tried, xy)
        residual = torch.where(nearer[..., None], left, residual)
    # The tolerance is a tenth of a pixel of a 256-pixel image.
    return xy, residual.norm(dim=-1) < 8e-4


def _evaluate(xy: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Evaluate the bilinear map at (B, M, 2): its value (B, M, 2) and its Jacobian (B, M, 2, 2)."""
    b, h, w, _ = flow.shape
    scale = torch.tensor([(w - 1) / 2, (h - 1) / 2], device=flow.device, dtype=flow.dtype)
    cells = (xy + 1) * scale
    last = torch.tensor([w - 2, h - 2], device=flow.device, dtype=flow.dtype)
    corner = cells.floor().clamp(min=0).minimum(last)
    x, y = (cells - corner).unbind(-1)
    column, row = corner.long().unbind(-1)
    flat = flow.reshape(b, h * w, 2)

    def read(down: int, right: int) -> Tensor:
        index = (row + down) * w + column + right
        return flat.gather(1, index[..., None].expand(-1, -1, 2))

    a, along_x, along_y = read(0, 0), read(0, 1) - read(0, 0), read(1, 0) - read(0, 0)
    mixed = read(1, 1) - read(0, 1) - read(1, 0) + a
    x, y = x[..., None], y[..., None]
    value = a + x * along_x + y * along_y + x * y * mixed
    jacobian = torch.stack([(along_x + y * mixed) * scale[0], (along_y + x * mixed) * scale[1]], dim=-1)
    return value, jacobian
