"""Target keypoints of rows whose ways of transfer differ."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from fomaug.geometry import TransferMode, bounded_target
from fomaug.motion.params import MotionParams
from fomaug.types import Keypoints


class Fitted(NamedTuple):
    """Motion parameters made definite for their sources.

    Attributes:
        target: keypoints of N frames, for `Animator.animate`.
        params: the N parameters with their reference frame and strength settled; fitting them again gives the same.
    """

    target: Keypoints
    params: list[MotionParams]


def find_targets(
    params: Sequence[MotionParams],
    keypoints: tuple[Keypoints, Keypoints, Keypoints],
    strength: Tensor,
    bounded: Tensor,
    names: Sequence[str],
) -> tuple[Keypoints, Tensor]:
    """Work out targets and bounded shares of rows whose ways of transfer may differ, those of one way together."""
    modes = [TransferMode(param.relative, param.relative_jacobian, param.adapt_scale, param.region) for param in params]
    order = sorted(range(len(params)), key=modes.__getitem__)
    share = torch.ones_like(strength)
    parts = []
    for mode, group in groupby(order, key=modes.__getitem__):
        rows = list(group)
        source, driving, reference = (part[rows] for part in keypoints)
        target, share[rows] = bounded_target(source, driving, reference, mode, names, strength[rows], bounded[rows])
        parts.append(target)
    back = sorted(range(len(order)), key=order.__getitem__)
    return Keypoints.cat(parts)[back], share
