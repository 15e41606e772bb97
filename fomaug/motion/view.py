"""A view: the head pose that was drawn for a copy, and the one that its source can show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal

from fomaug.errors import ArgumentError, check_mapping, shortened

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
