"""Synthetic motion tracks of the canonical face: poses and expressions drawn from ranges, and named gestures.

They are valid only for models whose keypoints are those of `fomaug.faces.canonical`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from fomaug.animator import Animator
from fomaug.driving.synthetic.expressions import (
    DEFAULT_EXPRESSIONS,
    expression_fields,
    expression_mix,
    expression_names,
)
from fomaug.driving.track import MotionTrack
from fomaug.errors import ArgumentError, PoolError
from fomaug.faces import NECK, is_face_model, mean_mesh, mesh_keypoints, rotation
from fomaug.types import Keypoints

Range = tuple[float, float]

FPS: Final = 25.0


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
    expressions = expression_names(expressions)
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


def _check_ranges(**ranges: Range) -> None:
    for name, (low, high) in ranges.items():
        if not -90 < low <= high < 90:
            raise ArgumentError(f"{name} must be (low, high) in degrees between -90 and 90, got ({low}, {high})")


KeyFrames = Sequence[tuple[float, float]]
"""Pairs of a time, as a share in [0, 1] of the motion, and the value at this time."""

_BLINK: Final[KeyFrames] = ((0, 0), (0.44, 0), (0.48, 1), (0.52, 1), (0.58, 0), (1, 0))
_SYLLABLES: Final[KeyFrames] = (
    (0, 0), (0.06, 0.5), (0.12, 0.1), (0.18, 0.35), (0.24, 0.05), (0.3, 0.6), (0.37, 0.15), (0.43, 0.3), (0.5, 0),
    (0.56, 0.4), (0.62, 0.1), (0.7, 0.65), (0.77, 0.1), (0.83, 0.3), (0.9, 0.05), (1, 0),
)  # fmt: skip
_LIPS: Final[KeyFrames] = ((0, 0), (0.1, 0.5), (0.25, -0.4), (0.4, 0.4), (0.55, -0.5), (0.75, 0.5), (0.9, -0.2), (1, 0))


def _there_and_back(peak: float) -> KeyFrames:
    return ((0, 0), (0.35, peak), (0.65, peak), (1, 0))


def _to_and_fro(peak: float) -> KeyFrames:
    return ((0, 0), (0.17, peak), (0.42, -peak), (0.67, peak * 0.8), (0.85, -peak * 0.5), (1, 0))


_GESTURES: Final[Mapping[str, tuple[float, Mapping[str, KeyFrames]]]] = {
    "nod": (2.4, {"pitch": ((0, 0), (0.15, -4), (0.35, 13), (0.52, -3), (0.7, 10), (0.85, -2), (1, 0))}),
    "shake": (2.6, {"yaw": _to_and_fro(16)}),
    "tilt left": (2.4, {"roll": _there_and_back(14)}),
    "tilt right": (2.4, {"roll": _there_and_back(-14)}),
    "turn left": (3.0, {"yaw": _there_and_back(-30), "look aside": ((0, 0), (0.15, 0.6), (0.4, 0), (1, 0))}),
    "turn right": (3.0, {"yaw": _there_and_back(30), "look aside": ((0, 0), (0.15, -0.6), (0.4, 0), (1, 0))}),
    "look up": (2.4, {"pitch": _there_and_back(-17), "look down": _there_and_back(-0.4)}),
    "look down": (2.4, {"pitch": _there_and_back(17), "look down": _there_and_back(0.4)}),
    "look around": (
        4.0,
        {
            "yaw": ((0, 0), (0.2, -24), (0.4, -18), (0.65, 24), (0.8, 16), (1, 0)),
            "pitch": ((0, 0), (0.2, -6), (0.4, 7), (0.65, -5), (0.8, 8), (1, 0)),
            "look aside": ((0, 0), (0.12, 0.7), (0.4, 0.2), (0.55, -0.7), (0.8, -0.2), (1, 0)),
        },
    ),
    "gaze": (
        3.2,
        {
            "look aside": ((0, 0), (0.12, 0.9), (0.35, 0.9), (0.47, -0.9), (0.72, -0.9), (0.84, 0), (1, 0)),
            "yaw": ((0, 0), (0.2, -5), (0.4, -5), (0.6, 5), (0.8, 5), (1, 0)),
        },
    ),
    "blink": (2.0, {"blink right": _BLINK, "blink left": _BLINK}),
    "wink": (2.0, {"blink left": _BLINK, "smile": _there_and_back(0.35), "roll": _there_and_back(5)}),
    "smile": (3.0, {"smile": _there_and_back(1.0), "brows": _there_and_back(0.2)}),
    "laugh": (
        3.0,
        {
            "smile": _there_and_back(1.0),
            "jaw": ((0, 0), (0.3, 0.5), (0.4, 0.35), (0.5, 0.5), (0.65, 0.4), (1, 0)),
            "blink right": _there_and_back(0.35),
            "blink left": _there_and_back(0.35),
            "pitch": ((0, 0), (0.35, -7), (0.6, -3), (1, 0)),
        },
    ),
    "talk": (
        4.0,
        {"jaw": _SYLLABLES, "smile": _LIPS, "upper lip": _LIPS, "yaw": _to_and_fro(4), "pitch": _to_and_fro(-3)},
    ),
    "surprise": (
        2.6,
        {"brows": _there_and_back(1.3), "jaw": _there_and_back(0.55), "pitch": _there_and_back(-6)},
    ),
    "frown": (2.6, {"frown": _there_and_back(1.3), "brows": _there_and_back(-0.5), "smile": _there_and_back(-0.4)}),
    "pout": (2.4, {"pout": _there_and_back(1.1), "brows": _there_and_back(0.3)}),
    "brows up": (2.0, {"brows": _to_and_fro(0.9)}),
    "sway": (4.0, {"roll": _to_and_fro(9), "yaw": _to_and_fro(12), "pitch": _to_and_fro(5)}),
}


def gesture_tracks() -> list[MotionTrack]:
    """Make every named motion: 2 to 4 seconds at 25 frames a second, from the neutral face and back to it."""
    return [face_track(name, name, _play(seconds, channels)) for name, (seconds, channels) in _GESTURES.items()]


def _play(seconds: float, channels: Mapping[str, KeyFrames]) -> Keypoints:
    times = torch.linspace(0, 1, round(seconds * FPS))
    curves = {name: _curve(frames, times) for name, frames in channels.items()}
    angles = {name: curves.pop(name, None) for name in ("yaw", "pitch", "roll")}
    return face_keypoints(**angles, strengths=curves, count=len(times))


def _curve(frames: KeyFrames, times: Tensor) -> Tensor:
    """Interpolate between key frames, with a derivative of 0 in each of them."""
    at, values = np.array(frames, np.float64).T
    t = times.double().numpy()
    part = np.clip(np.searchsorted(at, t, side="right") - 1, 0, len(at) - 2)
    share = (t - at[part]) / (at[part + 1] - at[part])
    eased = share**2 * (3 - 2 * share)
    return torch.from_numpy((values[part] + (values[part + 1] - values[part]) * eased).astype(np.float32))
