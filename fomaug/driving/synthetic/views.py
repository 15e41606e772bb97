"""Views: head poses for all combinations of given angles, each with every expression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from typing import Final

import torch
from torch import Tensor

from fomaug.driving.synthetic.expressions import expression_fields
from fomaug.driving.synthetic.parametric import DEFAULT_EXPRESSIONS, FPS, expression_mix
from fomaug.driving.track import MotionTrack
from fomaug.errors import ArgumentError, shortened
from fomaug.faces import keypoint_frames, posed_face

YAWS: Final = (-60.0, -40.0, -20.0, 0.0, 20.0, 40.0, 60.0)
PITCHES: Final = (-25.0, 0.0, 25.0)
ROLLS: Final = (0.0,)
_WIDEST: Final[Mapping[str, float]] = {"yaw": 70.0, "pitch": 45.0, "roll": 60.0}
_MOST: Final = 10_000  # views of a pool; more would hardly differ


def view_tracks(
    *,
    yaw: Sequence[float] = YAWS,
    pitch: Sequence[float] = PITCHES,
    roll: Sequence[float] = ROLLS,
    expressions: Sequence[str] = DEFAULT_EXPRESSIONS,
) -> list[MotionTrack]:
    """Make one track for each expression, which has one frame for each combination of the angles.

    Args:
        yaw: angles in degrees; positive turns the face to the viewer's left.
        pitch: angles in degrees; positive turns it down.
        roll: angles in degrees; positive tilts it clockwise for the viewer.
        expressions: names in `EXPRESSIONS`.

    Raises:
        ArgumentError: an expression is unknown, or an angle is no number or out of range.
    """
    angles = [_checked(name, values) for name, values in (("yaw", yaw), ("pitch", pitch), ("roll", roll))]
    poses = tuple((y, p, r) for y, p, r in product(*angles))
    if not expressions or len(poses) > _MOST:
        raise ArgumentError(
            f"views need at least one expression and up to {_MOST} combinations of angles, got {len(expressions)} and "
            f"{len(poses)}"
        )
    tracks = []
    for name in dict.fromkeys(expressions):
        keypoints = posed_face(torch.tensor(poses), expression_offset(name))
        tracks.append(
            MotionTrack(f"view {name}", keypoints, FPS, name, driver="mean face", angles=poses, expression=name)
        )
    return tracks


@cache
def expression_offset(name: str) -> Tensor:
    """Return the change (K, 3, 3) of the mean face's keypoints by an expression at strength 1, see `keypoint_frames`.

    Raises:
        ArgumentError: the expression is unknown.
    """
    fields = expression_fields()
    moved = torch.zeros(478, 3)
    for field, strength in expression_mix(name).items():
        moved = moved + strength * fields[field]
    return keypoint_frames(moved)


def _checked(name: str, values: Sequence[float]) -> tuple[float, ...]:
    """Return the distinct angles as plain numbers."""
    widest = _WIDEST[name]
    try:
        angles = tuple(dict.fromkeys(float(value) + 0.0 for value in values))  # -0.0 is 0.0
    except (TypeError, ValueError) as cause:
        raise ArgumentError(f"{name} must be angles in degrees, got {shortened(values)}") from cause
    if not angles or not all(abs(angle) <= widest for angle in angles):
        raise ArgumentError(
            f"{name} must be angles from -{widest:g} to {widest:g} degrees, at least one, got {shortened(values)}"
        )
    return angles
