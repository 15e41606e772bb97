"""Poses of the mean face between which the keypoints move, so that the picture reaches a view."""

from __future__ import annotations

from typing import Final, NamedTuple

import torch
from torch import Tensor

from fomaug.faces import mean_face_angles

NODS: Final = (1.2, 1.05)
"""Degrees of the mean face for each degree of a nod, up and down; measured, see docs/evidence/motion.md."""
NOD_LIMITS: Final = (-38.0, 32.0)
"""Pitches of the mean face in degrees beyond which nods are not made larger."""
_FARTHER: Final = 170.0  # degrees of yaw of the source at which its turns would be twice as large
_STEEP: Final = 40.0  # degrees of a nod up at which turned heads turn twice as much farther, or down, not farther
_DOWN: Final = 200.0  # degrees of a nod down at which heads would not turn
_ASIDE: Final = 90.0  # degrees of a turn at which heads would not nod down
_FRACTION: Final = 64.0  # of a degree, so that angles are the same after writing and reading
_EARLIER_GAIN: Final = 1.6
_EARLIER_SIDEWAYS: Final = 40.0
_EARLIER_TILT: Final = 0.3


class Aim(NamedTuple):
    """Poses (N, 3) of the mean face, in degrees.

    Attributes:
        start: pose in which it fits the keypoints of the source.
        end: pose of the target.
    """

    start: Tensor
    end: Tensor


def aim(views: Tensor, poses: Tensor) -> Aim:
    """Choose the poses of the mean face for views (N, 3) of sources with head poses (N, 3), in degrees.

    The keypoints turn and roll like those of a head that turns and rolls to the view. They nod farther, because
    pictures follow only a part of a nod, and heads that are turned already turn farther. If a head turns and nods down
    at the same time, both are smaller, because the gates would reject many copies. If the view is the pose of the
    source, both poses are equal.
    """
    start = mean_face_angles(poses)
    level = mean_face_angles(torch.stack([views[:, 0], poses[:, 1], views[:, 2]], 1))
    turn, nod = level[:, 0] - start[:, 0], views[:, 1] - poses[:, 1]
    farther = start[:, 0].abs() / _FARTHER * (1 - nod / _STEEP).clamp(0.0, 2.0) - nod.clamp(min=0.0) / _DOWN
    yaw = level[:, 0] + turn * farther
    up, down = NODS
    pitch = level[:, 1] + up * nod.clamp(max=0.0) + down * nod.clamp(min=0.0) * (1 - turn.abs() / _ASIDE)
    low, high = (torch.full_like(nod, limit) for limit in NOD_LIMITS)
    usual = mean_face_angles(views)[:, 1]
    pitch = pitch.clamp(usual.minimum(low), usual.maximum(high))
    return Aim(_rounded(start), _rounded(torch.stack([yaw, pitch, level[:, 2]], 1)))


def earlier_aim(views: Tensor, poses: Tensor) -> Aim:
    """Choose the poses for rows that were settled before they contained them, with the rule of that time.

    Their angles are poses of the mean face, and not of the head. Their nods were enlarged by a factor that decreased
    with the yaw, and they were rolled back.
    """
    (yaw, pitch, roll), start = views.unbind(1), poses[:, 1]
    gain = 1 + (_EARLIER_GAIN - 1) * (1 - yaw.abs() / _EARLIER_SIDEWAYS).clamp(min=0.0)
    low, high = (torch.full_like(pitch, limit) for limit in NOD_LIMITS)
    farther = (start + gain * (pitch - start)).clamp(pitch.minimum(low), pitch.maximum(high))
    tilted = roll + _EARLIER_TILT * yaw.deg2rad().sin() * (farther - start)
    return Aim(poses, torch.stack([yaw, farther, tilted], 1))


def _rounded(angles: Tensor) -> Tensor:
    return (angles * _FRACTION).round() / _FRACTION
