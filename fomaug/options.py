"""Options that several packages share, the settings of a draw, and presets for a purpose.

A preset has ordinary options, each with its evidence; options that the user gives take precedence. This module
imports neither torch nor NumPy, so that the command line can show its help at once.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import wraps
from numbers import Integral
from typing import Any, Final, Literal, TypeVar, cast, get_args

from typing_extensions import ParamSpec

from fomaug.errors import ArgumentError, check_choice, shortened

Selection = Literal["diverse", "uniform", "sequence"]
Region = Literal["all", "head", "mouth", "eyes", "expression"]
FrameChoice = Literal["closest", "first"] | int
OnMissing = Literal["skip", "copy", "error"]
OnError = Literal["skip", "raise"]
Crop = Literal["face", "frame"]
IncludeSources = Literal["copy", "link", "none"]
Interval = tuple[float, float]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

COPIED: Final = ("relative", "relative_jacobian", "adapt_scale", "region")
"""Settings that are copied to every draw unchanged."""
Purpose = Literal["recognition", "landmarks", "expression", "detection", "forgery", "auto"]
AUTO: Final = "auto"
"""Driving that the library chooses, see `recommended_driving`."""
_VIEWS: Final = "yaw=-40:40:20 pitch=-20,0,20"
_WIDE: Final = {"driving": "views", "views": _VIEWS}
_OF_CLIPS: Final = (
    *("strength_range", "relative", "relative_jacobian", "adapt_scale", "reference", "region"),
    *("yaw_range", "pitch_range"),
)
"""Settings of the motion of clips, which views do not follow, or not fully."""


def option(default: T, description: str, **more: Any) -> T:
    """Make a field of a dataclass whose fields are options, with the text of its help.

    Args:
        default: value of the field.
        description: help of the option.
        more: further metadata, see `fomaug.cli.options.options_of`.
    """
    return field(default=default, metadata={"help": description, **more})


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
        for setting in fields(self):
            object.__setattr__(self, setting.name, plain(getattr(self, setting.name)))
        for name in ("p", "mirror_probability"):
            if not _is_finite(value := getattr(self, name)) or not 0 <= value <= 1:
                raise ArgumentError(f"{name} must be a probability in [0, 1], got {shortened(value)}")
        for name in ("relative", "relative_jacobian", "adapt_scale"):
            check_flag(name, getattr(self, name))
        check_choice("selection", self.selection, get_args(Selection))
        check_choice("region", self.region, get_args(Region))
        check_interval("strength_range", self.strength_range)
        if self.strength_range[0] < 0:
            raise ArgumentError(f"strength_range must start at 0 or above, got {self.strength_range}")
        for name in ("yaw_range", "pitch_range"):
            if (interval := getattr(self, name)) is not None:
                check_interval(name, interval)
        _check_reference(self.reference)
        whole("seed", self.seed)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings by name, as `MotionAugment` takes them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def recommended_driving(settings: DrawSettings) -> str:
    """Return the driving pool that "auto" names where no pictures of a dataset are known.

    These are the views of the purpose "recognition". If a setting of the motion of clips differs from its default, the
    pool is the built-in one, because views are never scaled, have no sequence, and turn the whole head.

    >>> recommended_driving(DrawSettings(seed=3)), recommended_driving(DrawSettings(region="mouth"))
    ('views yaw=-40:40:20 pitch=-20,0,20', 'builtin')
    """
    usual = DrawSettings()
    is_usual = all(_pair(getattr(settings, name)) == getattr(usual, name) for name in _OF_CLIPS)
    return f"views {_VIEWS}" if is_usual and settings.selection != "sequence" else "builtin"


def _pair(value: object) -> object:
    """Return a list of JSON, which may stand for an interval, as a tuple."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else value


def _check_reference(reference: object) -> None:
    if isinstance(reference, str):
        check_choice("reference", reference, ("closest", "first"))
    elif not _is_whole(reference) or cast(int, reference) < 0:
        given = shortened(reference)
        raise ArgumentError(f"reference must be 'closest', 'first' or a frame number from 0, got {given}")


def plain(value: Any, depth: int = 2) -> Any:
    """Convert the numbers and arrays of NumPy and torch to those of Python.

    Args:
        value: an argument; all other objects are returned as they are.
        depth: number of levels of lists and tuples whose entries are converted, too.

    >>> from array import array
    >>> plain([(0, 0.5), array("d", [0.3, 1.0])])
    [(0, 0.5), [0.3, 1.0]]
    """
    if hasattr(value, "tolist"):
        return value.tolist()
    if depth and type(value) in (list, tuple):
        return type(value)(plain(entry, depth - 1) for entry in value)
    return value


def whole(name: str, value: Any, least: int | None = None) -> int:
    """Return a whole number of Python, NumPy or torch as one of Python, or raise `ArgumentError`.

    Args:
        name: name of the argument.
        value: value of the argument.
        least: smallest allowed number; None if all are allowed.

    >>> whole("copies", 8, least=1)
    8
    """
    number = plain(value)
    if not _is_whole(number) or (least is not None and number < least):
        wanted = f"{least} or more" if _is_whole(number) else "a whole number"
        raise ArgumentError(f"{name} must be {wanted}, got {shortened(value)}")
    return int(number)


def check_interval(name: str, interval: Sequence[float]) -> None:
    """Raise `ArgumentError` unless the interval is a finite, ordered pair."""
    pair = tuple(interval) if isinstance(interval, Iterable) else (interval,)
    if len(pair) != 2 or not all(map(_is_finite, pair)) or not pair[0] <= pair[1]:
        raise ArgumentError(f"{name} must be (low, high) with low <= high, got {shortened(pair)}")


def check_sizes(value_range: Interval, batch_size: int | None) -> None:
    """Raise `ArgumentError` for an empty range or pass."""
    check_interval("value_range", value_range)
    if value_range[0] == value_range[1]:
        raise ArgumentError(f"value_range must not be empty, got {tuple(value_range)}")
    if batch_size is not None and (not _is_whole(batch_size) or batch_size < 1):
        raise ArgumentError(f"batch_size must be 1 or more, or None, got {shortened(batch_size)}")


def check_flag(name: str, value: object) -> None:
    """Raise `ArgumentError` for anything but True and False: the word "no" would count as True."""
    if not isinstance(value, bool):
        raise ArgumentError(f"{name} must be True or False, got {shortened(value)}")


def check_text(name: str, value: object, remedy: str) -> None:
    """Raise `ArgumentError` for an empty text, and for anything but a text."""
    if not isinstance(value, str):
        raise ArgumentError(f"{name} must be a text, got {shortened(value)}; {remedy}")
    if not value:
        raise ArgumentError(f"{name} is an empty text; {remedy}")


def _is_finite(value: object) -> bool:
    """Return whether a value from JSON is a finite number."""
    try:
        return math.isfinite(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False


def _is_whole(value: object) -> bool:
    """Return whether a value is a whole number of Python or NumPy; True and False do not count."""
    return isinstance(value, Integral) and not isinstance(value, bool)


@dataclass(frozen=True)
class Preset:
    """Options for a purpose.

    Attributes:
        options: options of `fomaug.expand` and, where it has them, of `MotionAugment`.
        evidence: reason for the options, in one sentence; docs/evidence/downstream.md has the figures.
    """

    options: Mapping[str, Any]
    evidence: str


PRESETS: Final[Mapping[Purpose, Preset]] = {
    "recognition": Preset(
        _WIDE,
        "One training picture a person, heads turned by up to 45 degrees: +5.4 points over classic augmentation "
        "where chosen, +3.3 on other people, and 3 more than the built-in pool.",
    ),
    "landmarks": Preset(
        {"driving": "builtin"},
        "100 training pictures in the poses of the tests: the built-in pool made no difference, and wide views made "
        "the error larger. 100 near-frontal ones, tests turned by up to 60 degrees: views lowered it by 24.7 %.",
    ),
    "expression": Preset(
        {"driving": "views", "views": f"{_VIEWS} expressions=neutral", "labels": "keep"},
        "Only the pose changes, so that the label stays true; no gain was found: -5.3 points [-13.2, +2.5].",
    ),
    "detection": Preset(
        {**_WIDE, "faces": "boxes"}, "The views of recognition, in each annotated face; not measured for detectors."
    ),
    "forgery": Preset(
        {"driving": "builtin", "labels": {"*": "fake"}},
        "Every copy is a fake of one kind; not measured for detectors of fakes.",
    ),
    "auto": Preset(
        {"driving": AUTO},
        "Heads turned by up to 45 degrees: +3.4 points [+1.8, +5.0], where the built-in pool has +1.8; by up to 60: "
        "+4.0 [+2.7, +5.3]; ORL, with little pose: +0.7 [-0.8, +2.2].",
    ),
}


def preset_options(purpose: Purpose, given: Collection[str], known: Collection[str]) -> dict[str, Any]:
    """Return the options of a purpose that a call accepts and the user has not given.

    Args:
        purpose: name of the preset.
        given: names of the options that the user gives; they take precedence.
        known: names of all options of the call. Without `views` among them, the angles are part of `driving`.

    >>> preset_options("recognition", given=["copies"], known=["driving", "copies"])
    {'driving': 'views yaw=-40:40:20 pitch=-20,0,20'}
    """
    check_choice("purpose", purpose, get_args(Purpose))
    options = dict(PRESETS[purpose].options)
    if "driving" in given:
        options.pop("views", None)
    elif "views" in given:
        options["driving"] = "views"
    elif "views" not in known and "views" in options:
        options["driving"] = f"{options['driving']} {options.pop('views')}"
    return {name: value for name, value in options.items() if name in known and name not in given}


def with_presets(*further: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function with an argument `purpose`: options that are not given have the values of the preset.

    Args:
        further: names of options that the function takes as `**options`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        known = {*signature.parameters, *further}

        @wraps(function)
        def filled(*args: P.args, **kwargs: P.kwargs) -> R:
            purpose = kwargs.get("purpose")
            if purpose is None:
                return function(*args, **kwargs)
            given: set[str] = {*signature.bind_partial(*args, **kwargs).arguments, *map(str, kwargs)}
            kwargs.update(preset_options(cast(Purpose, purpose), given, known))
            return function(*args, **kwargs)

        return filled

    return decorate
