"""The start of worker processes, and the fork server, which imports torch once for all of them.

A worker that is spawned imports torch by itself, which takes two seconds of a core for every worker. On Linux, the
workers are forks of a process that has only imported torch, while the job is prepared; they can use torch's threads.
They cannot use CUDA if a library has initialised it, so workers on GPUs are spawned.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any, Final

WORKER: Final = "fomaug-worker"
"""Name of the worker processes."""
UNGUARDED: Final = 71
"""Exit code of a worker whose script would start the job again."""
_PRELOADED: Final = ["fomaug.expand.preload"]
_GPUS: Final = ("/dev/nvidiactl", "/dev/kfd")  # devices of the drivers of NVIDIA and AMD


def start_early(processes: object, engine: str, device: str) -> None:
    """Start the fork server in the background, if a job with these options will most likely need it.

    This function and its module do not import torch, so a command can call it before it does.
    """
    has_gpu = any(map(Path.exists, map(Path, _GPUS)))
    if processes != 1 and engine == "local" and (device == "cpu" or (device == "auto" and not has_gpu)):
        context_of_workers(on_cpu=True)


def context_of_workers(*, on_cpu: bool) -> BaseContext:
    """Return the context in which workers are started; that of the fork server has a running server."""
    if not (on_cpu and sys.platform == "linux"):
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    with without_interrupts():
        forkserver.ensure_running()
    return context


@contextmanager
def ending_fork_server() -> Iterator[None]:
    """End the fork server after the block, unless it was running before, or other processes were started with it."""
    server: Any = getattr(forkserver, "_forkserver", None)
    running = getattr(server, "_forkserver_pid", None) is not None
    try:
        yield
    finally:
        if not running and hasattr(server, "_stop") and not multiprocessing.active_children():
            _end(server)


def _end(server: Any) -> None:
    """End the fork server; Python has no public function for this."""
    if server._forkserver_pid is not None:
        os.kill(server._forkserver_pid, signal.SIGKILL)  # it may still import torch
        server._stop()


@contextmanager
def without_interrupts() -> Iterator[None]:
    """Block Ctrl-C in the processes that are started in the block, and delay it in this thread until the block ends.

    These processes would otherwise print tracebacks while they start.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # it unblocks Ctrl-C when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_unguarded_worker() -> None:
    """End this process if it is a worker that imports the script of its job, and the script starts the job again."""
    process: Any = multiprocessing.current_process()
    if process.name == WORKER and getattr(process, "_inheriting", False):
        os._exit(UNGUARDED)
