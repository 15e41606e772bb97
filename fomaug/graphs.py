"""CUDA graphs: passes of a network that are recorded once for each size of batch, and then started as a whole.

A GPU waits for Python where a pass consists of many small operations. A recorded pass is started by one call. Its
memory is fixed: inputs are copied into it, and results are copied out of it before the next pass overwrites them.

While a pass is recorded, the rest of the process should not use the GPU: torch refuses random numbers, and CUDA refuses
to wait for the device. So recordings and replays of all models run one at a time, and the thread of a loader records
only while its consumer waits for the batch.
"""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, NamedTuple, Protocol

import torch
from torch import Tensor

from fomaug.device import keep_constants

Tensors = tuple[Tensor, ...]
Work = Callable[[Tensors], Tensors]

_SIZES: Final = (1, 2, 4, 8, 16, 24, 32, 48, 64)
_WARM_UPS: Final = 3  # passes in which libraries choose their kernels, and constants are made

_lock: Final = threading.RLock()  # of all recordings and replays in the process
_quiet: ContextVar[threading.Event | None] = ContextVar("quiet", default=None)


@contextmanager
def record_only_while(quiet: threading.Event) -> Iterator[None]:
    """Let this thread wait for an event before each recording: it is set while no other thread uses the device."""
    token = _quiet.set(quiet)
    try:
        yield
    finally:
        _quiet.reset(token)


class Backend(Protocol):
    """A way to record work on a device and to repeat it."""

    @property
    def device_type(self) -> str:
        """Type of the devices, such as "cuda"."""

    def queue(self, device: torch.device) -> Hashable:
        """Identify the queue of operations of the calling thread; recordings of one queue run one after another."""

    def is_recording(self) -> bool:
        """Return whether the calling thread's queue is being recorded, for example by the user's own program."""

    def forget(self) -> None:
        """Forget what the recordings shared, because all of them were deleted."""

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

    def is_recording(self) -> bool:
        """Return whether the current stream is being captured."""
        return torch.cuda.is_current_stream_capturing()

    def forget(self) -> None:
        """Forget the memory pools: torch refuses a pool without graphs until its memory is released."""
        self._sides.clear()

    def record(self, work: Callable[[], Tensors], device: torch.device) -> tuple[Callable[[], None], Tensors]:
        """Record a graph. The memory of a queue's graphs is shared, because they never run at the same time."""
        current = torch.cuda.current_stream(device)
        # After a failed capture, torch's context would leave its own stream as the current one.
        with torch.cuda.device(device), torch.cuda.stream(current):
            stream, pool = self._side(device)
            stream.wait_stream(current)
            with torch.cuda.stream(stream):
                for _ in range(_WARM_UPS):
                    work()
            current.wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            try:
                # Other threads, such as one that pins memory, go on calling CUDA during the recording.
                with (
                    _without_collection(),
                    torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"),
                ):
                    found = work()
            except RuntimeError:
                _renew_generator(device)
                raise
        return graph.replay, found

    def _side(self, device: torch.device) -> tuple[torch.cuda.Stream, Any]:
        """Return the stream on which the current queue is recorded, and the pool of its memory."""
        queue = self.queue(device)
        if queue not in self._sides:
            self._sides[queue] = torch.cuda.Stream(device), torch.cuda.graph_pool_handle()  # type: ignore[no-untyped-call]
        return self._sides[queue]


@contextmanager
def _without_collection() -> Iterator[None]:
    """Suspend the garbage collector, which could delete an older graph; CUDA refuses that during a recording."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _renew_generator(device: torch.device) -> None:
    """Replace the state of a device's generator by an equal one.

    After a failed capture, the old state may count as part of a capture, and would refuse all random numbers.
    """
    generator = torch.cuda.default_generators[device.index]
    generator.graphsafe_set_state(generator.clone_state())


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
        self._is_broken = self._has_warned = False

    def __len__(self) -> int:
        return len(self._recordings)

    def __reduce__(self) -> tuple[type[Graphs], tuple[int]]:
        return type(self), (self.most,)

    def fit(self, tensor: Tensor) -> bool:
        """Return whether passes over a tensor are recorded: on the backend's devices, without gradients or autocast.

        Passes that the user's program records itself are not recorded again.
        """
        kind = tensor.device.type
        if kind != self.backend.device_type or not len(tensor):
            return False
        traced = torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        if traced or torch.is_grad_enabled() or torch.is_autocast_enabled(kind):
            return False
        return not self.backend.is_recording()

    def run(self, name: str, work: Work, tensors: Tensors) -> Tensors:
        """Do the work by a recorded pass.

        Args:
            name: name of the work, which distinguishes it from other work on tensors of these shapes.
            work: function from tensors (B, ...) to tensors (B, ...); it must not keep state.
            tensors: inputs of B rows each, on one device.

        Returns:
            The results, in memory of their own, which the allocator gives out again when nobody holds it.
        """
        count, device = len(tensors[0]), tensors[0].device
        rows = padded_size(count)
        key = name, rows, self.backend.queue(device), tuple((part.shape[1:], part.dtype) for part in tensors)
        if key not in self._recordings and self._may_record():
            _wait_for_quiet()  # without the lock, which the consumer may need before it waits
        with _lock:
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
        with _lock:
            self._recordings.clear()
            self.backend.forget()
            self._is_broken = False

    def _may_record(self) -> bool:
        if self._is_broken:
            return False
        if len(self._recordings) < self.most:
            return True
        self._warn(f"batches of more than {self.most} sizes and shapes; further ones run without recordings")
        return False

    def _record(self, key: Hashable, work: Work, tensors: Tensors, rows: int) -> _Recording | None:
        try:
            # Tensors of the inference mode could not be filled outside of it.
            with torch.inference_mode(mode=False), torch.no_grad(), keep_constants() as kept:
                inputs = tuple(_buffer(part, rows) for part in tensors)
                _fill(inputs, tensors)
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


def _wait_for_quiet() -> None:
    quiet = _quiet.get()
    if quiet is not None:
        quiet.wait()


def padded_size(count: int) -> int:
    """Return the size that a batch is padded to: at most a half more, and for large batches the next multiple of 64.

    >>> [padded_size(count) for count in (1, 3, 17, 64, 65)]
    [1, 4, 24, 64, 128]
    """
    return next((size for size in _SIZES if size >= count), -(-count // _SIZES[-1]) * _SIZES[-1])


def _buffer(tensor: Tensor, rows: int) -> Tensor:
    """Make an empty tensor of so many rows; maps keep their channels innermost."""
    one = tensor[:1]
    innermost = one.ndim == 4 and one.is_contiguous(memory_format=torch.channels_last) and not one.is_contiguous()
    layout = torch.channels_last if innermost else torch.contiguous_format
    return torch.empty((rows, *tensor.shape[1:]), dtype=tensor.dtype, device=tensor.device, memory_format=layout)


def _fill(buffers: Tensors, tensors: Tensors) -> None:
    """Copy rows into larger buffers, and repeat the last row."""
    for buffer, tensor in zip(buffers, tensors, strict=True):
        count = len(tensor)
        buffer[:count].copy_(tensor)
        if count < len(buffer):
            buffer[count:].copy_(tensor[-1:].expand_as(buffer[count:]))
