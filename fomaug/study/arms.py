"""The arms of a study: no augmentation, classic augmentation, and classic augmentation with copies."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fomaug.animator import Animator
from fomaug.augment import MotionAugment
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, did_you_mean
from fomaug.files import SUMMARY, read_regular
from fomaug.strict_json import load_json
from fomaug.weights import load_model

NONE, CLASSIC, COPIES = "none", "classic", "copies"

Options = Mapping[str, Any] | str | Path | MotionAugment
"""Keyword arguments of `MotionAugment`, a JSON file with them, a pool specification, or the module itself."""

_MADE: Final[dict[str, Callable[..., DrivingPool]]] = {
    "builtin": DrivingPool.builtin,
    "gestures": DrivingPool.gestures,
    "parametric": DrivingPool.parametric,
}
_ANGLES: Final = {"yaw": "yaw_range", "pitch": "pitch_range", "roll": "roll_range"}


@dataclass(frozen=True, eq=False)
class Arm:
    """One way to train.

    Attributes:
        name: as the user calls it.
        augment: what makes the copies; None for arms without.
    """

    name: str
    augment: MotionAugment | None = None

    @property
    def classic(self) -> bool:
        """Whether classic augmentation is applied."""
        return self.name != NONE

    @property
    def title(self) -> str:
        """The name for tables."""
        return self.name if self.augment is None else f"classic + {self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Return what decides the copies as plain JSON, with the hashes of pool and model."""
        return {"name": self.name, "copies": None if self.augment is None else self.augment.to_dict()}


def make_arms(named: Mapping[str, Options], *, seed: int, device: str = "auto") -> list[Arm]:
    """Make the arms without copies, the arm of the built-in pool, and those that the user names.

    Args:
        named: options by name; "copies" replaces the arm of the built-in pool.
        seed: of draws whose options name none.
        device: of models that are loaded here.

    Raises:
        ArgumentError: unknown or unusable options.
        PoolError: a pool that is not there or does not fit the model.
    """
    for name in named:
        if name in (NONE, CLASSIC) or not re.fullmatch(r"[\w.+ -]+", name):
            raise ArgumentError(f"{name!r} cannot name an arm; take letters and digits, and neither none nor classic")
    wanted: dict[str, Options] = {COPIES: "builtin", **named}
    with_copies = [Arm(name, _augment(name, options, seed, device)) for name, options in wanted.items()]
    return [Arm(NONE), Arm(CLASSIC), *with_copies]


def read_pool(text: str, model: Animator) -> DrivingPool:
    """Make the pool that a text specifies: builtin, gestures, parametric with ranges in degrees, or a file.

    Args:
        text: such as "parametric yaw=-20:20 pitch=-12:12 expressions=neutral,smile".
        model: whose keypoints the pool holds.
    """
    kind, *words = text.split()
    if kind not in _MADE:
        if Path(text).is_file():
            return DrivingPool.load(text, model)
        known = ", ".join(_MADE)
        raise ArgumentError(f"pool {text!r} is neither {known} nor a pool file that is here{did_you_mean(kind, _MADE)}")
    if words and kind != "parametric":
        raise ArgumentError(f"pool {text!r}: only parametric takes ranges, {kind} has none")
    return _MADE[kind](model, **dict(_range(text, word) for word in words))


def _range(text: str, word: str) -> tuple[str, Any]:
    name, _, value = word.partition("=")
    try:
        if name in _ANGLES:
            low, high = value.split(":")
            return _ANGLES[name], (float(low), float(high))
        if name in ("count", "seed"):
            return name, int(value)
    except ValueError as cause:
        raise ArgumentError(f"pool {text!r}: {word!r} is not NAME=LOW:HIGH with two numbers") from cause
    if name == "expressions":
        return name, value.split(",")
    known = (*_ANGLES, "expressions", "count", "seed")
    raise ArgumentError(f"pool {text!r}: {name!r} must be one of {', '.join(known)}{did_you_mean(name, known)}")


def _augment(name: str, options: Options, seed: int, device: str) -> MotionAugment:
    """Build what makes the copies of an arm; unless its options say otherwise every copy moves."""
    if isinstance(options, MotionAugment):
        return options
    values = {"p": 1.0, "seed": seed, **_values(name, options)}
    model = values.pop("model", "lite-256")
    animator = model if isinstance(model, Animator) else load_model(str(model), device=device)
    driving = values.pop("driving", "builtin")
    pool = driving if isinstance(driving, DrivingPool) else read_pool(str(driving), animator)
    try:
        return MotionAugment.from_dict(values, driving=pool, model=animator)
    except (ArgumentError, TypeError) as cause:
        raise ArgumentError(f"arm {name!r}: {cause}") from cause


def _values(name: str, options: Mapping[str, Any] | str | Path) -> dict[str, Any]:
    if isinstance(options, Mapping):
        return dict(options)
    if Path(options).suffix.lower() != ".json":
        return {"driving": str(options)}
    try:
        content = read_regular(Path(options), SUMMARY)
    except OSError as cause:
        raise ArgumentError(f"arm {name!r}: {options} cannot be read: {cause.strerror or cause}") from cause
    values = load_json(content, options, ArgumentError)
    if not isinstance(values, dict):
        raise ArgumentError(f"arm {name!r}: {options} must hold one object with arguments of MotionAugment")
    return values
