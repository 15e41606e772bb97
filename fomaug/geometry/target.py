"""Target keypoints: motion is transferred, confined to a region, and limited where it would show a hidden side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, get_args

import torch
from torch import Tensor

from fomaug.device import constants
from fomaug.errors import ArgumentError, check_choice
from fomaug.geometry.pose import Strength, add_motion, showable_share, take_share, transfer
from fomaug.options import Region
from fomaug.types import Keypoints

# First words of keypoint names. Points of no feature are points of the head.
_FEATURES: Final[dict[str, tuple[str, ...]]] = {"eyes": ("eye", "lid", "iris", "brow"), "mouth": ("mouth", "lip")}

_LEAST_SPREAD: Final = 1e-12  # summed squared distances of the head's points; those of faces are above 1e-3


class TransferMode(NamedTuple):
    """Options of the transfer of a motion; `fomaug.transfer` explains the first three.

    Attributes:
        relative: whether the driving motion is added to the source's keypoints; otherwise it replaces them.
        relative_jacobian: whether the change of the jacobians is added as well.
        adapt_scale: whether the motion is scaled by the ratio of the faces' sizes.
        region: part of the face that moves.
    """

    relative: bool = True
    relative_jacobian: bool = True
    adapt_scale: bool = True
    region: str = "all"


class Measures(NamedTuple):
    """Facts of a source and a reference frame that `transfer` would compute for every pair.

    Attributes:
        scale: (B,) ratio of the source's size to that of the reference frame, by the roots of the hull areas; None if
            no row adapts the scale.
        inverse: (B, K, 2, 2) inverses of the reference frame's jacobians; None for models of zero order.
    """

    scale: Tensor | None
    inverse: Tensor | None

    def take(self, rows: Tensor) -> Measures:
        """Take some rows."""
        return Measures(*(None if part is None else part[rows] for part in self))


def target_keypoints(
    source: Keypoints,
    driving: Keypoints,
    reference: Keypoints,
    mode: TransferMode,
    names: Sequence[str],
    strength: Strength = 1.0,
) -> Keypoints:
    """Move the source's keypoints by a share of the driving motion, in one part of the face.

    Args:
        source: B keypoints of the images, or 1 for all frames.
        driving: B keypoints of the driving frames.
        reference: B keypoints, or 1, of the frames in which the driving faces are posed like the sources.
        mode: way of transferring the motion.
        names: names of the K keypoints, for a region.
        strength: share of the motion, a float or (B,); 1 is the whole motion.

    Returns:
        B keypoints for `Animator.animate`.
    """
    return _take(source, _whole(source, driving, reference, mode), mode, names, strength)


class Bounded(NamedTuple):
    """Target keypoints of motions that were reduced where they had to be.

    Attributes:
        target: B keypoints.
        share: (B,) share of the strength that was taken: 1 where nothing was reduced.
        taken: (B,) strength times share.
    """

    target: Keypoints
    share: Tensor
    taken: Tensor


def bounded_target(
    source: Keypoints,
    driving: Keypoints,
    reference: Keypoints,
    mode: TransferMode,
    names: Sequence[str],
    strength: Tensor,
    free: Tensor,
    measures: Measures | None = None,
) -> Bounded:
    """Compute target keypoints, but reduce a motion that would show a side of the face that the source hides.

    Args:
        source: B keypoints of the images.
        driving: B keypoints of the driving frames.
        reference: B keypoints of the reference frames.
        mode: way of transferring the motion.
        names: names of the K keypoints.
        strength: (B,) share of the motion before the reduction.
        free: (B,) bool, rows that are not reduced; see `showable_share`.
        measures: facts of sources and reference frames, if they are known.
    """
    whole = _whole(source, driving, reference, mode, measures)
    moved = _take(
        Keypoints(source.value), Keypoints(whole.value), mode, names, strength
    )  # only the points are measured
    share = showable_share(source, moved, names).detach().masked_fill(free, 1.0)
    # A share of 1 changes nothing; a test whether it is 1 in all rows would wait for the device.
    taken = strength * share
    return Bounded(_take(source, whole, mode, names, taken), share, taken)


def _whole(
    source: Keypoints, driving: Keypoints, reference: Keypoints, mode: TransferMode, measures: Measures | None = None
) -> Keypoints:
    if mode.relative and measures is not None:
        scale = measures.scale if mode.adapt_scale else None
        return add_motion(source, driving, reference, scale, measures.inverse if mode.relative_jacobian else None)
    return transfer(
        source,
        driving,
        reference,
        relative=mode.relative,
        relative_jacobian=mode.relative_jacobian,
        adapt_scale=mode.adapt_scale,
    )


def _take(
    source: Keypoints, whole: Keypoints, mode: TransferMode, names: Sequence[str], strength: Strength
) -> Keypoints:
    return confine(source, take_share(source, whole, strength), mode.region, names)


def check_region(region: str, names: Sequence[str]) -> None:
    """Raise `ArgumentError` for an unknown region, and for a region of a model without keypoint names."""
    check_choice("region", region, get_args(Region))
    if region != "all" and not names:
        raise ArgumentError(
            f"region={region!r} needs a model that names its keypoints, and this one does not; use region='all'"
        )


def confine(source: Keypoints, moved: Keypoints, region: str, names: Sequence[str]) -> Keypoints:
    """Keep only the part of a motion that is in a region.

    The head's motion is the affine map that fits its points (nose, jaw, ears, forehead) best. "head" moves the features
    by this map. "mouth", "eyes" and "expression" (both) apply the inverse of the map to the moved points, so that the
    region's points keep only their own motion.

    Args:
        source: B keypoints before the motion, or 1 for all.
        moved: B keypoints after the motion.
        region: "all", "head", "mouth", "eyes" or "expression".
        names: names of the K keypoints.

    Returns:
        B keypoints.
    """
    if region == "all":
        return moved
    points = _region_points(region, tuple(names), source.value.device)
    linear, shift = _fit_affine(source.value[:, points.head], moved.value[:, points.head])
    if region == "head":
        return _mix(points.chosen, _carry(source, linear, shift), moved)
    back = torch.linalg.inv_ex(linear).inverse
    local = _carry(moved, back, -(back @ shift[..., None])[..., 0])
    return _mix(points.chosen, local, source)


class _RegionPoints(NamedTuple):
    """Keypoints of a region.

    Attributes:
        chosen: (K,) bool, keypoints that are confined.
        head: (M,) indices of the keypoints of the head.
    """

    chosen: Tensor
    head: Tensor


@constants
def _region_points(region: str, names: tuple[str, ...], device: torch.device) -> _RegionPoints:
    chosen = _members(("eyes", "mouth") if region in ("head", "expression") else (region,), names)
    features = _members(("eyes", "mouth"), names)
    head = [row for row, is_feature in enumerate(features) if not is_feature]
    return _RegionPoints(torch.tensor(chosen, device=device), torch.tensor(head, dtype=torch.long, device=device))


def _members(features: Sequence[str], names: Sequence[str]) -> list[bool]:
    starts = tuple(word for feature in features for word in _FEATURES[feature])
    return [name.startswith(starts) for name in names]


def _fit_affine(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Fit the affine maps (B, 2, 2), (B, 2) that map (B, M, 2) points to others, by least squares."""
    start_mean, end_mean = start.mean(1, keepdim=True), end.mean(1, keepdim=True)
    start, end = start - start_mean, end - end_mean
    moment = start.mT @ start
    # The ridge keeps the identity in a direction that points on one line do not determine, nor points in one place.
    spread = moment.diagonal(dim1=1, dim2=2).sum(1).clamp(min=_LEAST_SPREAD)
    ridge = 1e-4 * spread[:, None, None] * torch.eye(2, device=start.device)
    # The plain solver reads from the device whether a matrix is singular; these matrices never are.
    linear = torch.linalg.solve_ex(moment + ridge, start.mT @ end + ridge).result.mT
    return linear, end_mean[:, 0] - (linear @ start_mean.mT)[..., 0]


def _carry(points: Keypoints, linear: Tensor, shift: Tensor) -> Keypoints:
    value = points.value @ linear.mT + shift[:, None]
    return Keypoints(value, None if points.jacobian is None else linear[:, None] @ points.jacobian)


def _mix(chosen: Tensor, inside: Keypoints, outside: Keypoints) -> Keypoints:
    value = torch.where(chosen[None, :, None], inside.value, outside.value)
    if inside.jacobian is None or outside.jacobian is None:
        return Keypoints(value)
    return Keypoints(value, torch.where(chosen[None, :, None, None], inside.jacobian, outside.jacobian))
