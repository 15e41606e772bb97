"""Presets: ordinary options for a purpose, each with its evidence; options that the user gives take precedence.

This module imports neither torch nor NumPy, so that the command line can show its help at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final, Literal, TypeVar, cast, get_args

from typing_extensions import ParamSpec

from fomaug.errors import ArgumentError, check_choice

Purpose = Literal["recognition", "landmarks", "expression", "detection", "forgery", "auto"]

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Preset:
    """Options for a purpose.

    Attributes:
        options: options of `fomaug.expand` and, where it has them, of `MotionAugment`.
        evidence: reason for the options, in one sentence; docs/evidence/downstream.md has the figures.
    """

    options: Mapping[str, Any]
    evidence: str


_WIDE: Final = {"driving": "views", "views": "yaw=-40:40:20 pitch=-20,0,20"}

PRESETS: Final[Mapping[Purpose, Preset]] = {
    "recognition": Preset(
        _WIDE,
        "One training picture a person, heads turned by up to 45 degrees: +5.4 points over classic augmentation "
        "where chosen, +2.6 on other people, and 3 more than the built-in pool; on ORL, with little pose, none.",
    ),
    "landmarks": Preset(
        {"driving": "builtin"},
        "100 training pictures: the built-in pool made no difference, and wide views made the error larger.",
    ),
    "expression": Preset(
        {"driving": "views", "views": "yaw=-40:40:20 pitch=-20,0,20 expressions=neutral", "labels": "keep"},
        "Only the pose changes, so that the label stays true; the study of expressions was too small for an answer.",
    ),
    "detection": Preset(
        {**_WIDE, "faces": "boxes"}, "The views of recognition, in each annotated face; not measured for detectors."
    ),
    "forgery": Preset(
        {"driving": "builtin", "labels": {"*": "fake"}},
        "Every copy is a fake of one kind; not measured for detectors of fakes.",
    ),
    "auto": Preset(
        {"driving": "views"}, "Turned heads: +2.8 points, as much as fixed views to 40 degrees; no difference on ORL."
    ),
}


def preset_options(purpose: Purpose, given: Collection[str], known: Collection[str]) -> dict[str, Any]:
    """Return the options of a purpose that a call takes and the user has not given.

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


def with_presets(*further: str, sees_pictures: bool = False) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a function that has an argument `purpose`: options of its preset stand in for those that are not given.

    Args:
        further: names of options that the function takes as `**options`.
        sees_pictures: whether the function has a dataset, which "auto" needs.
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
            if purpose == "auto" and not sees_pictures and not given & {"driving", "views"}:
                raise ArgumentError(
                    "purpose 'auto' needs the pictures of a dataset, as fomaug.expand has them; "
                    "give driving=fomaug.driving.views_like(poses) here"
                )
            kwargs.update(preset_options(cast(Purpose, purpose), given, known))
            return function(*args, **kwargs)

        return filled

    return decorate
