"""The model and the driving pool of a `MotionAugment`: loaded by name or given, and safe to pickle."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import fields
from multiprocessing.context import get_spawning_popen
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from fomaug.animator import Animator
from fomaug.driving import DrivingPool, load_pool
from fomaug.errors import ArgumentError, PoolError, did_you_mean, shortened
from fomaug.motion import DrawSettings
from fomaug.options import check_flag
from fomaug.weights import load_model

Driving = DrivingPool | str | Path
Model = Animator | str | Path


class Resources:
    """An animator and a pool that fit each other.

    A model or pool that was given by name is pickled as its name and loaded again on first use. A given animator is
    pickled as a copy on the CPU and moves to its device on first use. So a copy in a worker process costs nothing until
    it is used, and never touches a GPU.

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


SETTINGS: Final = tuple(field.name for field in fields(DrawSettings))
ARGUMENTS: Final = (*SETTINGS, "value_range", "batch_size", "differentiable", "on_missing")
_SOURCES: Final = ("driving", "model", "pool_hash", "model_hash")


def name_resources(resources: Resources) -> dict[str, str | None]:
    """Return the names of pool and model; a pool that was given as an object has the name None."""
    return {
        "driving": None if isinstance(resources.driving, DrivingPool) else str(resources.driving),
        "model": resources.given.name if isinstance(resources.given, Animator) else str(resources.given),
    }


def plain_arguments(module: object) -> dict[str, Any]:
    """Return the arguments that are numbers and words, intervals as lists."""
    values = {name: getattr(module, name) for name in ARGUMENTS}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def read_arguments(values: Mapping[str, Any]) -> dict[str, Any]:
    """Check the names and turn lists back to intervals; hashes are left out."""
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
