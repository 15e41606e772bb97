"""Where a point of the source comes to lie: the inverse of a backward flow.

A flow says for every target place where in the source it comes from; a landmark asks the opposite. The places that show
the point are its pre-images: one where the flow does not fold, none where the point is hidden, several in a fold. They
are found on a piecewise linear map; Newton steps on the bilinear one then take the last hundredths of a pixel away.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fomaug.geometry.plane import identity_grid, inverse_2x2
from fomaug.geometry.preimages import find_preimages

_NEWTON_STEPS = 4
_APART = 1e-2  # nearer pre-images are one, found in two triangles
_FOLDED = 100.0  # added to the cost of a place where the source is turned over
_MOST_NODES = 64  # a side, for guesses
_GUESSES_AT_ONCE = 512


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
    points, fine = xy.to(exact), flow.to(exact)
    guess, single = _choose(points, fine)
    places, valid = _refine(points, guess, fine)
    return places.to(xy.dtype), valid & single


def uneven_stretch(places: Tensor, flow: Tensor) -> Tensor:
    """How much more a flow stretches the source in one direction than across it.

    A surface that turns away from the viewer is squeezed in one direction only, so its flow passes over much of the
    source there; a change of size alone does not count.

    Args:
        places: (B, M, 2) in the target, [-1, 1].
        flow: (B, h, w, 2) backward flow, h and w at least 2, its cells about as wide as high.

    Returns:
        (B, M): the difference of the singular values of the flow's derivative, 0 for turns and zooms.

    >>> from fomaug.geometry import identity_grid
    >>> squeezed = identity_grid((8, 8))[None] * torch.tensor([3.0, 1.0])
    >>> round(uneven_stretch(torch.zeros(1, 1, 2), squeezed).item(), 4)
    2.0
    """
    _, h, w, _ = flow.shape
    exact = torch.promote_types(torch.promote_types(places.dtype, flow.dtype), torch.float32)
    _, jacobian = _evaluate(places.to(exact), flow.to(exact))
    # In units of cells, or a picture that is wider than high would count as stretched when it is turned.
    (xx, xy), (yx, yy) = (row.unbind(-1) for row in jacobian.unbind(-2))
    shape = (w - 1) / (h - 1)
    turn_over = torch.hypot(xx - yy, xy * shape + yx / shape)
    straight = torch.hypot(xx + yy, xy * shape - yx / shape)
    return torch.minimum(turn_over, straight)


def _choose(points: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
    """Take of each point's pre-images an upright one, then the nearest: (B, M, 2), and whether it is the only one."""
    flat = points.reshape(-1, 2)
    found = find_preimages(points, flow)
    cost = (found.place - flat[found.point]).norm(dim=-1) + _FOLDED * ~found.upright
    best = torch.full((len(flat),), torch.inf, device=flat.device, dtype=flat.dtype)
    best = best.scatter_reduce(0, found.point, cost, "amin")
    guess, single = flat.clone(), best < _FOLDED
    chosen = cost == best[found.point]
    guess[found.point[chosen]] = found.place[chosen]
    elsewhere = ((found.place - guess[found.point]).abs() > _APART).any(-1) | ~found.upright
    single[found.point[elsewhere]] = False
    missing = (~best.isfinite()).nonzero()[:, 0]
    guess[missing] = _nearest(flat[missing], missing // max(points.shape[1], 1), flow)
    return guess.view_as(points), single.view(points.shape[:2])


def _nearest(points: Tensor, sample: Tensor, flow: Tensor) -> Tensor:
    """For (P, 2) points of the samples named, the node of the grid that shows what is nearest to them."""
    # Evenly spaced ones, the outermost among them: points that leave the picture do so at its border.
    rows, columns = (
        torch.linspace(0, length - 1, min(length, _MOST_NODES), device=flow.device).round().long()
        for length in flow.shape[1:3]
    )
    grid = identity_grid((flow.shape[1], flow.shape[2]), device=flow.device, dtype=flow.dtype)
    nodes, places = flow[:, rows][:, :, columns].flatten(1, 2), grid[rows][:, columns].reshape(-1, 2)
    parts = [
        (nodes[which] - part[:, None]).norm(dim=-1).argmin(1)
        for part, which in zip(
            torch.split(points, _GUESSES_AT_ONCE), torch.split(sample, _GUESSES_AT_ONCE), strict=True
        )
    ]
    return places[torch.cat(parts)]


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
