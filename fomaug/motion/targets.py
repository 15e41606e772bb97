"""Compute target keypoints of rows with different modes of transfer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from fomaug.device import send
from fomaug.geometry import Bounded, Measures, TransferMode, bounded_target
from fomaug.motion.params import MotionParams
from fomaug.types import Keypoints


class Fitted(NamedTuple):
    """Motion parameters that are fitted to their sources.

    Attributes:
        target: keypoints of N frames, for `Animator.animate`.
        params: N parameters with settled reference frame and strength; fitting them again does not change them.
    """

    target: Keypoints
    params: list[MotionParams]


class Fitting(NamedTuple):
    """Motion parameters whose settled numbers are still on the device.

    Attributes:
        target: keypoints of N frames, for `Animator.animate`.
        numbers: (M,) numbers that settle the parameters; empty if all were settled before.
        settle: function from these numbers, as a list, to the N parameters, see `Fitted`.
    """

    target: Keypoints
    numbers: Tensor
    settle: Callable[[Sequence[float]], list[MotionParams]]


def find_targets(
    params: Sequence[MotionParams],
    keypoints: tuple[Keypoints, Keypoints, Keypoints],
    strength: Tensor,
    free: Tensor,
    names: Sequence[str],
    measures: Measures | None = None,
) -> Bounded:
    """Do as `bounded_target` for rows whose modes of transfer may differ, grouped by mode."""
    modes = [TransferMode(param.relative, param.relative_jacobian, param.adapt_scale, param.region) for param in params]
    if len(set(modes)) == 1:
        return bounded_target(*keypoints, modes[0], names, strength, free, measures)
    order = sorted(range(len(params)), key=modes.__getitem__)
    groups = [list(group) for _, group in groupby(order, key=modes.__getitem__)]
    back = sorted(range(len(order)), key=order.__getitem__)
    *parts, there = send([*groups, back], strength.device)
    found = []
    for group, rows in zip(groups, parts, strict=True):
        source, driving, reference = (part[rows] for part in keypoints)
        own = None if measures is None else measures.take(rows)
        mode = modes[group[0]]
        found.append(bounded_target(source, driving, reference, mode, names, strength[rows], free[rows], own))
    targets, shares, taken = zip(*found, strict=True)
    return Bounded(Keypoints.cat(targets)[there], torch.cat(shares)[there], torch.cat(taken)[there])
