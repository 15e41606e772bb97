"""Copies between the host and a device, such as a GPU, for which the host does not wait.

A device executes a queue of operations. If the host reads a value from the device, or copies to it from pageable
memory, it waits until the queue is empty. So constants are sent once, the numbers of a batch are sent together from
pinned memory, and results are copied back in the background.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, wraps
from typing import Any, Final, ParamSpec, TypeVar

import torch
from torch import Tensor

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")

_MOST_CONSTANTS: Final = 256  # of each function
_ALIGNMENT: Final = 8  # bytes; every dtype can be read at multiples of it

_caches: list[Callable[[], None]] = []


def constants(make: Callable[Parameters, Value]) -> Callable[Parameters, Value]:
    """Cache the results of a function, one of whose arguments is the device; the results must not be modified.

    While a compiler or an exporter traces the code, the function is always called, so constants are part of the graph.
    """
    cached = lru_cache(maxsize=_MOST_CONSTANTS)(_outside_of_inference(make))
    _caches.append(cached.cache_clear)

    @wraps(make)
    def constant(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Value:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            return make(*args, **kwargs)
        return cached(*args, **kwargs)  # type: ignore[arg-type]

    return constant


def _outside_of_inference(make: Callable[Parameters, Value]) -> Callable[Parameters, Value]:
    # Tensors of the inference mode could not be saved for a later gradient.
    def outside(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Value:
        with torch.inference_mode(mode=False), torch.no_grad():
            return make(*args, **kwargs)

    return outside


def forget_constants() -> None:
    """Empty all caches of constants."""
    for clear in _caches:
        clear()


@constants
def constant(values: tuple[Any, ...], device: torch.device, dtype: torch.dtype = torch.int64) -> Tensor:
    """Return numbers, or tuples of numbers, as a tensor on a device, which must not be modified.

    The default dtype is that of indices.

    >>> constant(((1, 2), (3, 4)), torch.device("cpu")).shape
    torch.Size([2, 2])
    """
    return torch.tensor(values, dtype=dtype, device=device)


@constants
def axis(length: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return `length` coordinates from -1 to 1, which must not be modified."""
    return torch.linspace(-1, 1, length, device=device, dtype=dtype)


def send(columns: Sequence[Sequence[Any]], device: torch.device) -> list[Tensor]:
    """Copy lists of numbers to a device in one copy, for which the host does not wait.

    Args:
        columns: lists of numbers, or lists of lists. As for `torch.tensor`, those of whole numbers become int64, those
            of truth values bool, and others float32.
        device: device of the tensors.

    >>> [column.dtype for column in send([[1, 2], [0.5], [True]], torch.device("cpu"))]
    [torch.int64, torch.float32, torch.bool]
    """
    tensors = [torch.tensor(column) for column in columns]
    if device.type == "cpu" or not tensors:
        return tensors
    return unpack(_pinned(pack(tensors), device).to(device, non_blocking=True), tensors)


def pack(tensors: Sequence[Tensor]) -> Tensor:
    """Write the bytes of contiguous tensors into one tensor (N,) uint8, each at a multiple of eight."""
    packed = torch.zeros(sum(map(_room, tensors)), dtype=torch.uint8)
    start = 0
    for tensor in tensors:
        packed[start : start + tensor.nbytes] = tensor.view(-1).view(torch.uint8)
        start += _room(tensor)
    return packed


def unpack(packed: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """View the bytes of `pack` as tensors of the same dtypes and shapes as those that were packed.

    >>> numbers = [torch.tensor([True]), torch.tensor([[0.5, 2.0]])]
    >>> unpack(pack(numbers), numbers)
    [tensor([True]), tensor([[0.5000, 2.0000]])]
    """
    found, start = [], 0
    for tensor in like:
        found.append(packed[start : start + tensor.nbytes].view(tensor.dtype).view(tensor.shape))
        start += _room(tensor)
    return found


def _room(tensor: Tensor) -> int:
    return math.ceil(tensor.nbytes / _ALIGNMENT) * _ALIGNMENT


class Readback:
    """Numbers of a device that are being copied to the host.

    Args:
        numbers: tensor on any device; a copy begins at once, and the host does not wait for it.
    """

    def __init__(self, numbers: Tensor) -> None:
        numbers = numbers.detach()
        self._on_cuda = numbers.device.type == "cuda"
        # CUDA copies to pinned memory. Other devices have no event for a complete copy, so the copy is made later.
        self._numbers = numbers.to("cpu", non_blocking=True) if self._on_cuda else numbers
        self._done = _record(numbers.device) if self._on_cuda else None

    @property
    def ready(self) -> bool:
        """Whether `values` need not wait."""
        return self._numbers.device.type == "cpu" if self._done is None else bool(self._done.query())  # type: ignore[no-untyped-call]

    def values(self) -> list[Any]:
        """Wait for the numbers, and return them as `tolist` does."""
        if self._done is not None:
            self._done.synchronize()
        values: list[Any] = self._numbers.tolist()
        return values


def _pinned(tensor: Tensor, device: torch.device) -> Tensor:
    return tensor.pin_memory() if device.type == "cuda" else tensor


def _record(device: torch.device) -> torch.cuda.Event:
    event: torch.cuda.Event = torch.cuda.current_stream(device).record_event()
    return event
