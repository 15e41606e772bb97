"""Where a point of the source comes to lie: the inverse of a backward flow.

A flow says for every target place where in the source it comes from; a landmark asks the opposite. On the flow's grid
the map is bilinear in every cell. Each cell is split into two triangles, on which a linear map inverts exactly; the
triangles that hold the point are its pre-images: one where the flow does not fold, none where the point is hidden,
several in a fold. Newton steps on the bilinear map then take the last hundredths of a pixel away.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from fomaug.geometry.grid import identity_grid
from fomaug.geometry.matrix import inverse_2x2

_SLACK = 1e-4  # of a cell: points on an edge belong to both its triangles
_NEWTON_STEPS = 4
_CELLS_AT_ONCE = 4_000_000


class _Triangles(NamedTuple):
    """Both triangles of every cell, as the affine map from a source point to places (s, t) along the cell's axes."""

    matrix: Tensor  # (C, 2, 2)
    offset: Tensor  # (C, 2)
    origin: Tensor  # (C, 2), target place of s = t = 0
    axes: Tensor  # (C, 2), target step of s along x and of t along y
    upright: Tensor  # (C,), False where the flow turns the triangle over


def invert_points(xy: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Find where the flow shows points of the source.

    Args:
        xy: (B, M, 2) points in the source, [-1, 1].
        flow: (B, h, w, 2) backward flow, h and w at least 2.

    Returns:
        (B, M, 2) places in the target, finite always, and (B, M) bool: whether the place is the only one and exact.
        A point that the flow never shows, or shows several times, gets the nearest guess and False.

    >>> from fomaug.geometry import identity_grid
    >>> found, valid = invert_points(torch.tensor([[[0.3, -0.2]]]), identity_grid((8, 8))[None] * 0.5)
    >>> [round(v, 4) for v in found.flatten().tolist()], valid.item()
    ([0.6, -0.4], True)
    """
    exact = torch.promote_types(xy.dtype, torch.float32)
    flow = flow.to(exact)
    found, single = zip(*(_invert_one(p, f) for p, f in zip(xy.to(exact), flow, strict=True)), strict=True)
    places, valid = _refine(xy.to(exact), torch.stack(found), flow)
    return places.to(xy.dtype), valid & torch.stack(single)


def _invert_one(points: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Invert (M, 2) points of one flow (h, w, 2) on its triangles."""
    triangles, grid = (
        _triangles(flow),
        identity_grid((flow.shape[0], flow.shape[1]), device=flow.device, dtype=flow.dtype),
    )
    step = max(1, _CELLS_AT_ONCE // len(triangles.upright))
    parts = [_search(chunk, triangles, flow, grid) for chunk in torch.split(points, step)]
    if not parts:
        return points, torch.ones(0, dtype=torch.bool, device=points.device)
    return torch.cat([place for place, _ in parts]), torch.cat([single for _, single in parts])


def _triangles(flow: Tensor) -> _Triangles:
    h, w, _ = flow.shape
    grid = identity_grid((h, w), device=flow.device, dtype=flow.dtype)
    cell = torch.tensor([2 / (w - 1), 2 / (h - 1)], device=flow.device, dtype=flow.dtype)
    first = _half(flow[:-1, :-1], flow[:-1, 1:], flow[1:, :-1], grid[:-1, :-1], cell)
    second = _half(flow[1:, 1:], flow[1:, :-1], flow[:-1, 1:], grid[1:, 1:], -cell)
    return _Triangles(*(torch.cat(pair) for pair in zip(first, second, strict=True)))


def _half(corner: Tensor, along_x: Tensor, along_y: Tensor, origin: Tensor, cell: Tensor) -> _Triangles:
    edges = torch.stack([along_x - corner, along_y - corner], dim=-1).reshape(-1, 2, 2)
    determinant = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    matrix = inverse_2x2(edges)
    offset = (matrix @ corner.reshape(-1, 2, 1))[..., 0]
    # A cell squeezed to a line has no inverse; NaN compares false everywhere, so no point is ever found in it.
    return _Triangles(matrix, offset, origin.reshape(-1, 2), cell.expand(len(offset), 2), determinant > 0)


def _search(points: Tensor, triangles: _Triangles, flow: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Find the pre-images of a few points among all triangles; prefer upright ones, then the nearest."""
    local = torch.einsum("cij,mj->cmi", triangles.matrix, points) - triangles.offset[:, None]  # (C, M, 2)
    inside = (local >= -_SLACK).all(-1) & (local.sum(-1) <= 1 + _SLACK)
    cell, point = inside.nonzero(as_tuple=True)
    place = triangles.origin[cell] + local[cell, point] * triangles.axes[cell]  # (P, 2)
    count = len(points)
    cost = (place - points[point]).norm(dim=-1) + 100 * (~triangles.upright[cell])
    best = torch.full((count,), torch.inf, device=points.device, dtype=points.dtype).scatter_reduce(
        0, point, cost, "amin"
    )
    guess = grid.reshape(-1, 2)[torch.cdist(points, flow.reshape(-1, 2)).argmin(1)]
    chosen = cost == best[point]
    guess[point[chosen]] = place[chosen]
    return guess, _is_single(place, point, triangles.upright[cell], guess, best)


def _is_single(place: Tensor, point: Tensor, upright: Tensor, chosen: Tensor, best: Tensor) -> Tensor:
    """Whether all pre-images of a point are one place (an edge between triangles counts once), seen upright."""
    single = best < 100
    elsewhere = ((place - chosen[point]).abs() > 1e-2).any(-1) | ~upright
    single[point[elsewhere]] = False
    return single


def _refine(points: Tensor, places: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Newton's method on the bilinear map; a step that does not come nearer is not taken."""
    residual = _evaluate(places, flow)[0] - points
    for _ in range(_NEWTON_STEPS):
        _, jacobian = _evaluate(places, flow)
        step = (inverse_2x2(jacobian) @ residual[..., None])[..., 0]
        tried = (places - step).nan_to_num(0.0).clamp(-1, 1)
        left = _evaluate(tried, flow)[0] - points
        nearer = left.norm(dim=-1) < residual.norm(dim=-1)
        places = torch.where(nearer[..., None], tried, places)
        residual = torch.where(nearer[..., None], left, residual)
    # A tenth of a pixel of a 256-pixel picture.
    return places, residual.norm(dim=-1) < 8e-4


def _evaluate(places: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Read the bilinear map at (B, M, 2): its value (B, M, 2) and its Jacobian (B, M, 2, 2)."""
    b, h, w, _ = flow.shape
    scale = torch.tensor([(w - 1) / 2, (h - 1) / 2], device=flow.device, dtype=flow.dtype)
    cells = (places + 1) * scale
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
