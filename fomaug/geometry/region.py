"""Regions: a motion confined to a part of the face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, get_args

import torch
from torch import Tensor

from fomaug.device import constants
from fomaug.errors import ArgumentError, check_choice
from fomaug.options import Region
from fomaug.types import Keypoints

# First words of keypoint names. Points of no feature are points of the head.
_FEATURES: Final[dict[str, tuple[str, ...]]] = {"eyes": ("eye", "lid", "iris", "brow"), "mouth": ("mouth", "lip")}

_LEAST_SPREAD: Final = 1e-12  # summed squared distances of the head's points; those of faces are above 1e-3


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
