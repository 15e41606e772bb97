"""Target keypoints: motion transfer, and the limit of turns that would show a hidden side of the face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fomaug.geometry.plane import inverse_2x2
from fomaug.geometry.pose import hull_area, showable_share
from fomaug.geometry.region import confine
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
