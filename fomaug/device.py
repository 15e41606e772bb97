"""Devices: copies to and from a GPU for which the host does not wait, and threads for the parts of a batch on a CPU.

A device executes a queue of operations. If the host reads a value from the device, or copies to it from pageable
memory, it waits until the queue is empty. So constants are sent once, the numbers of a batch are sent together from
pinned memory, and results are copied back in the background.

On a CPU, one thread for each part of a batch is faster than all threads on every small operation.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, lru_cache, wraps
from typing import Any, Final, ParamSpec, TypeVar

import torch
from torch import Tensor

Parameters = ParamSpec("Parameters")
Value = TypeVar("Value")
Done = TypeVar("Done")

_MOST_CONSTANTS: Final = 256  # of each function
_ALIGNMENT: Final = 8  # bytes; every dtype can be read at multiples of it
_PART: Final = 8
"""Number of rows of a part: more rows occupy too few threads, and with fewer rows the operations are too short."""

_caches: list[Callable[[], None]] = []
_kept: ContextVar[list[Any] | None] = ContextVar("kept", default=None)


def constants(make: Callable[Parameters, Value]) -> Callable[Parameters, Value]:
    """Cache the results of a function, one of whose arguments is the device; the results must not be modified.

    The host waits until a new result is complete, because a thread with another stream may use it at once. While a
    compiler or an exporter traces the code, the function is always called, so constants are part of the graph.
    """
    cached = lru_cache(maxsize=_MOST_CONSTANTS)(_finished(make))
    _caches.append(cached.cache_clear)

    @wraps(make)
    def constant(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Value:
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            return make(*args, **kwargs)
        value = cached(*args, **kwargs)  # type: ignore[arg-type]
        kept = _kept.get()
        if kept is not None:
            kept.append(value)
        return value

    return constant


@contextmanager
def keep_constants() -> Iterator[list[Any]]:
    """Collect the constants that are used in this context, so that they stay in memory when the caches drop them."""
    kept: list[Any] = []
    token = _kept.set(kept)
    try:
        yield kept
    finally:
        _kept.reset(token)


def _finished(make: Callable[Parameters, Value]) -> Callable[Parameters, Value]:
    # Tensors of the inference mode could not be saved for a later gradient.
    def finished(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Value:
        with torch.inference_mode(mode=False), torch.no_grad():
            value = make(*args, **kwargs)
        for device in (*args, *kwargs.values()):
            if isinstance(device, torch.device):
                wait_for(device)
        return value

    return finished


def wait_for(device: torch.device) -> None:
    """Wait for the operations that this thread has started on a device, before other threads use their results."""
    if device.type == "cuda":
        _synchronize(device)


def _synchronize(device: torch.device) -> None:
    torch.cuda.current_stream(device).synchronize()


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


_LARGE: Final = 20_000_000
"""Weights of a network whose operations on a few rows are long enough; the official ones have 45 million."""


def rows_of_part(weights: int) -> int:
    """Choose the number of rows of a part for a network with so many weights."""
    return _PART // 2 if weights >= _LARGE else _PART


def side_by_side(work: Callable[[slice], Done], count: int, rows: int = _PART) -> list[Done]:
    """Process the parts of a batch in parallel, on torch's number of threads.

    The division of a batch does not depend on the number of threads, so the results are the same to the bit. Gradient
    modes and autocast are local to a thread, so `work` must enter its own.

    Args:
        work: function of a slice of rows; it may be called in any thread.
        count: number of rows of the batch.
        rows: largest number of rows of a part.

    Returns:
        The results of the parts, in order.
    """
    parts = _parts(count, rows)
    threads = torch.get_num_threads()
    workers = min(threads, len(parts))
    if workers == 1:
        return [work(part) for part in parts]

    def run(part: slice) -> Done:
        if torch.get_num_threads() != threads // workers:
            torch.set_num_threads(threads // workers)
        return work(part)

    try:
        submitted = [_executor(threads).submit(run, part) for part in parts]
    except RuntimeError:  # the interpreter is shutting down and starts no threads
        return [work(part) for part in parts]
    try:
        return [part.result() for part in submitted]
    finally:
        torch.set_num_threads(threads)  # for later threads, and for libraries with one number for all threads


def _parts(count: int, rows: int) -> list[slice]:
    number = max(1, -(-count // rows))
    ends = [count * i // number for i in range(number + 1)]
    return [slice(*pair) for pair in itertools.pairwise(ends)]


@cache
def _executor(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="fomaug")


# A forked process inherits the executors, but not their threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_executor.cache_clear)


def keep_freed_memory() -> None:
    """Make glibc's malloc keep up to 256 MB of freed memory for the next pass.

    By default malloc returns the top of its heap to the system as soon as a few megabytes are free, and the system
    zeroes every page again for the next pass: a seventh of the time of small batches. See `mallopt(3)`. The call has no
    effect on other allocators, and none if the environment sets these limits.
    """
    if not _LIMITS.intersection(os.environ) and (mallopt := getattr(ctypes.pythonapi, "mallopt", None)) is not None:
        mallopt(_MMAP_THRESHOLD, 2**25)  # the largest value that it takes
        mallopt(_TRIM_THRESHOLD, 2**28)


_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1
_LIMITS: Final = {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES"}


def read_together(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copy tensors of one dtype to the host in one copy."""
    read = torch.cat([tensor.detach().flatten() for tensor in tensors]).cpu()
    parts = torch.split(read, [tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
