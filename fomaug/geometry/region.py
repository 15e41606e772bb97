"""Confine a motion to a part of the face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, get_args

import torch
from torch import Tensor

from fomaug.errors import ArgumentError, check_choice
from fomaug.types import Keypoints

Region = Literal["all", "head", "mouth", "eyes", "expression"]

# First words of keypoint names. What belongs to no feature is the head's own.
_FEATURES: Final[dict[str, tuple[str, ...]]] = {"eyes": ("eye", "lid", "iris", "brow"), "mouth": ("mouth", "lip")}


def check_region(region: str, names: Sequence[str]) -> None:
    """Raise `ArgumentError` for an unknown region, and where a model without keypoint names is asked for one."""
    check_choice("region", region, get_args(Region))
    if region != "all" and not names:
        raise ArgumentError(
            f"region={region!r} needs a model that names its keypoints, and this one does not; use region='all'"
        )


def confine(source: Keypoints, moved: Keypoints, region: str, names: Sequence[str]) -> Keypoints:
    """Keep only a region's share of a motion.

    The head's motion is the affine map that its points (nose, jaw, ears, forehead) follow. "head" moves the features by
    this map; "mouth", "eyes" and "expression" (both) take the map off and move the region's points by what is left.

    Args:
        source: B keypoints before the motion; or 1, for all of them.
        moved: B keypoints after it.
        region: "all", "head", "mouth", "eyes" or "expression".
        names: of the K keypoints.

    Returns:
        B keypoints.
    """
    if region == "all":
        return moved
    features = ("eyes", "mouth") if region in ("head", "expression") else (region,)
    chosen = _members(features, names).to(source.value.device)
    head = ~_members(("eyes", "mouth"), names).to(source.value.device)
    linear, shift = _fit_affine(source.value[:, head], moved.value[:, head])
    if region == "head":
        return _mix(chosen, _carry(source, linear, shift), moved)
    back = torch.linalg.inv(linear)
    local = _carry(moved, back, -(back @ shift[..., None])[..., 0])
    return _mix(chosen, local, source)


def _members(features: Sequence[str], names: Sequence[str]) -> Tensor:
    starts = tuple(word for feature in features for word in _FEATURES[feature])
    return torch.tensor([name.startswith(starts) for name in names])


def _fit_affine(start: Tensor, end: Tensor) -> tuple[Tensor, Tensor]:
    """Find the affine maps (B, 2, 2), (B, 2) that carry (B, M, 2) points best."""
    start_mean, end_mean = start.mean(1, keepdim=True), end.mean(1, keepdim=True)
    start, end = start - start_mean, end - end_mean
    moment = start.mT @ start
    # Ridge: points on one line fix no affine map; then the missing direction stays as it is.
    ridge = 1e-4 * moment.diagonal(dim1=1, dim2=2).sum(1)[:, None, None] * torch.eye(2, device=start.device)
    linear = torch.linalg.solve(moment + ridge, start.mT @ end + ridge).mT
    return linear, end_mean[:, 0] - (linear @ start_mean.mT)[..., 0]


def _carry(points: Keypoints, linear: Tensor, shift: Tensor) -> Keypoints:
    value = points.value @ linear.mT + shift[:, None]
    return Keypoints(value, None if points.jacobian is None else linear[:, None] @ points.jacobian)


def _mix(chosen: Tensor, inside: Keypoints, outside: Keypoints) -> Keypoints:
    value = torch.where(chosen[None, :, None], inside.value, outside.value)
    if inside.jacobian is None or outside.jacobian is None:
        return Keypoints(value)
    return Keypoints(value, torch.where(chosen[None, :, None, None], inside.jacobian, outside.jacobian))
