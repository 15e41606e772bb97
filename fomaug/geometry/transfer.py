"""Motion transfer: apply the motion of driving keypoints to the source's keypoints."""

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
        moved = add_motion(
            source, driving, reference, scale, inverse_jacobian(reference) if relative_jacobian else None
        )
    return take_share(source, moved, strength)


def _scale(source: Keypoints, reference: Keypoints) -> Tensor:
    # One call for both is faster, because a few faces take no longer than one.
    length = hull_area(torch.cat([source.value, reference.value])).sqrt()
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
        scale: (B,) factor on the motion, or None.
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
