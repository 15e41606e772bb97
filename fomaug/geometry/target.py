"""Where the keypoints of a source go: the motion of a driving face, a share of it, confined to a part of the face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fomaug.geometry.region import confine
from fomaug.geometry.transfer import Strength, take_share, transfer
from fomaug.geometry.turn import showable_share
from fomaug.types import Keypoints


class Mode(NamedTuple):
    """How a motion is transferred; see `fomaug.transfer` for the first three.

    Attributes:
        relative: whether the driving motion is added to the source's keypoints or replaces them.
        relative_jacobian: whether the change of the jacobians is added, too.
        adapt_scale: whether the motion is scaled by the ratio of the faces' sizes.
        region: part of the face that moves.
    """

    relative: bool = True
    relative_jacobian: bool = True
    adapt_scale: bool = True
    region: str = "all"


def target_keypoints(
    source: Keypoints,
    driving: Keypoints,
    reference: Keypoints,
    mode: Mode,
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
        strength: share of the motion, a float or (B,); 1 is all of it.

    Returns:
        B keypoints for `Animator.animate`.
    """
    return _take(source, _whole(source, driving, reference, mode), mode, names, strength)


def bounded_target(
    source: Keypoints,
    driving: Keypoints,
    reference: Keypoints,
    mode: Mode,
    names: Sequence[str],
    strength: Tensor,
    bounded: Tensor,
) -> tuple[Keypoints, Tensor]:
    """Do as `target_keypoints`, but take only the share of a motion that shows nothing which the source hides.

    Args:
        source: B keypoints of the images.
        driving: B keypoints of the driving frames.
        reference: B keypoints of the reference frames.
        mode: way of transferring the motion.
        names: names of the K keypoints.
        strength: (B,) share of the motion that is asked for.
        bounded: (B,) bool, the rows that the bound is for; see `showable_share`.

    Returns:
        B keypoints, and the (B,) share of `strength` that was taken: 1 where nothing was bounded.
    """
    whole = _whole(source, driving, reference, mode)
    moved = _take(source, whole, mode, names, strength)
    share = torch.where(bounded, showable_share(source, moved, names).detach(), 1.0)
    if bool((share < 1).any()):
        moved = _take(source, whole, mode, names, strength * share)
    return moved, share


def _whole(source: Keypoints, driving: Keypoints, reference: Keypoints, mode: Mode) -> Keypoints:
    return transfer(
        source,
        driving,
        reference,
        relative=mode.relative,
        relative_jacobian=mode.relative_jacobian,
        adapt_scale=mode.adapt_scale,
    )


def _take(source: Keypoints, whole: Keypoints, mode: Mode, names: Sequence[str], strength: Strength) -> Keypoints:
    return confine(source, take_share(source, whole, strength), mode.region, names)
