"""Head poses and the poses in which the mean face fits the keypoints best: the two differ, by a measured amount.

If a head nods, its keypoints move only two thirds as far as its points: those that the model finds, and likewise the
2-D meshes that the model was trained on. They turn a little too far at first, and too little beyond 40 degrees, and a
nod of a turned head tilts them. The constants are measured on rendered heads, see docs/evidence/motion.md.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

_TURN: Final = (0.77, 0.95e-4)
"""Factors of the yaw and of its cube: head's yaw for the yaw of the mean face, in degrees."""
_LARGEST_TURN: Final = 55.0  # degrees of the mean face, from which the yaw is continued along a line
_NOD: Final = 0.665
_LEVEL: Final = 3.9  # degrees of pitch that fit the keypoints of a level head
_TILT: Final = (-0.08, -0.005)
"""Degrees of roll of the mean face for each degree of the head's yaw, and for its product with the pitch."""
_WIDEST: Final = 85.0


def head_angles(angles: Tensor) -> Tensor:
    """Return the poses (B, 3) of heads whose keypoints the mean face fits in the given poses, in degrees.

    >>> head_angles(torch.tensor([[0.0, 3.9, 0.0], [24.5, 17.2, -3.6]])).round(decimals=0).tolist()
    [[0.0, 0.0, 0.0], [20.0, 20.0, 0.0]]
    """
    yaw, pitch, roll = angles.unbind(-1)
    first, cubic = _TURN
    yaw = (yaw * (first + cubic * yaw.square().clamp(max=_LARGEST_TURN**2))).clamp(-_WIDEST, _WIDEST)
    pitch = ((pitch - _LEVEL) / _NOD).clamp(-_WIDEST, _WIDEST)
    return torch.stack([yaw, pitch, roll - _tilt(yaw, pitch)], -1)


def mean_face_angles(angles: Tensor) -> Tensor:
    """Return the poses (B, 3) in which the mean face fits the keypoints of heads in the given poses, in degrees.

    >>> mean_face_angles(torch.tensor([[20.0, 20.0, 0.0]])).round().tolist()
    [[25.0, 17.0, -4.0]]
    """
    yaw, pitch, roll = angles.unbind(-1)
    return torch.stack([_unturn(yaw), _LEVEL + _NOD * pitch, roll + _tilt(yaw, pitch)], -1)


def _tilt(yaw: Tensor, pitch: Tensor) -> Tensor:
    return yaw * (_TILT[0] + _TILT[1] * pitch)


def _unturn(yaw: Tensor) -> Tensor:
    """Solve the cubic equation of the yaw, which has one real root."""
    first, cubic = _TURN
    factor = 2 * (first / (3 * cubic)) ** 0.5
    root = factor * ((yaw * (3 / (first * factor))).asinh() / 3).sinh()
    steepest = first + cubic * _LARGEST_TURN**2
    return torch.where(yaw.abs() < steepest * _LARGEST_TURN, root, yaw / steepest)
