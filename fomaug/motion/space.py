"""The space in which motions are compared: the keypoint displacements and the head pose of each frame of a pool."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomaug.driving import DrivingPool

Array = NDArray[np.float64]

TURN_WEIGHT = 2.0  # weight of a turned head against a local movement of the same length
DEPTH = 0.4  # root mean square depth of a face, in units of its root mean square radius
_GRID: Final = 4096.0  # steps of a length of 1


def on_grid(lengths: Array) -> Array:
    """Round lengths, so that results do not depend on the last digits, in which machines differ."""
    rounded: Array = np.round(lengths * _GRID) / _GRID
    return rounded


@dataclass(frozen=True, eq=False)
class MotionSpace:
    """The motion of all F frames of a pool away from the neutral frame of their track.

    Lengths are in units of the face's size, so that near and far faces are comparable.

    Attributes:
        track: (F,) int, index of the frame's track.
        frame: (F,) int, index of the frame in its track.
        motion: (F, 2 K) keypoint displacements, centred, turns weighted by `TURN_WEIGHT`.
        mirrored: (F, 2 K) displacements of the mirrored motion.
        yaw: (F,) estimated turn in degrees, positive towards the left edge of the picture.
        pitch: (F,) estimated nod in degrees, positive looks down.
        size: (F,) distance of each frame from the neutral frame.
        weight: (tracks,) share of draws of each track, with the sum 1; all 0 if no track may be drawn.
        angles: (F, 3) yaw, pitch and roll of views, NaN for frames of clips; None if no track has views. The yaw and
            the pitch of views are theirs.
    """

    track: NDArray[np.int64]
    frame: NDArray[np.int64]
    motion: Array
    mirrored: Array
    yaw: Array
    pitch: Array
    size: Array
    weight: Array
    angles: Array | None = None


def motion_space(pool: DrivingPool) -> MotionSpace:
    """Return the motion space of a pool; the result is cached by the content of the pool."""
    return _cached(pool)


@lru_cache(maxsize=8)
def _cached(pool: DrivingPool) -> MotionSpace:
    tracks = pool.tracks
    values = [track.keypoints.value.detach().cpu().double().numpy() for track in tracks]
    space = build_space(values, [track.weight for track in tracks])
    if all(track.angles is None for track in tracks):
        return space
    unknown = np.full((1, 3), np.nan)
    angles = np.concatenate([np.repeat(unknown, len(t), 0) if t.angles is None else np.array(t.angles) for t in tracks])
    known = ~np.isnan(angles[:, 0])
    yaw, pitch = (np.where(known, angles[:, axis], own) for axis, own in enumerate((space.yaw, space.pitch)))
    return replace(space, yaw=yaw, pitch=pitch, angles=angles)


def build_space(values: Sequence[Array], weights: Sequence[float]) -> MotionSpace:
    """Build the space from the tracks' keypoints.

    Args:
        values: keypoints (T, K, 2) of each track, in [-1, 1].
        weights: relative frequency of the draws of each track.
    """
    shapes = [_normalised(value) for value in values]
    face = _neutral_face(shapes)
    motion = np.concatenate([_away_from_neutral(shape, face) for shape in shapes])  # (F, K, 2)
    turn, yaw, pitch = _turns(motion, face)
    motion = motion + (TURN_WEIGHT - 1) * turn
    flat = (len(motion), -1)
    return MotionSpace(
        track=np.concatenate([np.full(len(value), number) for number, value in enumerate(values)]),
        frame=np.concatenate([np.arange(len(value)) for value in values]),
        motion=motion.reshape(flat),
        mirrored=_mirror(motion, face).reshape(flat),
        yaw=yaw,
        pitch=pitch,
        size=np.sqrt(np.square(motion).mean((1, 2))),
        weight=np.asarray(weights, dtype=np.float64) / (np.sum(weights) or 1.0),
    )


def _normalised(value: Array) -> Array:
    """Centre every frame and divide by the track's typical size, so that an approach still counts as motion."""
    centred = value - value.mean(1, keepdims=True)
    size = max(float(np.median(_radius(centred))), 1e-6)
    shape: Array = centred / size
    return shape


def _radius(points: Array) -> Array:
    radius: Array = np.sqrt(np.square(points).sum(-1).mean(-1))
    return radius


def _neutral_face(shapes: Sequence[Array]) -> Array:
    """Return the median of the tracks' median shapes, (K, 2), centred and scaled to radius 1."""
    usual: Array = np.median([np.median(shape, axis=0) for shape in shapes], axis=0)
    centred = usual - usual.mean(0)
    face: Array = centred / _radius(centred).clip(1e-6)
    return face


def _away_from_neutral(shape: Array, face: Array) -> Array:
    neutral: Array = shape[np.square(shape - face).sum((1, 2)).argmin()]
    return shape - neutral


def _turns(motion: Array, face: Array) -> tuple[Array, Array, Array]:
    """Separate the part of each motion that is a turn of the head.

    A head that turns or nods a little moves each point in proportion to its depth: sideways by `yaw * z`, up by
    `pitch * z`, with one z for all frames. So z is the strongest common factor of the motion without roll and scale.
    Its sign is that of a face, whose middle is nearer than its edge; its length is assumed to be `DEPTH`. The estimates
    are good enough for orders and ranges. They are poor for tracks with hardly any turn of the head, and for models
    with keypoints on the background.

    Returns:
        The turn's share of the motion (F, K, 2), yaw (F,) and pitch (F,) in degrees.
    """
    rest = motion - _roll_and_scale(motion, face)
    across = np.concatenate([rest[..., 0], rest[..., 1]])  # (2 F, K)
    depth = np.linalg.eigh(across.T @ across)[1][:, -1]  # (K,), unit length
    middle = -np.square(face).sum(1)
    if np.dot(depth - depth.mean(), middle - middle.mean()) < 0:
        depth = -depth
    shift = rest.transpose(0, 2, 1) @ depth  # (F, 2)
    sine = shift / (DEPTH * np.sqrt(len(depth)))
    yaw, pitch = np.degrees(np.arcsin(sine.clip(-1, 1))).T
    return shift[:, None] * depth[:, None], -yaw, pitch


def _roll_and_scale(motion: Array, face: Array) -> Array:
    """Return the share of each motion that a rotation in the image plane and a zoom explain, to first order."""
    turned = np.stack([-face[:, 1], face[:, 0]], -1)  # (K, 2)
    length = np.square(face).sum().clip(1e-12)
    roll = (motion * turned).sum((1, 2)) / length
    zoom = (motion * face).sum((1, 2)) / length
    share: Array = roll[:, None, None] * turned + zoom[:, None, None] * face
    return share


def _mirror(motion: Array, face: Array) -> Array:
    """Mirror motions: x changes its sign, and each keypoint swaps with its counterpart across the face."""
    flipped = face * (-1, 1)
    partner = np.square(face[:, None] - flipped[None]).sum(-1).argmin(1)
    mirrored: Array = motion[:, partner] * (-1, 1)
    return mirrored
