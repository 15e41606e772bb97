"""Poses of faces: their areas, their distances, growth of their visible sides, and transfer of motion to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from fomaug.device import constant, constants
from fomaug.geometry.plane import inverse_2x2
from fomaug.types import Keypoints

_POINTS: Final = ("forehead", "chin", "nose bridge", "nose tip", "ear right", "ear left")
# Growth of a side above which the model paints badly; measured on portraits, see docs/evidence/motion.md.
_GROWTH: Final = 1.5
_THIN: Final = 0.1  # least width of a side, in heights of the face: a hidden side would reduce every motion to nothing


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


def showable_share(source: Keypoints, moved: Keypoints, names: Sequence[str]) -> Tensor:
    """Compute the largest share of a motion that shows no side of the face that the source hides.

    A side, from nose to ear, of a frontal face grows at most 1.3 times when the face turns. The far side of a turned
    face would grow several times if the face turned back, and the source shows too little of it.

    Args:
        source: B keypoints before the motion, or 1 for all.
        moved: B keypoints after the motion.
        names: names of the K keypoints; if those of nose and ears are missing, the share is 1.

    Returns:
        (B,) in (0, 1]: 1 where no side grows more than 1.5 times.
    """
    if not set(_POINTS) <= set(names):
        return moved.value.new_ones(len(moved))
    rows = _rows(tuple(names), moved.value.device)
    before, after = _both_sides(source.value, moved.value, rows)[0]
    growth = (after / before.clamp(min=_THIN)).amax(1)
    return constant((_GROWTH - 1,), growth.device, growth.dtype) / (growth - 1).clamp(min=_GROWTH - 1)


def side_growth(source: Tensor, moved: Tensor, names: Sequence[str]) -> Tensor:
    """Compute how much wider that side of a face, from nose to ear, becomes which grows most, by a turn of the head.

    Args:
        source: (B, K, 2) points before the turn, or 1 for all.
        moved: (B, K, 2) points after it, of a face of the same size; so a nod, which lowers the face, widens nothing.
        names: names of the K keypoints, with those of nose, ears, forehead and chin.

    Returns:
        (B,) ratio of the widths. A side that is hidden counts as a thin one, or every growth would be infinite.
    """
    rows = _rows(tuple(names), moved.device)
    (before, after), (height, new_height) = _both_sides(source, moved, rows)
    return (after * new_height / height / before.clamp(min=_THIN)).amax(1)


@constants
def _rows(names: tuple[str, ...], device: torch.device) -> Tensor:
    return torch.tensor([names.index(name) for name in _POINTS], device=device)


def _both_sides(source: Tensor, moved: Tensor, rows: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Measure sides and heights, see `_sides`, before and after a motion."""
    counts = [len(source), len(moved)]
    sides, heights = _sides(torch.cat([source, moved])[:, rows])
    return torch.split(sides, counts), torch.split(heights, counts)


def _sides(points: Tensor) -> tuple[Tensor, Tensor]:
    """Measure sides of faces, from points (B, 6, 2).

    Returns:
        (B, 2) widths from the nose to each ear, in heights of the face, and the (B, 1) heights.
    """
    top, chin, bridge, tip, right, left = points.unbind(1)
    rise = top - chin
    height = rise.norm(dim=-1, keepdim=True).clamp(min=1e-6)
    up = rise / height
    across = torch.stack([-up[:, 1], up[:, 0]], -1)  # to the person's left
    middle = (bridge + tip) / 2
    ends = torch.stack([middle - right, left - middle], 1)  # (B, 2, 2)
    return (ends * across[:, None]).sum(-1) / height, height


Strength = float | Tensor


def transfer(
    source: Keypoints,
    driving: Keypoints,
    reference: Keypoints,
    *,
    relative: bool = True,
    relative_jacobian: bool = True,
    adapt_scale: bool = True,
    strength: Strength = 1.0,
) -> Keypoints:
    """Apply the motion from the reference frame to the driving frame to the source's keypoints (paper: Sec. 3.3).

    Samples are independent of one another, including their scales; an argument of one sample is used for all samples.

    Args:
        source: keypoints of the images, (B, K, ...).
        driving: keypoints of the driving frames.
        reference: keypoints of the frames in which the driving faces are posed like the sources.
        relative: whether the driving motion is added to the source; otherwise the driving keypoints are the result.
        relative_jacobian: whether the change of the driving jacobians is applied to the source's; only with `relative`.
        adapt_scale: whether the motion is scaled by the root of the ratio of the hull areas; only with `relative`.
        strength: share of the motion, a float or (B,); 1 is the whole motion, 0 none.

    Returns:
        Keypoints (B, K, ...) for `Animator.animate`.

    >>> points = Keypoints(torch.rand(2, 10, 2), torch.eye(2).expand(2, 10, 2, 2))
    >>> transfer(points, points, points).value.equal(points.value)
    True
    """
    moved = driving
    if relative:
        scale = _scale(source, reference) if adapt_scale else None
        inverse = inverse_jacobian(reference) if relative_jacobian else None
        moved = add_motion(source, driving, reference, scale, inverse)
    return take_share(source, moved, strength)


def _scale(source: Keypoints, reference: Keypoints) -> Tensor:
    length = hull_area(torch.cat([source.value, reference.value])).sqrt()  # one call takes no longer than each of two
    return length[: len(source)] / length[len(source) :]


def inverse_jacobian(keypoints: Keypoints) -> Tensor | None:
    """Invert the jacobians of keypoints; None for models of zero order."""
    return None if keypoints.jacobian is None else inverse_2x2(keypoints.jacobian)


def add_motion(
    source: Keypoints, driving: Keypoints, reference: Keypoints, scale: Tensor | None, inverse: Tensor | None
) -> Keypoints:
    """Add the motion from the reference frames to the driving frames to the source's keypoints.

    Args:
        source: keypoints of the images.
        driving: keypoints of the driving frames.
        reference: keypoints of the reference frames.
        scale: (B,) factors on the motions.
        inverse: (B, K, 2, 2) inverses of the reference's jacobians; None keeps the driving jacobians.
    """
    motion = driving.value - reference.value
    if scale is not None:
        motion = motion * scale[:, None, None]
    jacobian = driving.jacobian
    if inverse is not None and source.jacobian is not None:
        assert driving.jacobian is not None
        jacobian = driving.jacobian @ inverse @ source.jacobian
    return Keypoints(source.value + motion, jacobian)


def take_share(source: Keypoints, moved: Keypoints, strength: Strength) -> Keypoints:
    """Interpolate between keypoints and moved ones, with `strength` as in `transfer`."""
    if isinstance(strength, float | int) and strength == 1:
        return moved
    weight = torch.as_tensor(strength, dtype=moved.value.dtype, device=moved.value.device)
    value = torch.lerp(source.value.expand_as(moved.value), moved.value, _align(weight, moved.value))
    if moved.jacobian is None or source.jacobian is None:
        return Keypoints(value, None)
    jacobian = torch.lerp(source.jacobian.expand_as(moved.jacobian), moved.jacobian, _align(weight, moved.jacobian))
    return Keypoints(value, jacobian)


def _align(weight: Tensor, like: Tensor) -> Tensor:
    return weight.reshape(-1, *[1] * (like.ndim - 1)) if weight.ndim else weight
