"""A `MotionAugment` as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

import torch
from torch import Tensor, nn
from typing_extensions import Self

from fomaug.animator import Animator
from fomaug.augment.resources import Driving, Model, Resources
from fomaug.augment.schedule import plain_p
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, PoolError, did_you_mean, shortened
from fomaug.motion import DrawSettings
from fomaug.options import check_flag

SETTINGS: Final = tuple(field.name for field in fields(DrawSettings))
ARGUMENTS: Final = (*SETTINGS, "value_range", "batch_size", "differentiable", "on_missing")
_SOURCES: Final = ("driving", "model", "pool_hash", "model_hash")


def name_resources(resources: Resources) -> dict[str, str | None]:
    """Return the names of pool and model; a pool given as an object has the name None."""
    return {
        "driving": None if isinstance(resources.driving, DrivingPool) else str(resources.driving),
        "model": resources.given.name if isinstance(resources.given, Animator) else str(resources.given),
    }


def plain_arguments(module: Any) -> dict[str, Any]:
    """Return the arguments that are numbers and words, intervals and schedules as lists."""
    values = {name: plain_p(module.p) if name == "p" else getattr(module, name) for name in ARGUMENTS}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def read_arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """Check the names and convert lists to intervals; hashes are left out."""
    if not isinstance(values, Mapping):
        raise ArgumentError(f"the arguments of MotionAugment must be a mapping of their names, got {shortened(values)}")
    known = (*_SOURCES, *ARGUMENTS)
    for name in values:
        if name not in known:
            raise ArgumentError(f"unknown argument {name!r} of MotionAugment{did_you_mean(name, known)}")
    for name in _SOURCES:
        if not isinstance(values.get(name), str | None):
            raise ArgumentError(f"{name} of MotionAugment must be a text, got {shortened(values[name])}")
    check_flag("differentiable", values.get("differentiable", False))
    plain = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return {name: value for name, value in plain.items() if not name.endswith("_hash")}


def check_same(values: Mapping[str, Any], pool: DrivingPool) -> None:
    """Raise `PoolError` unless model and pool have the hashes of `to_dict`."""
    for kind, found in (("model", pool.model_hash), ("pool", pool.hash)):
        written = values.get(f"{kind}_hash")
        if written is not None and written != found:
            raise PoolError(
                f"this MotionAugment was built with the {kind} {written[:12]}, and this is {found[:12]}; pass the "
                f"right one: from_dict(values, {'model' if kind == 'model' else 'driving'}=...)"
            )


class PlainModule(nn.Module):
    """A module with plain arguments, a model, a pool and the number of the epoch."""

    _resources: Resources
    epoch: int
    count: int

    def to_dict(self) -> dict[str, Any]:
        """Return all arguments as plain JSON; a given model or pool by name and hash.

        Raises:
            ArgumentError: `p` is a function.
        """
        pool = self._resources.pool
        hashes = {"pool_hash": pool.hash, "model_hash": pool.model_hash}
        return {**name_resources(self._resources), **hashes, **plain_arguments(self)}

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], *, driving: Driving | None = None, model: Model | None = None
    ) -> Self:
        """Build the module from the result of `to_dict`; `driving` and `model` replace those given as objects."""
        arguments = read_arguments(values)
        arguments |= {name: value for name, value in (("driving", driving), ("model", model)) if value is not None}
        if arguments.get("driving", "builtin") is None:
            raise PoolError(
                "this MotionAugment was built with a given pool; pass the pool: from_dict(values, driving=pool)"
            )
        built = cls(**arguments)
        check_same(values, built._resources.pool)
        return built

    def get_extra_state(self) -> Tensor:
        """Return the epoch and the count of images for `state_dict`."""
        return torch.tensor([self.epoch, self.count])

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the epoch and the count of a saved module."""
        self.epoch, self.count = (int(number) for number in state)

    def extra_repr(self) -> str:
        """Describe the module by all its arguments."""
        values = {**name_resources(self._resources), **{name: getattr(self, name) for name in ARGUMENTS}}
        return ", ".join(f"{name}={value!r}" for name, value in values.items())
