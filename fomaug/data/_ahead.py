"""Work one batch ahead of whoever takes the batches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Queue
from threading import Event, Semaphore, Thread
from typing import Any, Generic, TypeVar

import torch

from fomaug.data._structure import tensors_in

Given = TypeVar("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class _Failed:
    error: BaseException


@dataclass(frozen=True)
class _Ready(Generic[Made]):
    made: Made
    done: torch.cuda.Event | None


_END = object()


def work_ahead(batches: Iterator[Given], work: Callable[[Given], Made], device: torch.device) -> Iterator[Made]:
    """Apply `work` to every batch, in a thread that is one batch ahead.

    On CUDA the thread has a stream of its own, so that the work runs beside the training step; a batch that is handed
    over is ready for the taker's stream. An error in `batches` or `work` is raised where the batch would have come,
    with the traceback of where it happened. When the taker stops early, the thread ends with the batch it is at.

    Args:
        batches: to work on; only the thread calls it.
        work: what to do with each.
        device: where it happens.
    """
    results: Queue[Any] = Queue()
    permits, stop = Semaphore(1), Event()
    thread = Thread(target=_produce, args=(batches, work, device, results, permits, stop), name="fomaug", daemon=True)
    thread.start()
    try:
        while (result := results.get()) is not _END:
            if isinstance(result, _Failed):
                raise result.error
            permits.release()
            yield _hand_over(result, device)
    finally:
        stop.set()
        permits.release()
        thread.join()


def _produce(
    batches: Iterator[Given],
    work: Callable[[Given], Made],
    device: torch.device,
    results: Queue[Any],
    permits: Semaphore,
    stop: Event,
) -> None:
    try:
        with _own_stream(device) as stream:
            while _allowed(permits, stop):
                batch = next(batches, _END)
                if batch is _END:
                    break
                made = work(batch)  # type: ignore[arg-type]
                results.put(_Ready(made, None if stream is None else stream.record_event()))
    except BaseException as error:  # noqa: BLE001 - handed to the taker, who raises it
        results.put(_Failed(error))
    results.put(_END)


def _allowed(permits: Semaphore, stop: Event) -> bool:
    permits.acquire()
    return not stop.is_set()


@contextlib.contextmanager
def _own_stream(device: torch.device) -> Iterator[torch.cuda.Stream | None]:
    if device.type != "cuda":
        yield None
        return
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    # What the model and the pool were last written by has to be over first.
    stream.wait_stream(torch.cuda.default_stream(device))
    with torch.cuda.device(device), torch.cuda.stream(stream):
        yield stream


def _hand_over(result: _Ready[Made], device: torch.device) -> Made:
    if result.done is not None:
        stream = torch.cuda.current_stream(device)
        stream.wait_event(result.done)
        for tensor in tensors_in(result.made):
            # Or the memory would be given to another batch while the taker's stream still reads it.
            if tensor.device.type == "cuda":
                tensor.record_stream(stream)
    return result.made
