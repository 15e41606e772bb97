"""Synthetic motion by parameters: driving keypoints for any pose and expression of the canonical face.

It is valid only for models whose keypoints are those of `fomaug.faces.canonical`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from fomaug.animator import Animator
from fomaug.driving.synthetic.expressions import expression_fields
from fomaug.driving.track import MotionTrack
from fomaug.errors import ArgumentError, PoolError, did_you_mean
from fomaug.faces import NECK, is_face_model, mean_mesh, mesh_keypoints, rotation
from fomaug.types import Keypoints

Range = tuple[float, float]

FPS: Final = 25.0

EXPRESSIONS: Final[Mapping[str, Mapping[str, float]]] = {
    "neutral": {},
    "smile": {"smile": 0.9, "brows": 0.1},
    "laugh": {"smile": 1.0, "jaw": 0.4, "blink right": 0.25, "blink left": 0.25},
    "talk": {"jaw": 0.35, "upper lip": 0.3},
    "surprise": {"brows": 1.1, "jaw": 0.5, "blink right": -0.15, "blink left": -0.15},
    "frown": {"frown": 1.2, "brows": -0.4, "smile": -0.3},
    "pout": {"pout": 1.0},
    "blink": {"blink right": 1.0, "blink left": 1.0},
    "wink": {"blink left": 1.0, "smile": 0.3},
    "brows up": {"brows": 1.2},
    "look left": {"look aside": 0.9},
    "look right": {"look aside": -0.9},
    "look up": {"look down": -0.8, "blink right": -0.1, "blink left": -0.1},
    "look down": {"look down": 0.8, "blink right": 0.35, "blink left": 0.35},
}
"""The strength of each expression field by expression; left and right of a gaze are the person's own."""

_SIDED: Final = ("look aside", "mouth aside")
_MIRRORS: Final = {"blink right": "blink left", "blink left": "blink right"}
_MIRRORED_NAMES: Final = {"look left": "look right", "look right": "look left"}


def mirrored_expression(name: str) -> str:
    """Return the name of an expression in a mirrored picture.

    >>> mirrored_expression("look left"), mirrored_expression("smile")
    ('look right', 'smile')
    """
    return _MIRRORED_NAMES.get(name, name)


def mirrored_fields(strengths: Mapping[str, float]) -> dict[str, float]:
    """Return the strengths of the fields of an expression in a mirrored picture.

    >>> mirrored_fields({"blink left": 1.0, "look aside": 0.5, "smile": 0.3})
    {'blink right': 1.0, 'look aside': -0.5, 'smile': 0.3}
    """
    return {_MIRRORS.get(name, name): -value if name in _SIDED else value for name, value in strengths.items()}


DEFAULT_EXPRESSIONS: Final = ("neutral", "smile", "talk", "surprise", "frown", "blink")


def check_face_model(model: Animator) -> None:
    """Raise `PoolError` unless the model's keypoints are known points of the face."""
    if not is_face_model(model):
        raise PoolError(
            f"motion without clips needs keypoints that are known points of the face; those of {model.name!r} have "
            "no names. Build a pool from clips with DrivingPool.from_clips(clips, model)"
        )


def face_track(name: str, label: str, keypoints: Keypoints) -> MotionTrack:
    """Make a track of the canonical face; its frame 0 must be frontal and neutral."""
    return MotionTrack(name, keypoints, FPS, label, driver="mean face")


def face_keypoints(
    *,
    yaw: Tensor | None = None,
    pitch: Tensor | None = None,
    roll: Tensor | None = None,
    strengths: Mapping[str, Tensor] | None = None,
    count: int = 1,
) -> Keypoints:
    """Pose the canonical face.

    Args:
        yaw: (T,) degrees; positive turns the face to the person's own right, the viewer's left.
        pitch: (T,) degrees; positive turns it down.
        roll: (T,) degrees; positive tilts it clockwise for the viewer.
        strengths: (T,) strength of each expression field, by its name in `expression_fields`.
        count: number T of frames if no angle or strength is given.

    Returns:
        Keypoints of T frames.
    """
    given = [x for x in (yaw, pitch, roll, *(strengths or {}).values()) if x is not None]
    frames = len(given[0]) if given else count
    angles = [torch.zeros(frames) if angle is None else torch.deg2rad(angle.float()) for angle in (yaw, pitch, roll)]
    fields = expression_fields()
    mesh = mean_mesh().expand(frames, -1, -1)
    for name, strength in (strengths or {}).items():
        mesh = mesh + strength.float()[:, None, None] * fields[name]
    neck = torch.tensor(NECK)
    return mesh_keypoints((mesh - neck) @ rotation(*angles).transpose(1, 2) + neck)


def parametric_tracks(
    *,
    yaw_range: Range = (-35.0, 35.0),
    pitch_range: Range = (-20.0, 20.0),
    roll_range: Range = (-15.0, 15.0),
    expressions: Sequence[str] = DEFAULT_EXPRESSIONS,
    count: int = 240,
    seed: int = 0,
) -> list[MotionTrack]:
    """Draw poses evenly from ranges, one track for each expression.

    Args:
        yaw_range: interval in degrees, as in `face_keypoints`.
        pitch_range: interval in degrees.
        roll_range: interval in degrees.
        expressions: names in `EXPRESSIONS`.
        count: number of poses, divided among the expressions.
        seed: seed of the poses.

    Returns:
        One track for each expression. Frame 0 is neutral; every other frame has its own pose, and 70 to 100 % of the
        expression.

    Raises:
        ArgumentError: an expression is unknown, or a range is reversed or exceeds a right angle.
    """
    _check_ranges(yaw_range=yaw_range, pitch_range=pitch_range, roll_range=roll_range)
    mixes = [expression_mix(name) for name in expressions]
    rng = np.random.default_rng(seed)
    share = max(1, -(-count // max(1, len(mixes))))
    tracks = []
    for name, mix in zip(expressions, mixes, strict=True):
        yaw, pitch, roll = (_spread(share, limits, rng) for limits in (yaw_range, pitch_range, roll_range))
        amount = _after_rest(torch.from_numpy(rng.uniform(0.7, 1.0, share).astype(np.float32)))
        strengths = {field: strength * amount for field, strength in mix.items()}
        keypoints = face_keypoints(yaw=yaw, pitch=pitch, roll=roll, strengths=strengths)
        tracks.append(face_track(f"parametric {name}", name, keypoints))
    return tracks


def _spread(count: int, limits: Range, rng: np.random.Generator) -> Tensor:
    """Draw one value from each of `count` equal parts of a range, in random order, after a 0."""
    low, high = limits
    shares = (rng.permutation(count) + rng.uniform(0, 1, count)) / count
    return _after_rest(torch.from_numpy((low + (high - low) * shares).astype(np.float32)))


def _after_rest(values: Tensor) -> Tensor:
    return torch.cat([torch.zeros(1), values])


def expression_mix(name: str) -> Mapping[str, float]:
    """Return the strength of each expression field.

    Raises:
        ArgumentError: the expression is unknown.
    """
    if name not in EXPRESSIONS:
        known = ", ".join(EXPRESSIONS)
        raise ArgumentError(f"expression must be one of {known}, got {name!r}{did_you_mean(name, EXPRESSIONS)}")
    return EXPRESSIONS[name]


def _check_ranges(**ranges: Range) -> None:
    for name, (low, high) in ranges.items():
        if not -90 < low <= high < 90:
            raise ArgumentError(f"{name} must be (low, high) in degrees between -90 and 90, got ({low}, {high})")
