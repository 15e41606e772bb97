"""A view: the pose that was drawn for a copy, the one that its source can show, and the motion that reaches it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal, NamedTuple

import torch
from torch import Tensor

from fomaug.errors import ArgumentError, check_mapping, shortened
from fomaug.faces import mean_face_angles, round_angles

Angles = tuple[float, float, float]

_WIDEST: Final = 180.0


@dataclass(frozen=True)
class View:
    """The view of one copy; angles are yaw, pitch and roll in degrees, as in `fomaug.faces.head_pose`.

    Attributes:
        asked: view that was drawn.
        expression: name of the expression, see `fomaug.driving.EXPRESSIONS`; `MotionParams.strength` is its strength.
        taken: view that the copy is turned to. It differs from `asked` if the source hides parts of it, see
            `replaced`. None until the draw is fitted to a source.
        pose: estimated head pose of the source; None until the draw is fitted.
        start: pose of the mean face that fits the source's keypoints, see `fomaug.faces.fit_mean_face`; None until the
            draw is fitted, and in rows that were fitted by versions which did not record it.
        end: pose of the mean face to which the keypoints are moved from there; None where `start` is.

    >>> View((40.0, 0.0, 5.0), taken=(-40.0, 0.0, -5.0)).replaced
    'mirrored'
    """

    asked: Angles
    expression: str = "neutral"
    taken: Angles | None = None
    pose: Angles | None = None
    start: Angles | None = None
    end: Angles | None = None

    @property
    def replaced(self) -> Literal["no", "mirrored", "nearest"]:
        """Whether the view was replaced: by its mirror image, or by the nearest one that the source can show."""
        if self.taken is None or self.taken == self.asked:
            return "no"
        yaw, pitch, roll = self.asked
        return "mirrored" if self.taken == (-yaw, pitch, -roll) else "nearest"

    @property
    def settled(self) -> bool:
        """Whether the view is fitted to a source."""
        return self.taken is not None

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a dict that `json.dumps` takes."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> View:
        """Read the result of `to_dict`; an unknown, missing or ill-typed field is an error."""
        known = {field.name for field in fields(cls)}
        check_mapping(
            values, known, "motion parameter 'view' must be a mapping of its fields", "unknown field {} of a view"
        )
        expression = values.get("expression", "neutral")
        if not isinstance(expression, str):
            raise ArgumentError(f"'expression' of a view must be a name, got {shortened(expression)}")
        if "asked" not in values or _half_given(values, "taken", "pose"):
            raise ArgumentError("a view needs 'asked', and either both of 'taken' and 'pose' or neither")
        if _half_given(values, "start", "end") or (values.get("start") and not values.get("pose")):
            raise ArgumentError("a view with 'start' or 'end' needs both of them, and 'taken' and 'pose'")
        asked = _read_angles("asked", values["asked"])
        later = {name: values.get(name) for name in ("taken", "pose", "start", "end")}
        return cls(asked, expression, **{n: None if v is None else _read_angles(n, v) for n, v in later.items()})


def mirrored_angles(angles: Sequence[float]) -> Angles:
    """Return yaw, pitch and roll of a mirrored picture.

    >>> mirrored_angles((40.0, 10.0, 5.0))
    (-40.0, 10.0, -5.0)
    """
    yaw, pitch, roll = angles
    return 0.0 - yaw, pitch, 0.0 - roll


def _half_given(values: Mapping[str, Any], first: str, second: str) -> bool:
    return (values.get(first) is None) != (values.get(second) is None)


def _read_angles(name: str, values: Any) -> Angles:
    numbers = isinstance(values, Sequence) and not isinstance(values, str) and len(values) == 3
    # To Python a bool is an int; NaN fails the comparison.
    if not numbers or not all(type(value) in (int, float) and abs(value) <= _WIDEST for value in values):
        raise ArgumentError(f"{name!r} of a view must be yaw, pitch and roll in degrees, got {shortened(values)}")
    yaw, pitch, roll = (float(value) for value in values)
    return yaw, pitch, roll


NODS: Final = (1.2, 1.05)
"""Degrees of the mean face for each degree of a nod, up and down; measured, see docs/evidence/motion.md."""
NOD_LIMITS: Final = (-38.0, 32.0)
"""Pitches of the mean face in degrees beyond which nods are not made larger."""
_FARTHER: Final = 170.0  # degrees of yaw of the source at which its turns would be twice as large
_STEEP: Final = 40.0  # degrees of a nod down at which turned heads would not turn farther
_DOWN: Final = 120.0  # degrees of a nod down at which heads would not turn
_ASIDE: Final = 90.0  # degrees of a turn at which heads would not nod down, or up only half as far
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
    pictures follow only a part of a nod, and heads that are turned already turn farther. If a head turns and nods at
    the same time, both are smaller, because the gates would reject many copies. If the view is the pose of the source,
    both poses are equal.
    """
    start = mean_face_angles(poses)
    level = mean_face_angles(torch.stack([views[:, 0], poses[:, 1], views[:, 2]], 1))
    turn, nod = level[:, 0] - start[:, 0], views[:, 1] - poses[:, 1]
    farther = start[:, 0].abs() / _FARTHER * (1 - nod / _STEEP).clamp(0.0, 1.0) - nod.clamp(min=0.0) / _DOWN
    yaw = level[:, 0] + turn * farther
    up, down = NODS
    aside = (turn.abs() / _ASIDE).clamp(max=1.0)
    pitch = level[:, 1] + up * nod.clamp(max=0.0) * (1 - aside / 2) + down * nod.clamp(min=0.0) * (1 - aside)
    low, high = (torch.full_like(nod, limit) for limit in NOD_LIMITS)
    usual = mean_face_angles(views)[:, 1]
    pitch = pitch.clamp(usual.minimum(low), usual.maximum(high))
    return Aim(round_angles(start), round_angles(torch.stack([yaw, pitch, level[:, 2]], 1)))


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
