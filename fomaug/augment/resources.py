"""The model and the driving pool of a `MotionAugment`, which are given or loaded by name, and can be pickled."""

from __future__ import annotations

import copy
from collections.abc import Callable
from multiprocessing.context import get_spawning_popen
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from fomaug.animator import Animator
from fomaug.driving import DrivingPool, load_pool
from fomaug.errors import ArgumentError
from fomaug.weights import load_model

Driving = DrivingPool | str | Path
Model = Animator | str | Path


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
