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

from fomaug.device import constant
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
        eyes: for each eye the keypoints at its outer corner, inner corner, upper lid, lower lid and iris.
        bridge: keypoint, not moved by a lid, whose jacobian gives the downward direction of the face.
    """

    eyes: tuple[tuple[int, ...], ...]
    bridge: int


class Eyes(NamedTuple):
    """E eyes of B faces.

    Attributes:
        centre: (B, E, 2) midpoint between the corners.
        axes: (B, E, 2, 2) columns along the eye and down.
        upper: (B, E) v of the upper lid, negative above the corners; never below the lower lid.
        lower: (B, E) v of the lower lid.
        iris: (B, E, 2) u and v of the iris.
    """

    centre: Tensor
    axes: Tensor
    upper: Tensor
    lower: Tensor
    iris: Tensor


def read_eyes(keypoints: Keypoints, points: EyePoints) -> Eyes:
    """Compute the state of the eyes from keypoints with jacobians."""
    centre, axes = _frames(keypoints, points)
    return _eyes(centre, axes, _own_coordinates(keypoints, centre, inverse_2x2(axes, least=_FLAT), points))


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
    eyes = _eyes(centre, axes, own)
    rows, new = _lids_and_irises(points, axes.device), axes[b:, :, None]  # (E, 3), (B, E, 1, 2, 2)
    value, jacobian = both.value[b:].clone(), both.jacobian[b:].clone()
    value[:, rows] = (centre[b:, :, None] + (new @ own[:b, ..., None])[..., 0]).to(value.dtype)
    jacobian[:, rows] = (new @ inverse[:b, :, None] @ both.jacobian[:b, rows].to(axes.dtype)).to(jacobian.dtype)
    return Keypoints(value, jacobian), Eyes(*(x[:b] for x in eyes)), Eyes(*(x[b:] for x in eyes))


def set_eyes(source: Eyes, driving: Eyes, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the backward flow of the eyes in the driving pose, without the motion of the head.

    Args:
        source: eyes of the source.
        driving: eyes of the driving face.
        x: (w,) x coordinates of a grid's columns, in [-1, 1].
        y: (h,) y coordinates of its rows.

    Returns:
        (B, h, w, 2) coordinates in the driving pose with the source's eyes, from which each cell of the grid is read,
        and maps (B, 3, h, w) in [0, 1]: between the lids, hidden in the source, iris.

    >>> lids = torch.tensor([[0.2]])
    >>> eyes = Eyes(torch.zeros(1, 1, 2), 0.5 * torch.eye(2).view(1, 1, 2, 2), -lids, lids, torch.zeros(1, 1, 2))
    >>> x = torch.linspace(-1, 1, 9)
    >>> flow, maps = set_eyes(eyes, eyes._replace(upper=lids), x, x[2:6])
    >>> flow.shape, maps.shape
    (torch.Size([1, 4, 9, 2]), torch.Size([1, 3, 4, 9]))
    """
    inverse = inverse_2x2(driving.axes, least=_FLAT)
    offset = -(inverse @ driving.centre[..., None])
    u, v = (
        (_plane(inverse[..., row, 0]) * x + _plane(offset[..., row, 0])) + _plane(inverse[..., row, 1]) * y[:, None]
        for row in (0, 1)
    )  # (B, E, h, w) each
    arch = (1 - u.square()).clamp(min=0)
    depth = torch.minimum(v - _plane(driving.upper) * arch, _plane(driving.lower) * arch - v)
    inside = (depth / _SOFT).clamp(0, 1)  # a soft edge, because rounding must not decide the source of a pixel
    turned_u, turned_v, hidden = _eyeball(source, driving, u, v)
    weight = _facing(source) * _facing(driving)
    shift_u = inside * turned_u * weight
    shift_v = torch.lerp(_lid_shift(source, driving, arch, v), turned_v, inside) * weight
    along, down = driving.axes.unbind(-1)  # (B, E, 2) each
    flow = [
        axis + (_plane(along[..., i]) * shift_u + _plane(down[..., i]) * shift_v).sum(1)
        for i, axis in enumerate((x, y[:, None]))
    ]
    away = (u - _plane(driving.iris[..., 0])).square() + (v - _plane(driving.iris[..., 1])).square()
    between = inside * weight
    maps = [between, between * hidden, between * torch.exp(away * (-0.5 / _IRIS**2))]
    return torch.stack(flow, -1), torch.stack([part.amax(1) for part in maps], 1)


def eyes_box(eyes: Eyes, size: int) -> tuple[slice, slice]:
    """Find the rows and columns of an S x S grid that contain all cells which `set_eyes` moves in any image."""
    along, down = eyes.axes.unbind(-1)
    top, bottom = _LID_RANGE[0] - _ABOVE, _LID_RANGE[1] + _BELOW
    corners = [eyes.centre + side * along + height * down for side in (-1, 1) for height in (top, bottom)]
    cells = (torch.stack(corners).nan_to_num() + 1) * ((size - 1) / 2)  # (4, B, E, 2)
    low, high = cells.flatten(0, 2).amin(0).floor(), cells.flatten(0, 2).amax(0).ceil() + 1
    (left, upper), (right, lower) = (edge.clamp(0, size).int().tolist() for edge in (low, high))
    return slice(upper, lower), slice(left, right)


def _eyeball(source: Eyes, driving: Eyes, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the shift (u, v) to the source of points between the driving lids, and how far the source hides them."""
    turn_u, turn_v = (_plane(turn) for turn in (source.iris - driving.iris).unbind(-1))
    freedom = (2 - 2 * u.square()).clamp(0, 1)  # 0 at the corners, which do not move
    true_u, true_v = u + turn_u * freedom, v + turn_v * freedom
    side = u.abs().clamp(min=_SIDE)
    seen_u = torch.minimum(torch.maximum(true_u, -side), side)
    arch = (1 - seen_u.square()).clamp(min=0)
    middle, half = (source.upper + source.lower) / 2, (source.lower - source.upper) / 2
    wider = (driving.lower - driving.upper) / 2 - half
    half = (_plane(half) * arch - _plane(wider.clamp(0.0, _EDGE))).clamp(min=0)
    middle = _plane(middle) * arch
    seen_v = torch.minimum(torch.maximum(true_v, middle - half), middle + half)
    hidden = 4 * ((seen_v - true_v).abs() + (seen_u - true_u).abs())
    return seen_u - u, seen_v - v, hidden.clamp(max=1)


def _lid_shift(source: Eyes, driving: Eyes, arch: Tensor, v: Tensor) -> Tensor:
    """Compute the shift in v to the source of skin outside of the lids."""
    above = (1 + (v - _plane(driving.upper) * arch) / _ABOVE).clamp(0, 1)
    below = (1 - (v - _plane(driving.lower) * arch) / _BELOW).clamp(0, 1)
    lower = v > _plane((driving.upper + driving.lower) / 2) * arch
    shift = torch.where(
        lower, _plane(source.lower - driving.lower) * below, _plane(source.upper - driving.upper) * above
    )
    return shift * arch


def _facing(eyes: Eyes) -> Tensor:
    """Compute (B, E, 1, 1) weights: 1 for eyes seen from the front, 0 for eyes that are turned away and hidden."""
    along, down = (axis.norm(dim=-1) for axis in eyes.axes.unbind(-1))
    return _plane(((along / down.clamp(min=1e-4) - _TURNED_AWAY) / (_NARROW - _TURNED_AWAY)).clamp(0, 1))


def _frames(keypoints: Keypoints, points: EyePoints) -> tuple[Tensor, Tensor]:
    assert keypoints.jacobian is not None
    value = keypoints.value.to(torch.promote_types(keypoints.value.dtype, torch.float32))
    outer, inner = (value[:, constant(tuple(row[i] for row in points.eyes), value.device)] for i in (0, 1))  # (B, E, 2)
    down = _HALF_WIDTH * keypoints.jacobian[:, points.bridge, :, 1].to(value.dtype)
    return (outer + inner) / 2, torch.stack([(inner - outer) / 2, down[:, None].expand_as(outer)], -1)


def _own_coordinates(keypoints: Keypoints, centre: Tensor, inverse: Tensor, points: EyePoints) -> Tensor:
    """Compute (B, E, 3, 2) coordinates of upper lids, lower lids and irises in the eyes' own frames."""
    away = keypoints.value.to(centre.dtype)[:, _lids_and_irises(points, centre.device)] - centre[:, :, None]
    return (inverse[:, :, None] @ away[..., None])[..., 0]


def _eyes(centre: Tensor, axes: Tensor, own: Tensor) -> Eyes:
    upper, lower = own[:, :, :2, 1].clamp(*_LID_RANGE).unbind(2)
    return Eyes(centre, axes, torch.minimum(upper, lower), lower, own[:, :, 2].clamp(-_IRIS_LIMIT, _IRIS_LIMIT))


def _lids_and_irises(points: EyePoints, device: torch.device) -> Tensor:
    return constant(tuple(row[2:] for row in points.eyes), device)


def _plane(numbers: Tensor) -> Tensor:
    """Reshape (B, E) to (B, E, 1, 1), for products with planes."""
    return numbers[..., None, None]
