"""Get and set values by their paths in a nested batch or item, without changing the original."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fomaug.errors import ArgumentError, did_you_mean

Step = str | int
Path = Step | tuple[Step, ...]
"""Path of a value in a batch: a key, an attribute, an index, or several of them in a row; () is the whole batch."""


def image_path(batch: object) -> Path:
    """Guess the path of the image: the whole batch, the first value of a tuple or list, or the value named "image"."""
    if not isinstance(batch, Mapping | Sequence) and not dataclasses.is_dataclass(batch):
        return ()
    named = isinstance(batch, Mapping) or dataclasses.is_dataclass(batch) or "image" in getattr(batch, "_fields", ())
    return "image" if named else 0


def get_at(batch: Any, path: Path) -> Any:
    """Return the value at a path.

    >>> get_at({"face": [1, 2]}, ("face", 1))
    2
    """
    for step in _steps(path):
        batch = _get(batch, step)
    return batch


def set_at(batch: Any, path: Path, value: Any) -> Any:
    """Return the batch with another value at a path; every container keeps its type.

    >>> set_at(({"face": 1}, 2), (0, "face"), 5)
    ({'face': 5}, 2)
    """
    first, *rest = _steps(path) or (None,)
    if first is None:
        return value
    return _replaced(batch, first, set_at(_get(batch, first), tuple(rest), value))


def add_at(batch: Any, name: str, value: Any) -> Any:
    """Return the batch with a further value: dicts get it by its name, tuples and lists as their last value.

    >>> add_at({"image": 1}, "is_synthetic", True), add_at((1, 2), "is_synthetic", True)
    ({'image': 1, 'is_synthetic': True}, (1, 2, True))
    """
    if isinstance(batch, dict):
        if name in batch:
            raise ArgumentError(f"{name!r} cannot be added to a batch that has it already; rename that value")
        return {**batch, name: value}
    if isinstance(batch, list) or type(batch) is tuple:
        return type(batch)((*batch, value))
    raise ArgumentError(f"{name} can be added to dicts, tuples and lists, but a batch is {type(batch).__name__}")


def tensors_in(batch: object) -> Iterator[Tensor]:
    """Yield all tensors of a batch.

    >>> [tensor.item() for tensor in tensors_in(({"a": torch.tensor(1)}, [torch.tensor(2), "b"]))]
    [1, 2]
    """
    if isinstance(batch, Tensor):
        yield batch
    for part in _parts(batch):
        yield from tensors_in(part)


def to_device(batch: Any, device: torch.device) -> Any:
    """Move every tensor of a batch to a device; all other values stay."""
    if isinstance(batch, Tensor):
        # To the CPU, a copy that does not block would return memory that is still being written.
        return batch.to(device, non_blocking=device.type == "cuda")
    if isinstance(batch, Mapping | list | tuple) or dataclasses.is_dataclass(batch):
        for name in _names(batch):
            old = _get(batch, name)
            new = to_device(old, device)
            batch = batch if new is old else set_at(batch, (name,), new)
    return batch


def _parts(batch: object) -> Iterable[object]:
    if isinstance(batch, Mapping):
        return batch.values()
    if isinstance(batch, list | tuple):
        return batch
    return vars(batch).values() if dataclasses.is_dataclass(batch) else ()


def _steps(path: Path) -> tuple[Step, ...]:
    return path if isinstance(path, tuple) else (path,)


def _get(batch: Any, step: Step) -> Any:
    try:
        if isinstance(batch, Mapping) or isinstance(step, int):
            return batch[step]
        return getattr(batch, step)
    except (KeyError, IndexError, AttributeError, TypeError) as error:
        known = [str(name) for name in _names(batch)]
        hint = did_you_mean(str(step), known) if known else ""
        holds = f"; it has {', '.join(map(repr, known[:8]))}" if known else ""
        raise ArgumentError(f"the {type(batch).__name__} has nothing at {step!r}{hint}{holds}") from error


def _names(batch: Any) -> Sequence[Any]:
    if isinstance(batch, Mapping):
        return list(batch)
    if dataclasses.is_dataclass(batch):
        return [field.name for field in dataclasses.fields(batch)]
    if hasattr(batch, "_fields"):
        return list(batch._fields)
    return range(len(batch)) if isinstance(batch, Sequence) and not isinstance(batch, str) else []


def _replaced(batch: Any, step: Step, value: Any) -> Any:
    if isinstance(batch, tuple):
        return _replaced_in_tuple(batch, step, value)
    if dataclasses.is_dataclass(batch) and isinstance(step, str):
        return dataclasses.replace(batch, **{step: value})  # type: ignore[type-var]
    if isinstance(batch, Tensor):
        raise ArgumentError(f"cannot put an image at {step!r} of a tensor; use the path of the whole tensor")
    changed = copy.copy(batch)
    if isinstance(changed, MutableMapping | list):
        changed[step] = value  # type: ignore[index]
    else:
        setattr(changed, str(step), value)
    return changed


def _replaced_in_tuple(batch: tuple[Any, ...], step: Step, value: Any) -> tuple[Any, ...]:
    if hasattr(batch, "_fields"):
        name = batch._fields[step] if isinstance(step, int) else step
        changed: tuple[Any, ...] = batch._replace(**{name: value})  # type: ignore[attr-defined]
        return changed
    assert isinstance(step, int)
    index = range(len(batch))[step]
    return (*batch[:index], value, *batch[index + 1 :])
