"""Shared parts of the adapters: their `fomaug.MotionAugment`, and the names of pools and models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from fomaug.animator import Animator
from fomaug.augment import MotionAugment, MotionResult
from fomaug.driving import DrivingPool, load_pool
from fomaug.errors import ArgumentError
from fomaug.labels import Movement
from fomaug.motion import MotionParams
from fomaug.options import AUTO, DrawSettings, recommended_driving
from fomaug.weights import load_model

Driving = DrivingPool | str | Path
Model = Animator | str | Path

SETTINGS: Final = (
    "strength_range",
    "selection",
    "relative",
    "relative_jacobian",
    "adapt_scale",
    "reference",
    "region",
    "yaw_range",
    "pitch_range",
    "mirror_probability",
)
"""Settings of a draw that all adapters take as arguments."""
_MARK: Final = "sha256:"
_NUMBERS: Final = 2**62
_STRIDE: Final = 2850178134226440149  # 2**62 by the golden ratio: multiples of it are far from one another
# Models and pools given as objects are found by their hashes while they exist in this process.
_objects: WeakValueDictionary[str, DrivingPool | Animator] = WeakValueDictionary()


def own_engine(driving: Driving, model: Model, settings: Mapping[str, Any]) -> MotionAugment:
    """Build a `MotionAugment` whose model moves to the images; a model given by name starts on the CPU."""
    engine = MotionAugment(driving=driving, model=model, **settings)
    if not isinstance(model, Animator):
        engine.to("cpu")
        _ = engine.model  # moves the model now, because a forked worker cannot read it from a GPU
    return engine


def apply_there(engine: MotionAugment, images: Tensor, params: Sequence[MotionParams]) -> MotionResult:
    """Apply motion on the images' device; the model moves there if needed."""
    if engine.device != images.device and not all(param.skipped for param in params):
        engine.to(images.device)
    return engine.apply(images, params)


def movement_of(result: MotionResult) -> Movement:
    """Return the motion that moves the labels of a result's images."""
    height, width = result.image.shape[2:]
    return Movement(result.flow, result.occlusion, (height, width))


def random_numbers(count: int, device: torch.device | str = "cpu") -> Tensor:
    """Draw (count,) int64 from torch's generator; ranks that are seeded alike draw different numbers."""
    numbers = torch.randint(_NUMBERS, (count,), device=device)
    distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
    rank = torch.distributed.get_rank() if distributed else 0
    return (numbers + rank * _STRIDE % _NUMBERS) % _NUMBERS


def shared_engine(driving: Driving, model: Model, settings: Mapping[str, Any], device: str) -> MotionAugment:
    """Build a `MotionAugment` that shares named models and pools with all others of this process.

    Args:
        driving: pool, its name, path of a pool file, or a name from `name_of`.
        model: animator, name of a model, path of a model file, or a name from `name_of`.
        settings: other arguments of `fomaug.MotionAugment`.
        device: device of a named model. A given animator stays on its own device.
    """
    animator = model if isinstance(model, Animator) else _find_model(str(model), device)
    if driving == AUTO:
        driving = recommended_driving(DrawSettings(**settings))
    pool = driving if isinstance(driving, DrivingPool) else _find_pool(str(driving), animator)
    return MotionAugment(driving=pool, model=animator, **settings)


def name_of(resource: Driving | Model) -> str:
    """Name a pool or a model in plain text: as given, or by its hash if it was given as an object."""
    if isinstance(resource, (str, Path)):
        return str(resource)
    name = _MARK + resource.hash
    _objects[name] = resource
    return name


def _find_model(name: str, device: str) -> Animator:
    if name.startswith(_MARK):
        return _living(name, Animator)  # type: ignore[no-any-return]
    return _load_model(name, device, _stamp(name))


def _find_pool(name: str, animator: Animator) -> DrivingPool:
    if name.startswith(_MARK):
        return _living(name, DrivingPool)  # type: ignore[no-any-return]
    return _load_pool(name, animator, _stamp(name))


def _living(name: str, kind: type[Any]) -> Any:
    found = _objects.get(name)
    if not isinstance(found, kind):
        word = "model" if kind is Animator else "driving pool"
        raise ArgumentError(
            f"the {word} {name[: len(_MARK) + 12]} was given as an object and is not in this process; save it to a "
            "file and give the file's path instead"
        )
    return found


def _stamp(name: str) -> int:
    """Return the time of a file's last change, so that a changed file is loaded again."""
    path = Path(name)
    return path.stat().st_mtime_ns if path.is_file() else 0


@lru_cache(maxsize=4)
def _load_model(name: str, device: str, _stamp: int) -> Animator:
    return load_model(name, device=device)


@lru_cache(maxsize=4)
def _load_pool(name: str, animator: Animator, _stamp: int) -> DrivingPool:
    return load_pool(name, animator)
