"""Fit motion parameters to the faces that are to move: everything that depends on the source, and nothing random."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from torch import Tensor

from fomaug.driving import DrivingPool
from fomaug.geometry import Mode, bounded_target
from fomaug.motion.frames import pool_frames
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


def fit(
    params: Sequence[MotionParams], keypoints: Keypoints, pool: DrivingPool, keypoint_names: Sequence[str]
) -> Fitted:
    """Choose the reference frames, bound the strengths and work out the target keypoints of N faces.

    A row depends on its own face alone. A row whose reference is a frame number is settled: nothing of it is chosen
    anew. For the others, the strength keeps its digits unless all of it would show what the source hides.

    Args:
        params: N draws, one for each face; boxes and further faces are ignored.
        keypoints: keypoints of the N faces.
        pool: driving pool that the parameters were drawn from.
        keypoint_names: names of the K keypoints; without names there is no bound, and no region but "all".

    Raises:
        PoolError: the pool does not hold a clip, or holds another one of that name.
        ArgumentError: the clip has no such frame.
    """
    driving, reference, numbers = pool_frames(pool, keypoints.value.device).gather(params, keypoints)
    strength = torch.tensor([param.strength for param in params]).to(keypoints.value)
    bounded = torch.tensor([param.relative and not param.settled for param in params]).to(strength.device)
    target, share = _targets(params, (keypoints, driving, reference), strength, bounded, keypoint_names)
    taken = [
        param.strength if is_full else bounded_strength
        for param, is_full, bounded_strength in zip(
            params, (share == 1).tolist(), (strength * share).tolist(), strict=True
        )
    ]
    settled = [param.settle(number, own) for param, number, own in zip(params, numbers, taken, strict=True)]
    return Fitted(target, settled)


def _targets(
    params: Sequence[MotionParams],
    keypoints: tuple[Keypoints, Keypoints, Keypoints],
    strength: Tensor,
    bounded: Tensor,
    names: Sequence[str],
) -> tuple[Keypoints, Tensor]:
    """Work out targets and bounded shares of rows whose ways of transfer may differ, those of one way together."""
    modes = [Mode(param.relative, param.relative_jacobian, param.adapt_scale, param.region) for param in params]
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
