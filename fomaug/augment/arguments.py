"""The arguments of a `MotionAugment`: model and pool, the schedule of `p`, and all of them as plain JSON."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from multiprocessing.context import get_spawning_popen
from pathlib import Path
from typing import Any, Final, cast

import torch
from torch import Tensor, nn
from torch.utils.data import get_worker_info
from typing_extensions import Self

from fomaug.animator import Animator
from fomaug.driving import DrivingPool, load_pool
from fomaug.errors import ArgumentError, PoolError, check_mapping, shortened
from fomaug.motion import DrawSettings, MotionParams
from fomaug.options import check_flag, plain
from fomaug.weights import load_model

Driving = DrivingPool | str | Path
Model = Animator | str | Path
Probability = float | Sequence[tuple[int, float]] | Callable[[int], float]
"""A probability, pairs (epoch, probability), or a function from the epoch to the probability."""
_SOURCES: Final = ("driving", "model", "pool_hash", "model_hash")


class Resources:
    """An animator and a pool that fit each other.

    A model or pool given by name is pickled as its name and loaded again on first use. A given animator is pickled as a
    copy on the CPU and moves to its device on first use. So an unused copy in a worker process takes no memory, and
    never uses a GPU.

    Args:
        driving: driving pool, its name, or the path of a pool file; see `fomaug.driving.load_pool`.
        model: an animator, a model's name, or the path of a model file.
    """

    def __init__(self, driving: Driving, model: Model) -> None:
        self.driving = driving
        self.given = model
        animator = model if isinstance(model, Animator) else load_model(str(model))
        self._target = (animator.device, animator.dtype)
        self._animator: Animator | None = animator
        self._pool: DrivingPool | None = _load_pool(driving, animator)
        self._sent: tuple[object, object] | None = None

    @property
    def animator(self) -> Animator:
        """The model, on its device."""
        self._refuse_cuda_in_worker()
        if self._animator is None:
            self._animator = load_model(str(self.given), device=self._target[0], dtype=self._target[1])
        device, dtype = self._target
        if (self._animator.device, self._animator.dtype) != self._target:
            self._animator.to(device=device, dtype=dtype)
        return self._animator

    @property
    def pool(self) -> DrivingPool:
        """The driving pool."""
        if self._pool is None:
            self._pool = _load_pool(self.driving, self.animator)
        return self._pool

    @property
    def device(self) -> torch.device:
        """Device of the model, which moves there on first use."""
        return self._target[0]

    def move(self, fn: Callable[[Tensor], Tensor]) -> None:
        """Move or cast the model as `torch.nn.Module.to` would."""
        device, dtype = self._target
        probe = fn(torch.empty(0, device=device, dtype=dtype))
        self._target = (probe.device, probe.dtype)

    def _refuse_cuda_in_worker(self) -> None:
        if self._target[0].type == "cuda" and get_worker_info() is not None:
            raise ArgumentError(
                "MotionAugment runs on CUDA, which does not work in a worker process of a DataLoader; wrap the loader "
                "in fomaug.data.MotionLoader, which animates whole batches on the GPU, or move the module to the CPU"
            )

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        if not isinstance(self.given, Animator):
            state["_animator"] = None
        elif self.device.type != "cpu":
            state["given"] = state["_animator"] = copy.deepcopy(self.given).cpu()
        if isinstance(self.driving, DrivingPool):
            state["driving"] = state["_pool"] = self.driving.to("cpu")
        else:
            state["_pool"] = None
        # A spawned process inherits the file descriptors of this memory after pickling has returned, so it is kept.
        self._sent = (state["given"], state["driving"]) if get_spawning_popen() is not None else None
        state["_sent"] = None
        return state


def _load_pool(driving: Driving, animator: Animator) -> DrivingPool:
    pool = driving if isinstance(driving, DrivingPool) else load_pool(driving, animator)
    pool.check_model(animator)
    return pool


def p_at(p: Probability, epoch: int) -> float:
    """Return the probability in a pass over the data.

    Raises:
        ArgumentError: a schedule has no pairs, begins later than with epoch 0, or is not ordered.

    >>> [p_at([(0, 0.2), (3, 0.5)], epoch) for epoch in (0, 2, 3, 9)]
    [0.2, 0.2, 0.5, 0.5]
    >>> p_at(lambda epoch: min(0.5, 0.1 * epoch), 2)
    0.2
    """
    p = plain(p)
    if callable(p):
        return p(epoch)
    if not _is_schedule(p):
        return cast(float, p)  # `DrawSettings` checks it.
    return [value for first, value in _pairs(p) if first <= epoch][-1]


def plain_p(p: Probability) -> Any:
    """Return a probability or the pairs of a schedule as plain JSON.

    Raises:
        ArgumentError: the schedule is a function.
    """
    if callable(p):
        raise ArgumentError("a function as p cannot be written as JSON; give pairs (epoch, p) instead")
    p = plain(p)
    return [list(pair) for pair in _pairs(p)] if _is_schedule(p) else p


def _is_schedule(p: object) -> bool:
    return isinstance(p, Sequence) and not isinstance(p, str | bytes)


def _pairs(p: Any) -> list[tuple[int, float]]:
    pairs = [tuple(pair) if isinstance(pair, Sequence) else () for pair in p]
    numbers = [n for pair in pairs for n in pair if isinstance(n, int | float) and not isinstance(n, bool)]
    firsts = [pair[0] for pair in pairs if len(pair) == 2]
    if len(numbers) != 2 * len(pairs) or firsts[:1] != [0] or sorted(set(firsts)) != firsts:
        raise ArgumentError(
            f"p as a schedule must be pairs (epoch, p) with growing epochs from 0, such as [(0, 0.2), (10, 0.5)], "
            f"got {shortened(p)}"
        )
    if any(not 0 <= value <= 1 for _, value in pairs):
        raise ArgumentError(f"p must be a probability in [0, 1], got {shortened(p)}")
    return [(int(first), float(value)) for first, value in pairs]


def check_params(params: object) -> None:
    """Raise `ArgumentError` unless a value is a sequence of motion parameters."""
    if not isinstance(params, Sequence) or not all(isinstance(param, MotionParams) for param in params):
        raise ArgumentError(
            f"params must be a list of MotionParams, got {shortened(params)}; MotionParams.from_dict reads a stored row"
        )


SETTINGS: Final = tuple(field.name for field in fields(DrawSettings))
ARGUMENTS: Final = (*SETTINGS, "value_range", "batch_size", "differentiable", "on_missing")


def name_resources(resources: Resources) -> dict[str, str | None]:
    """Return the names of pool and model; a pool given as an object has the name None."""
    return {
        "driving": None if isinstance(resources.driving, DrivingPool) else str(resources.driving),
        "model": resources.given.name if isinstance(resources.given, Animator) else str(resources.given),
    }


def plain_arguments(module: Any) -> dict[str, Any]:
    """Return the arguments that are numbers and words, intervals and schedules as lists."""
    values = {name: plain_p(module.p) if name == "p" else plain(getattr(module, name)) for name in ARGUMENTS}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def read_arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """Check the names and convert lists to intervals; hashes are left out."""
    whole, entry = (
        "the arguments of MotionAugment must be a mapping of their names",
        "unknown argument {} of MotionAugment",
    )
    check_mapping(values, (*_SOURCES, *ARGUMENTS), whole, entry)
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
