"""The pose of a head: the mean face is turned until it fits the keypoints best, and its pose is calibrated.

The keypoints of the canonical face are linear in its mesh, and so are their jacobians. So the mean face is posed by the
rotation of one 3 x 3 matrix for each keypoint, and the mesh is not needed.

Head poses and the poses in which the mean face fits the keypoints best differ by a measured amount. If a head nods, its
keypoints move only two thirds as far as its points: those that the model finds, and likewise the 2-D meshes that the
model was trained on. They turn a little too far at first, and too little beyond 40 degrees, and a nod of a turned head
tilts them. The constants of the calibration are measured on rendered heads, see docs/evidence/motion.md.
"""

from __future__ import annotations

from functools import cache
from typing import Final, NamedTuple

import torch
from torch import Tensor

from fomaug.animator import Animator
from fomaug.device import constants
from fomaug.errors import PoolError
from fomaug.faces.canonical import KEYPOINT_POINTS, keypoint_frames, mean_mesh, rotation
from fomaug.faces.finder import is_face_model
from fomaug.types import Keypoints

NECK: Final = (0.0, 0.4, 0.3)
"""The centre of the head's rotation, below and behind the centre of the face."""

# Weights of the points in the fit. Lids, brows, lips and chin move with expressions, irises with looks; jaws differ
# between people. docs/evidence/motion.md has the errors on rendered heads.
_WEIGHTS: Final = {"iris": 0.0, "lid": 0.25, "brow": 0.5, "lip": 0.25, "mouth": 0.25, "chin": 0.25, "jaw": 0.3}
_YAWS: Final = torch.arange(-70.0, 71.0, 10.0)
_PITCHES: Final = torch.arange(-40.0, 41.0, 10.0)
_ROUNDS: Final = 8  # of the refinement, which hardly changes after the fourth
_WIDEST: Final = 85.0  # degrees of any angle, of heads and of the mean face
_LONGEST_STEP: Final = 10.0  # degrees
_STEPS: Final = 64.0  # in a degree: angles that float32 and short decimals hold exactly


def head_pose(keypoints: Keypoints, model: Animator) -> Tensor:
    """Estimate the pose of each head from its keypoints.

    Args:
        keypoints: keypoints of B faces, found by the model.
        model: model whose keypoints are known points of the face.

    Returns:
        (B, 3) yaw, pitch and roll in degrees, float32, multiples of 1/64. Yaw is positive to the viewer's left, pitch
        looks down, roll tilts clockwise for the viewer; 0 faces the camera. Estimates fail beyond 70 degrees of yaw.

    Raises:
        PoolError: the keypoints of the model have no names.
    """
    if not is_face_model(model):
        raise PoolError(
            f"a head pose needs keypoints that are known points of the face; those of {model.name!r} have no names"
        )
    return pose_of_points(keypoints.value)


def pose_of_points(value: Tensor) -> Tensor:
    """Estimate head poses (B, 3) in degrees from the canonical keypoints (B, K, 2); see `head_pose`."""
    return round_angles(head_angles(_fit(value)))


def fit_mean_face(value: Tensor) -> Tensor:
    """Return the poses (B, 3) in degrees in which the mean face fits the canonical keypoints (B, K, 2) best.

    `posed_face` has the keypoints of the mean face in these poses. They differ from the poses of the heads, see
    `head_angles`.
    """
    return round_angles(_fit(value))


def round_angles(angles: Tensor) -> Tensor:
    """Round angles in degrees to multiples of 1/64, which are the same after writing and reading."""
    return (angles * _STEPS).round() / _STEPS


def _fit(value: Tensor) -> Tensor:
    """Fit the mean face.

    For every pose of a coarse grid, the similarity that fits best is known in closed form; Gauss-Newton steps refine
    the best one. Nothing is read back from the device, and each row depends on its own points alone.
    """
    face = _mean_face(value.device)
    points = _complex(_centred(value.detach().float(), face.weights))  # (B, K)
    angles = _best_of_grid(points, face)
    for _ in range(_ROUNDS):
        angles = _refine(points, angles, face.weighted)
    fit = _similarity(points, _project(angles, face.weighted))
    return _read_angles(fit.angle(), angles)


def posed_face(angles: Tensor, offset: Tensor | None = None) -> Keypoints:
    """Pose the mean face.

    Args:
        angles: (B, 3) yaw, pitch and roll in degrees.
        offset: (B, K, 3, 3) or (K, 3, 3) change of the keypoints' frames by an expression, as from `keypoint_frames`.

    Returns:
        Keypoints of B frames.
    """
    face = _mean_face(angles.device)
    frames = face.frames if offset is None else face.frames + offset
    turn = rotation(*angles.deg2rad().unbind(-1))[:, None, :2, :, None]  # (B, 1, 2, 3, 1)
    # Products of matrices would depend on the number of rows in their last digits.
    posed = (turn * (frames if frames.ndim == 4 else frames[None])[:, :, None]).sum(3)  # (B, K, 2, 3)
    return Keypoints(posed[..., 0] + face.neck, posed[..., 1:])


class _MeanFace(NamedTuple):
    """The mean face on a device.

    Attributes:
        frames: (K, 3, 3) frames of the keypoints, see `_frames`.
        weights: (K, 1) weights of the keypoints in the fit, with the sum 1.
        weighted: (K, 3) points, centred, and multiplied by the roots of their weights.
        grid: (G, 2) yaw and pitch of the coarse grid.
        neck: (2,) the centre of the head's rotation in the picture.
    """

    frames: Tensor
    weights: Tensor
    weighted: Tensor
    grid: Tensor
    neck: Tensor


@constants
def _mean_face(device: torch.device) -> _MeanFace:
    frames, weights = _frames(), _weights()
    parts = frames, weights, _centred(frames[..., 0], weights), torch.cartesian_prod(_YAWS, _PITCHES)
    return _MeanFace(*(part.to(device) for part in (*parts, torch.tensor(NECK[:2]))))


@cache
def _frames() -> Tensor:
    """Return the frames (K, 3, 3) of the mean face's keypoints: the point, as seen from the neck, and its jacobian."""
    frames = keypoint_frames(mean_mesh())
    return torch.cat([frames[..., :1] - torch.tensor(NECK)[:, None], frames[..., 1:]], -1)


def _weights() -> Tensor:
    weights = [_WEIGHTS.get(name.split()[0], 1.0) for name in KEYPOINT_POINTS]
    return (torch.tensor(weights) / sum(weights))[:, None]


def _centred(points: Tensor, weights: Tensor) -> Tensor:
    return (points - (weights * points).sum(-2, keepdim=True)) * weights.sqrt()


def _complex(points: Tensor) -> Tensor:
    return torch.complex(points[..., 0], points[..., 1])


def _project(angles: Tensor, face: Tensor) -> Tensor:
    """Turn the face by yaw and pitch (B, 2) in degrees and look at it from the front: (B, K) complex points."""
    yaw, pitch = angles.deg2rad().unbind(-1)
    turn = rotation(yaw, pitch, torch.zeros_like(yaw))[:, None, :2]  # (B, 1, 2, 3)
    return _complex((turn * face[:, None]).sum(-1))


def _similarity(points: Tensor, shape: Tensor) -> Tensor:
    """Return the complex factors (B,), scale and roll, by which shapes fit points best."""
    return (shape.conj() * points).sum(-1) / shape.abs().square().sum(-1)


def _best_of_grid(points: Tensor, face: _MeanFace) -> Tensor:
    """Return the yaw and pitch (B, 2) of the grid that fit best."""
    shapes = _project(face.grid, face.weighted)  # (G, K)
    fits = _similarity(points[:, None], shapes).abs() * shapes.abs().square().sum(-1).sqrt()
    return face.grid[fits.argmax(1)]


def _refine(points: Tensor, angles: Tensor, face: Tensor) -> Tensor:
    """Do one Gauss-Newton step for yaw and pitch (B, 2); scale and roll are eliminated."""
    shape = _project(angles, face)
    fit = _similarity(points, shape)[:, None]
    rest = points - fit * shape
    slopes = []
    for step in torch.eye(2, device=angles.device):
        slope = (_project(angles + step, face) - _project(angles - step, face)) / 2
        slopes.append(fit * (slope - _similarity(slope, shape)[:, None] * shape))
    yaw, pitch = slopes
    (a, b, c), (p, q) = (_dot(yaw, yaw), _dot(yaw, pitch), _dot(pitch, pitch)), (_dot(yaw, rest), _dot(pitch, rest))
    area = (a * c - b * b).clamp(min=1e-20)
    change = torch.stack([c * p - b * q, a * q - b * p], -1) / area[:, None]
    return (angles + change.clamp(-_LONGEST_STEP, _LONGEST_STEP)).clamp(-_WIDEST, _WIDEST)


def _dot(first: Tensor, second: Tensor) -> Tensor:
    return (first.conj() * second).real.sum(-1)


def _read_angles(roll: Tensor, angles: Tensor) -> Tensor:
    """Turn a roll in the picture, after yaw and pitch, into one before them, as `rotation` takes it: (B, 3) degrees."""
    zero = torch.zeros_like(roll)
    yaw, pitch = angles.deg2rad().unbind(-1)
    whole = rotation(zero, zero, roll) @ rotation(yaw, pitch, zero)
    found = (
        torch.atan2(whole[:, 0, 2], whole[:, 2, 2]),
        torch.asin(-whole[:, 1, 2].clamp(-1, 1)),
        torch.atan2(whole[:, 1, 0], whole[:, 1, 1]),
    )
    return torch.stack(found, -1).rad2deg()


_TURN: Final = (0.77, 0.95e-4)
"""Factors of the yaw and of its cube: head's yaw for the yaw of the mean face, in degrees."""
_LARGEST_TURN: Final = 55.0  # degrees of the mean face, from which the yaw is continued along a line
_NOD: Final = 0.665
_LEVEL: Final = 3.9  # degrees of pitch that fit the keypoints of a level head
_TILT: Final = (-0.08, -0.005)
"""Degrees of roll of the mean face for each degree of the head's yaw, and for its product with the pitch."""


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
    [[24.0, 17.0, -4.0]]
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
