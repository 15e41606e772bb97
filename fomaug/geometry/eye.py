"""Flows of eyes: lids that open and close over an eyeball that turns.

A flow on a coarse grid cannot represent an eye: an open one is two of its rows high, and the flow is discontinuous at a
lid's edge. So five keypoints of each eye give the flow of its pixels directly. The composed flow moves the eyes in the
driving pose first, and the head after them.

Each eye has its own frame: u from -1 at the outer corner to 1 at the inner one, v down the face, in units of half the
width of an eye. A lid is the parabola through both corners and the lid's keypoint. Skin above and below moves with the
lid's edge, and less with growing distance. Between the lids the eyeball moves with the iris; pixels of it that the
source's lids hide are read from the edge of these lids instead, and must be painted.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from fomaug.device import axis, constant, constants
from fomaug.geometry.plane import inverse_2x2
from fomaug.types import Keypoints

_HALF_WIDTH: Final = 0.09  # half the width of an eye on the mean face, which jacobians are relative to
_ABOVE, _BELOW = 1.0, 0.8  # distances from a lid's edge up to which skin moves with it
_EDGE: Final = 0.03  # distance inside the lids at which an opening eye is read, because of the lashes
_SIDE: Final = 0.92  # largest |u| at which an opening eye is read
_SOFT: Final = 0.08  # width of a lid's edge, about a pixel
_IRIS: Final = 0.3  # standard deviation of the Gaussian that marks an iris
_LID_RANGE: Final = (-1.2, 0.8)  # range of the lids' v; keypoints of hidden eyes may be anywhere
_IRIS_LIMIT: Final = 0.8  # largest |u| and |v| of an iris
_FLAT: Final = 1e-6  # least determinant of an eye's frame
_NARROW, _TURNED_AWAY = 0.65, 0.35  # ratios of width to height of eyes turned aside; the motion fades out in between


class EyePoints(NamedTuple):
    """Indices of the keypoints of the eyes.

    Attributes:
        eyes: five keypoints of each eye: outer corner, inner corner, upper lid, lower lid and iris.
        bridge: keypoint, not moved by a lid, whose jacobian gives the downward direction of the face.
    """

    eyes: tuple[tuple[int, ...], ...]
    bridge: int


class Eyes(NamedTuple):
    """E eyes of B faces.

    Attributes:
        centre: (B, E, 2) midpoint between the corners.
        axes: (B, E, 2, 2) columns along the eye and down.
        inverse: (B, E, 2, 2) inverse of the axes.
        lids: (B, E, 2) v of the upper lid, negative above the corners, and of the lower lid, never above the former.
        iris: (B, E, 2) u and v of the iris.
    """

    centre: Tensor
    axes: Tensor
    inverse: Tensor
    lids: Tensor
    iris: Tensor


def read_eyes(keypoints: Keypoints, points: EyePoints) -> Eyes:
    """Compute the state of the eyes from keypoints with jacobians."""
    centre, axes = _frames(keypoints, points)
    inverse = inverse_2x2(axes, least=_FLAT)
    return _eyes(centre, axes, inverse, _own_coordinates(keypoints, centre, inverse, points))


def take_out_eyes(source: Keypoints, driving: Keypoints, points: EyePoints) -> tuple[Keypoints, Eyes, Eyes]:
    """Separate the eyes' motion from the head's.

    Returns:
        The driving keypoints with the source's lids and irises, mapped from eye to eye, so that only the head moves;
        the eyes of the source; the eyes of the driving face.
    """
    both, b = Keypoints.cat([source, driving]), source.value.shape[0]  # an exporter makes a constant of len()
    assert both.jacobian is not None
    centre, axes = _frames(both, points)
    inverse = inverse_2x2(axes, least=_FLAT)
    own = _own_coordinates(both, centre, inverse, points)
    eyes = _eyes(centre, axes, inverse, own)
    rows, new = _lids_and_irises(points, axes.device), axes[b:]  # (E, 3), (B, E, 2, 2)
    value, jacobian = both.value[b:].clone(), both.jacobian[b:].clone()
    value[:, rows] = (centre[b:, :, None] + own[:b] @ new.mT).to(value.dtype)
    carried = (new @ inverse[:b])[:, :, None] @ both.jacobian[:b, rows].to(axes.dtype)
    jacobian[:, rows] = carried.to(jacobian.dtype)
    return Keypoints(value, jacobian), Eyes(*(x[:b] for x in eyes)), Eyes(*(x[b:] for x in eyes))


def set_eyes(source: Eyes, driving: Eyes, grid: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the backward flow of the eyes in the driving pose, without the motion of the head.

    Args:
        source: eyes of the source.
        driving: eyes of the driving face.
        grid: (2, h, w) x and y in [-1, 1] of the cells of a grid, see `coordinates`.

    Returns:
        (B, h, w, 2) coordinates in the driving pose with the source's eyes, from which each cell of the grid is read,
        and maps (B, 3, h, w) in [0, 1]: between the lids, hidden in the source, iris.

    >>> lids = torch.tensor([[[-0.2, 0.2]]])
    >>> unit = torch.eye(2).view(1, 1, 2, 2)
    >>> eyes = Eyes(torch.zeros(1, 1, 2), 0.5 * unit, 2 * unit, lids, torch.zeros(1, 1, 2))
    >>> grid = coordinates(9, torch.device("cpu"), torch.float32)
    >>> flow, maps = set_eyes(eyes, eyes._replace(lids=lids.abs()), grid[:, 2:6])
    >>> flow.shape, maps.shape
    (torch.Size([1, 4, 9, 2]), torch.Size([1, 3, 4, 9]))
    """
    x, y = grid[0, :1], grid[1, :, :1]  # (1, w), (h, 1)
    middle = (driving.inverse @ driving.centre[..., None])[..., 0]
    across, down = (_plane(part) for part in driving.inverse.unbind(-1))
    own = (across * x - _plane(middle)) + down * y  # (B, E, 2, h, w) u and v
    u, v = own.unbind(2)
    arch = (1 - u.square()).clamp(min=0)
    lids = _lids(source, driving)
    # Distances into the eye from its upper and its lower lid, (B, E, 2, h, w).
    depths = (_plane(driving.lids) * arch[:, :, None] - v[:, :, None]) * _column((-1.0, 1.0), own)
    inside = (depths.amin(2) / _SOFT).clamp(0, 1)  # a soft edge, because rounding must not decide the source of a pixel
    turned, hidden = _eyeball(source.iris - driving.iris, lids, own, arch)
    weight = _facing(source, driving)
    shift_u = inside * turned[:, :, 0] * weight
    lid_shift = _lid_shift(source.lids - driving.lids, depths, v > _plane(lids.new_middle) * arch) * arch
    shift_v = torch.lerp(lid_shift, turned[:, :, 1], inside) * weight
    along, down = (_plane(part) for part in driving.axes.unbind(-1))  # (B, E, 2, 1, 1) each
    flow = grid + (along * shift_u[:, :, None] + down * shift_v[:, :, None]).sum(1)  # (B, 2, h, w)
    away = (own - _plane(driving.iris)).square().sum(2)
    between = inside * weight
    maps = torch.stack([between, between * hidden, between * torch.exp(away * (-0.5 / _IRIS**2))], 2)
    return flow.permute(0, 2, 3, 1), maps.amax(1)


@constants
def coordinates(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the x and y (2, S, S) of the cells of an S x S grid, from -1 to 1, which must not be modified."""
    line = axis(size, device, dtype)
    return torch.stack([line.expand(size, size), line[:, None].expand(size, size)])


def eyes_box(eyes: Eyes, size: int) -> tuple[slice, slice]:
    """Find the rows and columns of an S x S grid that contain all cells which `set_eyes` moves in any image."""
    along, down = eyes.axes.unbind(-1)
    top, bottom = _LID_RANGE[0] - _ABOVE, _LID_RANGE[1] + _BELOW
    corners = [eyes.centre + side * along + height * down for side in (-1, 1) for height in (top, bottom)]
    cells = (torch.stack(corners).nan_to_num() + 1) * ((size - 1) / 2)  # (4, B, E, 2)
    low, high = cells.flatten(0, 2).amin(0).floor(), cells.flatten(0, 2).amax(0).ceil() + 1
    (left, upper), (right, lower) = (edge.clamp(0, size).int().tolist() for edge in (low, high))
    return slice(upper, lower), slice(left, right)


class _Lids(NamedTuple):
    """Numbers (B, E) of the lids: half of their distance and the v between them; `new_` for the driving face."""

    half: Tensor
    new_half: Tensor
    middle: Tensor
    new_middle: Tensor


def _lids(source: Eyes, driving: Eyes) -> _Lids:
    upper, lower = (torch.stack([source.lids, driving.lids]) / 2).unbind(-1)
    return _Lids(*(lower - upper), *(lower + upper))


def _eyeball(look: Tensor, lids: _Lids, own: Tensor, arch: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the shift (B, E, 2, h, w) to the source of points between the driving lids.

    Args:
        look: (B, E, 2) shift of the irises to the source.
        lids: numbers of the lids.
        own: (B, E, 2, h, w) points in the frames of the eyes.
        arch: (B, E, h, w) height of a parabola through the corners.

    Returns:
        The shift in u and v, and how far the source hides each point (B, E, h, w).
    """
    u = own[:, :, 0]
    freedom = (2 * arch).clamp(max=1)  # 0 at the corners, which do not move
    true = own + _plane(look) * freedom[:, :, None]
    true_u, true_v = true.unbind(2)
    side = u.abs().clamp(min=_SIDE)
    seen_u = true_u.clamp(-side, side)
    arch = (1 - seen_u.square()).clamp(min=0)
    half = (_plane(lids.half) * arch - _plane((lids.new_half - lids.half).clamp(0.0, _EDGE))).clamp(min=0)
    middle = _plane(lids.middle) * arch
    seen = torch.stack([seen_u, true_v.clamp(middle - half, middle + half)], 2)
    hidden = 4 * (seen - true).abs().sum(2)
    return seen - own, hidden.clamp(max=1)


def _lid_shift(shift: Tensor, depths: Tensor, below: Tensor) -> Tensor:
    """Compute the shift in v to the source of skin outside of the lids, over the height of the parabola.

    Args:
        shift: (B, E, 2) shift in v of the lids to the source.
        depths: (B, E, 2, h, w) distances into the eye from its lids.
        below: (B, E, h, w) bool, whether the lower lid is nearer.
    """
    near = (1 + depths / _column((_ABOVE, _BELOW), depths)).clamp(0, 1)
    of_upper, of_lower = (_plane(shift) * near).unbind(2)
    return torch.where(below, of_lower, of_upper)


def _facing(source: Eyes, driving: Eyes) -> Tensor:
    """Compute (B, E, 1, 1) weights: 1 for eyes seen from the front, 0 for eyes that are turned away and hidden."""
    along, down = torch.stack([source.axes, driving.axes]).norm(dim=-2).unbind(-1)
    weights = ((along / down.clamp(min=1e-4) - _TURNED_AWAY) / (_NARROW - _TURNED_AWAY)).clamp(0, 1)
    return _plane(weights[0] * weights[1])


def _column(values: tuple[float, float], like: Tensor) -> Tensor:
    """Return (2, 1, 1) factors of u and v, or of both lids."""
    return _plane(constant(values, like.device, like.dtype))


def _frames(keypoints: Keypoints, points: EyePoints) -> tuple[Tensor, Tensor]:
    assert keypoints.jacobian is not None
    value = keypoints.value.to(torch.promote_types(keypoints.value.dtype, torch.float32))
    corners = value[:, constant(tuple(row[:2] for row in points.eyes), value.device)]  # (B, E, 2, 2)
    outer, inner = (corners / 2).unbind(2)
    down = _HALF_WIDTH * keypoints.jacobian[:, points.bridge, :, 1].to(value.dtype)
    return outer + inner, torch.stack([inner - outer, down[:, None].expand_as(outer)], -1)


def _own_coordinates(keypoints: Keypoints, centre: Tensor, inverse: Tensor, points: EyePoints) -> Tensor:
    """Compute (B, E, 3, 2) coordinates of upper lids, lower lids and irises in the eyes' own frames."""
    away = keypoints.value.to(centre.dtype)[:, _lids_and_irises(points, centre.device)] - centre[:, :, None]
    return away @ inverse.mT


def _eyes(centre: Tensor, axes: Tensor, inverse: Tensor, own: Tensor) -> Eyes:
    lids = own[:, :, :2, 1].clamp(*_LID_RANGE)
    return Eyes(
        centre, axes, inverse, torch.minimum(lids, lids[..., 1:]), own[:, :, 2].clamp(-_IRIS_LIMIT, _IRIS_LIMIT)
    )


def _lids_and_irises(points: EyePoints, device: torch.device) -> Tensor:
    return constant(tuple(row[2:] for row in points.eyes), device)


def _plane(numbers: Tensor) -> Tensor:
    """Append two axes of length 1, for products with planes."""
    return numbers[..., None, None]
