"""Process batches in a thread, one batch ahead of their consumer."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Queue
from threading import Event, Semaphore, Thread, current_thread
from typing import Any, ClassVar, Generic, TypeVar

import torch

from fomaug.data.paths import tensors_in
from fomaug.graphs import record_only_while

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


class _Worker:
    """A thread, and its stream on each device.

    It is reused after a pass over the data, because CUDA's libraries prepare for shapes, and reserve memory, once for
    every thread and stream.
    """

    resting: ClassVar[list[_Worker]] = []

    def __init__(self) -> None:
        self.streams: dict[torch.device, torch.cuda.Stream] = {}
        self._jobs: Queue[tuple[Callable[[_Worker], None], Event]] = Queue()
        self._thread = Thread(target=self._run, name="fomaug", daemon=True)
        self._thread.start()

    @classmethod
    def take(cls) -> _Worker:
        """Return an idle worker, or make a new one."""
        try:
            return cls.resting.pop()
        except IndexError:
            return cls()

    def start(self, job: Callable[[_Worker], None]) -> Event:
        """Start a job, and return the event of its end."""
        over = Event()
        self._jobs.put((job, over))
        return over

    def wait(self, over: Event) -> None:
        """Wait for the end of a job, except in the thread itself, and in a forked process without the thread."""
        while current_thread() is not self._thread and self._thread.is_alive() and not over.wait(0.1):
            pass

    def _run(self) -> None:
        while True:
            self._do(*self._jobs.get())  # no variable keeps the last job's objects alive

    def _do(self, job: Callable[[_Worker], None], over: Event) -> None:
        job(self)
        self.resting.append(self)
        over.set()


# A forked process has the list, but not the threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_Worker.resting.clear)


def work_ahead(batches: Iterator[Given], work: Callable[[Given], Made], device: torch.device) -> Iterator[Made]:
    """Apply `work` to every batch in a thread that is one batch ahead.

    On CUDA the thread has its own stream, so that the work runs in parallel to the training step; yielded batches are
    ready for the consumer's stream. CUDA graphs are recorded only while the consumer waits for a batch. An error in
    `batches` or `work` is raised in place of the batch, with its traceback. If the consumer stops early, the thread
    stops after its current batch.

    Args:
        batches: iterator of batches; only the thread calls it.
        work: function that is applied to each batch.
        device: device of the work.
    """
    results: Queue[Any] = Queue()
    permits, stop, threads = Semaphore(1), Event(), torch.get_num_threads()
    waiting = Event()  # of the consumer for a batch

    def produce(worker: _Worker) -> None:
        if torch.get_num_threads() != threads:  # a thread keeps its first number of threads
            torch.set_num_threads(threads)
        try:
            with _own_stream(worker, device) as stream, record_only_while(waiting):
                while _allowed(permits, stop):
                    batch = next(batches, _END)
                    if batch is _END:
                        break
                    made = work(batch)  # type: ignore[arg-type]
                    results.put(_Ready(made, None if stream is None else stream.record_event()))
        except BaseException as error:  # noqa: BLE001 - passed to the consumer, which raises it
            results.put(_Failed(error))
        results.put(_END)

    worker = _Worker.take()
    over = worker.start(produce)
    try:
        waiting.set()
        while (result := results.get()) is not _END:
            if isinstance(result, _Failed):
                raise result.error
            waiting.clear()
            permits.release()
            yield _hand_over(result, device)
            waiting.set()
    finally:
        stop.set()
        waiting.set()
        permits.release()
        worker.wait(over)


def _allowed(permits: Semaphore, stop: Event) -> bool:
    permits.acquire()
    return not stop.is_set()


@contextlib.contextmanager
def _own_stream(worker: _Worker, device: torch.device) -> Iterator[torch.cuda.Stream | None]:
    if device.type != "cuda":
        yield None
        return
    if device not in worker.streams:
        worker.streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    stream = worker.streams[device]
    # Work that modifies the model and the pool must end first.
    stream.wait_stream(torch.cuda.default_stream(device))
    with torch.cuda.device(device), torch.cuda.stream(stream):
        yield stream


def _hand_over(result: _Ready[Made], device: torch.device) -> Made:
    if result.done is not None:
        stream = torch.cuda.current_stream(device)
        stream.wait_event(result.done)
        for tensor in tensors_in(result.made):
            # Otherwise the memory could go to another batch while the consumer's stream still reads it.
            if tensor.device.type == "cuda":
                tensor.record_stream(stream)
    return result.made
