"""Options that several rooms share, each choice written once, and the settings of a draw.

This module imports neither torch nor NumPy, so that the command line can show its help at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any, Final, Literal, get_args

from fomaug.errors import ArgumentError, check_choice, shortened

Selection = Literal["diverse", "uniform", "sequence"]
Region = Literal["all", "head", "mouth", "eyes", "expression"]
FrameChoice = Literal["closest", "first"] | int
OnMissing = Literal["skip", "copy", "error"]
OnError = Literal["skip", "raise"]
Crop = Literal["face", "frame"]
IncludeSources = Literal["copy", "link", "none"]
Interval = tuple[float, float]

COPIED: Final = ("relative", "relative_jacobian", "adapt_scale", "region")
"""Settings that every draw takes over unchanged."""


@dataclass(frozen=True)
class DrawSettings:
    """The settings that decide a draw; `MotionAugment` has arguments of the same names."""

    p: float = 0.5
    strength_range: Interval = (0.3, 1.0)
    selection: Selection = "diverse"
    relative: bool = True
    relative_jacobian: bool = True
    adapt_scale: bool = True
    reference: FrameChoice = "closest"
    region: Region = "all"
    seed: int = 0
    yaw_range: Interval | None = None
    pitch_range: Interval | None = None
    mirror_probability: float = 0.0

    def __post_init__(self) -> None:
        for name in ("p", "mirror_probability"):
            if not _is_finite(value := getattr(self, name)) or not 0 <= value <= 1:
                raise ArgumentError(f"{name} is a probability in [0, 1], got {shortened(value)}")
        for name in ("relative", "relative_jacobian", "adapt_scale"):
            check_flag(name, getattr(self, name))
        check_choice("selection", self.selection, get_args(Selection))
        check_choice("region", self.region, get_args(Region))
        check_interval("strength_range", self.strength_range)
        if self.strength_range[0] < 0:
            raise ArgumentError(f"strength_range starts at 0 or above, got {self.strength_range}")
        for name in ("yaw_range", "pitch_range"):
            if (interval := getattr(self, name)) is not None:
                check_interval(name, interval)
        if isinstance(self.reference, str):
            check_choice("reference", self.reference, ("closest", "first"))
        elif not _is_whole(self.reference) or self.reference < 0:
            given = shortened(self.reference)
            raise ArgumentError(f"reference is 'closest', 'first' or a frame number from 0, got {given}")
        if not _is_whole(self.seed):
            raise ArgumentError(f"seed is a whole number, got {shortened(self.seed)}")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings by name, as `MotionAugment` takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def check_interval(name: str, interval: Sequence[float]) -> None:
    """Raise `ArgumentError` unless the interval is a finite, ordered pair."""
    pair = tuple(interval) if isinstance(interval, Iterable) else (interval,)
    if len(pair) != 2 or not all(map(_is_finite, pair)) or not pair[0] <= pair[1]:
        raise ArgumentError(f"{name} is (low, high) with low <= high, got {shortened(pair)}")


def check_sizes(value_range: Interval, batch_size: int | None) -> None:
    """Raise `ArgumentError` for an empty range or pass."""
    check_interval("value_range", value_range)
    if value_range[0] == value_range[1]:
        raise ArgumentError(f"value_range must not be empty, got {tuple(value_range)}")
    if batch_size is not None and (not _is_whole(batch_size) or batch_size < 1):
        raise ArgumentError(f"batch_size is 1 or more, or None, got {shortened(batch_size)}")


def check_flag(name: str, value: object) -> None:
    """Raise `ArgumentError` for anything but True and False: the word "no" would count as True."""
    if not isinstance(value, bool):
        raise ArgumentError(f"{name} is True or False, got {shortened(value)}")


def _is_finite(value: object) -> bool:
    """Say whether a value, which may be anything that JSON holds, is a finite number."""
    try:
        return math.isfinite(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False


def _is_whole(value: object) -> bool:
    """Say whether a value is a whole number of Python or NumPy; True and False are none."""
    return isinstance(value, Integral) and not isinstance(value, bool)
