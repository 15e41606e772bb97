"""A neutral reference for a single driving picture, which separates its pose and expression from the person's shape."""

from __future__ import annotations

from functools import cache
from typing import Final

import torch
from torch import Tensor

from fomaug.animator import Animator
from fomaug.driving.synthetic.parametric import face_keypoints
from fomaug.faces import is_face_model
from fomaug.geometry import hull_area, normalise
from fomaug.types import Keypoints

_YAWS: Final = torch.arange(-60.0, 61.0, 3.0)
_PITCHES: Final = torch.arange(-39.0, 40.0, 3.0)


def neutral_like(source: Keypoints, driving: Keypoints, model: Animator) -> Keypoints:
    """Make the reference keypoints for a driving picture that is no frame of a clip.

    For models whose keypoints are face points, the reference is the mean face without expression, turned like the
    source's head: relative transfer then gives the source the driving picture's pose and expression, and the source
    keeps its own shape. An unusual shape of the driving face cannot be distinguished from an expression and is
    transferred as well. For other models the reference is the source itself: relative transfer then copies the driving
    picture's pose together with the shape of its face. Both references have the position and the size of the driving
    face, so that the source keeps its own.

    Args:
        source: keypoints of one picture.
        driving: keypoints of one picture.
        model: model that found both.

    Returns:
        Keypoints of one frame.
    """
    own = source.to("cpu", torch.float32)
    if not is_face_model(model):
        return _lay(own, driving)
    turned, poses = _poses()
    nearest, roll = _nearest(poses, normalise(own.value)[0])
    mean = turned[nearest]
    assert mean.jacobian is not None
    jacobian = roll @ mean.jacobian if driving.jacobian is not None else None
    return _lay(Keypoints(mean.value @ roll.T, jacobian), driving)


@cache
def _poses() -> tuple[Keypoints, Tensor]:
    """Turn the mean face by all yaws and pitches, and return its keypoints and its normalised points."""
    yaw, pitch = (angle.flatten() for angle in torch.meshgrid(_YAWS, _PITCHES, indexing="ij"))
    turned = face_keypoints(yaw=yaw, pitch=pitch)
    return turned, normalise(turned.value)


def _nearest(poses: Tensor, points: Tensor) -> tuple[int, Tensor]:
    """Find the index of the one of (N, K, 2) shapes that fits (K, 2) points best, and its rotation (2, 2) onto them."""
    along = (poses * points).sum((1, 2))
    across = (poses[..., 0] * points[:, 1] - poses[..., 1] * points[:, 0]).sum(1)
    angle = torch.atan2(across, along)
    cosine, sine = angle.cos(), angle.sin()
    rolls = torch.stack([cosine, -sine, sine, cosine], -1).view(-1, 2, 2)
    nearest = int((poses @ rolls.mT - points).square().sum((1, 2)).argmin())
    return nearest, rolls[nearest]


def _lay(points: Keypoints, driving: Keypoints) -> Keypoints:
    """Bring a face to the position and the size of another."""
    other = driving.to("cpu", torch.float32)
    scale = (hull_area(other.value) / hull_area(points.value).clamp(min=1e-12)).sqrt()[:, None, None]
    value = (points.value - points.value.mean(1, keepdim=True)) * scale + other.value.mean(1, keepdim=True)
    jacobian = None if points.jacobian is None else points.jacobian * scale[..., None]
    return Keypoints(value, jacobian)
