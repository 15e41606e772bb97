"""The arms of a study: no augmentation, classic augmentation, and classic augmentation with copies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fomaug.animator import Animator
from fomaug.augment import MotionAugment
from fomaug.driving import DrivingPool, load_pool
from fomaug.errors import ArgumentError
from fomaug.files import SUMMARY, read_regular
from fomaug.presets import preset_options
from fomaug.strict_json import load_json
from fomaug.study.mixture import NAMES, PLAIN, Mixture, read_mixture
from fomaug.weights import load_model

NONE, CLASSIC, COPIES = "none", "classic", "copies"

Options = Mapping[str, Any] | str | Path | MotionAugment
"""Keyword arguments of `MotionAugment` and `Mixture`, a JSON file with them, a pool specification, or a
`MotionAugment`."""


@dataclass(frozen=True, eq=False)
class Arm:
    """One way to train.

    Attributes:
        name: name given by the user.
        augment: transform that makes the copies; None for arms without copies.
        mixture: settings of the copies in training that differ from those of the study.
    """

    name: str
    augment: MotionAugment | None = None
    mixture: Mixture = PLAIN

    @property
    def classic(self) -> bool:
        """Whether classic augmentation is applied."""
        return self.name != NONE

    @property
    def title(self) -> str:
        """Name of the arm in tables."""
        return self.name if self.augment is None else f"classic + {self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Return the settings of the copies as plain JSON, with the hashes of the pool and the model."""
        copies = None if self.augment is None else {**self.augment.to_dict(), **self.mixture.to_dict()}
        return {"name": self.name, "copies": copies}


def make_arms(named: Mapping[str, Options], *, seed: int, device: str = "auto") -> list[Arm]:
    """Make the two arms without copies, the arm of the built-in pool, and the arms that the user names.

    Args:
        named: options of each further arm by its name; "copies" replaces the arm of the built-in pool.
        seed: seed of draws whose options give none.
        device: device of the models that are loaded.

    Raises:
        ArgumentError: an option is unknown or cannot be used.
        PoolError: a pool cannot be read or does not fit the model.
    """
    for name in named:
        if name in (NONE, CLASSIC) or not re.fullmatch(r"[\w.+ -]+", name):
            raise ArgumentError(f"{name!r} cannot name an arm; take letters and digits, and neither none nor classic")
    wanted: dict[str, Options] = {COPIES: "builtin", **named}
    with_copies = [_arm(name, options, seed, device) for name, options in wanted.items()]
    return [Arm(NONE), Arm(CLASSIC), *with_copies]


def _arm(name: str, options: Options, seed: int, device: str) -> Arm:
    """Build an arm with copies; by default every copy moves."""
    if isinstance(options, MotionAugment):
        return Arm(name, options)
    values = _values(name, options)
    try:
        mixture = read_mixture({key: values.pop(key) for key in NAMES if key in values})
    except ArgumentError as cause:
        raise ArgumentError(f"arm {name!r}: {cause}") from cause
    return Arm(name, _augment(name, {"p": 1.0, "seed": seed, **values}, device), mixture)


def _augment(name: str, values: dict[str, Any], device: str) -> MotionAugment:
    model = values.pop("model", "lite-256")
    animator = model if isinstance(model, Animator) else load_model(str(model), device=device)
    purpose = values.pop("purpose", None)
    if purpose == "auto":
        raise ArgumentError(f"arm {name!r}: purpose 'auto' is for fomaug expand; give the views as driving instead")
    if purpose is not None:
        values = {**preset_options(purpose, values, ("driving", "strength_range", "region")), **values}
    driving = values.pop("driving", "builtin")
    pool = driving if isinstance(driving, DrivingPool) else load_pool(str(driving), animator)
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
