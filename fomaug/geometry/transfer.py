"""Motion transfer: the source's keypoints, moved as the driving keypoints moved."""

from __future__ import annotations

import torch
from torch import Tensor

from fomaug.geometry.plane import inverse_2x2
from fomaug.geometry.pose import hull_area
from fomaug.types import Keypoints

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
    """Move the source's keypoints as the driving face moved away from its reference frame (paper: Sec. 3.3).

    Every sample stands on its own, its scale too; a part with one sample serves all samples of the others.

    Args:
        source: keypoints of the images, (B, K, ...).
        driving: keypoints of the driving frames.
        reference: keypoints of the frames in which the driving faces are posed like the sources.
        relative: add the driving motion to the source; otherwise take the driving keypoints as they are.
        relative_jacobian: with `relative`, also compose the driving change of the jacobians with the source's.
        adapt_scale: with `relative`, scale the motion by the root of the ratio of the hull areas.
        strength: 1 for the motion as it is, 0 for none; a float or (B,).

    Returns:
        Keypoints (B, K, ...) for `Animator.animate`.

    >>> points = Keypoints(torch.rand(2, 10, 2), torch.eye(2).expand(2, 10, 2, 2))
    >>> transfer(points, points, points).value.equal(points.value)
    True
    """
    if relative:
        moved = _relative(source, driving, reference, relative_jacobian=relative_jacobian, adapt_scale=adapt_scale)
    else:
        moved = driving
    return take_share(source, moved, strength)


def _relative(
    source: Keypoints, driving: Keypoints, reference: Keypoints, *, relative_jacobian: bool, adapt_scale: bool
) -> Keypoints:
    motion = driving.value - reference.value
    if adapt_scale:
        # Both in one call: for few faces its price is that of the call.
        length = hull_area(torch.cat([source.value, reference.value])).sqrt()
        motion = motion * (length[: len(source)] / length[len(source) :])[:, None, None]
    jacobian = driving.jacobian
    if relative_jacobian and source.jacobian is not None:
        assert driving.jacobian is not None and reference.jacobian is not None
        jacobian = driving.jacobian @ inverse_2x2(reference.jacobian) @ source.jacobian
    return Keypoints(source.value + motion, jacobian)


def take_share(source: Keypoints, moved: Keypoints, strength: Strength) -> Keypoints:
    """Go a share of the way from keypoints to moved ones; `strength` as in `transfer`."""
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
