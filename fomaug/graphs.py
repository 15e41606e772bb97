"""CUDA graphs: passes of a network that are recorded once for each size of batch, and then started as a whole.

A GPU waits for Python where a pass consists of many small operations. A recorded pass is started by one call. Its
memory is fixed: inputs are copied into it, and results are copied out of it before the next pass overwrites them.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Hashable
from typing import Any, Final, NamedTuple, Protocol

import torch
from torch import Tensor

from fomaug.device import keep_constants

Tensors = tuple[Tensor, ...]
Work = Callable[[Tensors], Tensors]

_SIZES: Final = (1, 2, 4, 8, 16, 24, 32, 48, 64)
_WARM_UPS: Final = 3  # passes in which libraries choose their kernels, and constants are made


class Backend(Protocol):
    """A way to record work on a device and to repeat it."""

    @property
    def device_type(self) -> str:
        """Type of the devices, such as "cuda"."""

    def queue(self, device: torch.device) -> Hashable:
        """Identify the queue of operations of the calling thread; recordings of one queue run one after another."""

    def record(self, work: Callable[[], Tensors], device: torch.device) -> tuple[Callable[[], None], Tensors]:
        """Record work that reads and writes fixed memory.

        Returns:
            A function that repeats the work, and the tensors that it writes its results to.

        Raises:
            RuntimeError: the work cannot be recorded.
        """


class CudaBackend:
    """CUDA graphs, recorded on a stream of their own for each queue."""

    device_type = "cuda"

    def __init__(self) -> None:
        self._sides: dict[Hashable, tuple[torch.cuda.Stream, Any]] = {}

    def queue(self, device: torch.device) -> Hashable:
        """Return the device's number and its current stream."""
        return device.index, torch.cuda.current_stream(device).cuda_stream

    def record(self, work: Callable[[], Tensors], device: torch.device) -> tuple[Callable[[], None], Tensors]:
        """Record a graph. The memory of a queue's graphs is shared, because they never run at the same time."""
        with torch.cuda.device(device):
            queue = self.queue(device)
            if queue not in self._sides:
                self._sides[queue] = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()  # type: ignore[no-untyped-call]
            stream, pool = self._sides[queue]
            stream.wait_stream(torch.cuda.current_stream(device))
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UPS):
                    work()
            torch.cuda.current_stream(device).wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            # Other threads, such as those of a loader, go on allocating memory during the recording.
            with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                found = work()
        return graph.replay, found


class _Recording(NamedTuple):
    """A recorded pass.

    Attributes:
        inputs: tensors that it reads.
        outputs: tensors that it writes.
        replay: function that repeats it.
        kept: constants that it reads, which must stay in memory.
    """

    inputs: Tensors
    outputs: Tensors
    replay: Callable[[], None]
    kept: list[Any]


class Graphs:
    """Recorded passes. Copies of this object have none.

    Batches are padded to few sizes by repeating the last row, so the rows of a result must depend on their own inputs
    alone. What cannot be recorded, and what exceeds the limit, runs as it would without this object; the first time,
    there is a warning.

    Args:
        most: largest number of recordings; each holds the memory of its inputs and results.
        backend: way to record; CUDA graphs by default.
    """

    def __init__(self, most: int = 16, backend: Backend | None = None) -> None:
        self.most = most
        self.backend = backend or CudaBackend()
        self._recordings: dict[Hashable, _Recording] = {}
        self._lock = threading.RLock()
        self._is_broken = self._has_warned = False

    def __len__(self) -> int:
        return len(self._recordings)

    def __reduce__(self) -> tuple[type[Graphs], tuple[int]]:
        return type(self), (self.most,)

    def fit(self, tensor: Tensor) -> bool:
        """Return whether passes over a tensor are recorded: on the backend's devices, without gradients or autocast."""
        kind = tensor.device.type
        if kind != self.backend.device_type or not len(tensor):
            return False
        traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        return not (traced or torch.is_grad_enabled() or torch.is_autocast_enabled(kind))

    def run(self, name: str, work: Work, tensors: Tensors) -> Tensors:
        """Do the work by a recorded pass.

        Args:
            name: name of the work, which distinguishes it from other work on tensors of these shapes.
            work: function from tensors (B, ...) to tensors (B, ...); it must not keep state.
            tensors: inputs of B rows each, on one device.

        Returns:
            The results, in memory of their own.
        """
        count, device = len(tensors[0]), tensors[0].device
        rows = padded_size(count)
        key = name, rows, self.backend.queue(device), tuple((part.shape[1:], part.dtype) for part in tensors)
        with self._lock:  # one pass after another, since they share their memory
            recording = self._recordings.get(key)
            if recording is not None:
                _fill(recording.inputs, tensors)
            elif self._may_record():
                recording = self._record(key, work, tensors, rows)
            if recording is not None:
                recording.replay()
                return tuple(part[:count].clone() for part in recording.outputs)
        return work(tensors)

    def forget(self) -> None:
        """Drop all recordings, for example because the weights have moved."""
        with self._lock:
            self._recordings.clear()
            self._is_broken = False

    def _may_record(self) -> bool:
        if self._is_broken:
            return False
        if len(self._recordings) < self.most:
            return True
        self._warn(f"batches of more than {self.most} sizes and shapes; further ones run without recordings")
        return False

    def _record(self, key: Hashable, work: Work, tensors: Tensors, rows: int) -> _Recording | None:
        inputs = tuple(part.new_empty((rows, *part.shape[1:])) for part in tensors)
        _fill(inputs, tensors)
        try:
            with keep_constants() as kept:
                replay, outputs = self.backend.record(lambda: work(inputs), tensors[0].device)
        except RuntimeError as error:
            self._is_broken = True
            self._warn(f"a pass could not be recorded, so all run without recordings ({error})")
            return None
        recording = self._recordings[key] = _Recording(inputs, outputs, replay, kept)
        return recording

    def _warn(self, reason: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            warnings.warn(f"CUDA graphs: {reason}", RuntimeWarning, stacklevel=2)


def padded_size(count: int) -> int:
    """Return the size that a batch is padded to: at most a half more, and for large batches the next multiple of 64.

    >>> [padded_size(count) for count in (1, 3, 17, 64, 65)]
    [1, 4, 24, 64, 128]
    """
    return next((size for size in _SIZES if size >= count), -(-count // _SIZES[-1]) * _SIZES[-1])


def _fill(buffers: Tensors, tensors: Tensors) -> None:
    """Copy rows into larger buffers, and repeat the last row."""
    for buffer, tensor in zip(buffers, tensors, strict=True):
        count = len(tensor)
        buffer[:count].copy_(tensor)
        if count < len(buffer):
            buffer[count:].copy_(tensor[-1:].expand_as(buffer[count:]))
