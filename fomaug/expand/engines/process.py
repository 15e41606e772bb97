"""The code in a worker process of the local engine."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Mapping
from multiprocessing import parent_process
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch

from fomaug.errors import FomaugError
from fomaug.expand.resources import WorkerSetup, load_stages
from fomaug.expand.run import work
from fomaug.expand.tasks import Done, Task


class _PipeFeed:
    """The feed of a worker process."""

    def __init__(self, pipe: Any) -> None:
        self._pipe = pipe
        self._ended = False

    def take(self, *, wait: bool) -> Task | None:
        """Return the next task, see `Feed`."""
        if self._ended or not (wait or self._pipe.poll()):
            return None
        task: Task | None = self._pipe.recv()
        self._ended = task is None
        return task

    def made(self, copies: int, failed: int) -> None:
        """Count settled copies and failed sources."""
        self._pipe.send((copies, failed))

    def done(self, done: Done) -> None:
        """Report a finished task."""
        self._pipe.send(done)


def serve(
    setup: WorkerSetup | bytes, part_name: str, pipe: Any, threads: int | None, environment: Mapping[str, str]
) -> None:
    """Run a worker in its process until the job's process has no more tasks, or has ended.

    Args:
        setup: setup of the worker, or its pickled bytes.
        part_name: name of its manifest part.
        pipe: connection to the job's process.
        threads: number of torch's threads; None to keep it.
        environment: environment variables of the job's process; a fork server may have started with others.
    """
    _follow_parent()
    os.environ.clear()
    os.environ.update(environment)
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        setup = ForkingPickler.loads(setup) if isinstance(setup, bytes) else setup
        part = setup.open_part(part_name)
        stages = load_stages(setup)
        pipe.send(None)  # a death from now on may be caused by a task
        work(setup, stages, part, _PipeFeed(pipe))
    except (EOFError, BrokenPipeError, KeyboardInterrupt):
        sys.exit(1)
    except Exception as error:  # noqa: BLE001 - the job's process raises it
        pipe.send(_portable(error))


def _follow_parent() -> None:
    """Leave interrupts to the job's process, and end as soon as it has ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _interrupt)
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _portable(error: Exception) -> Exception:
    """Return an error that can be sent to another process."""
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:  # noqa: BLE001 - whatever the classes of other libraries raise
        return FomaugError(f"{type(error).__name__}: {error}")
    return error
