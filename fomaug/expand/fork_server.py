"""The fork server of worker processes: it imports torch once, while the job is prepared, and workers are its forks.

A worker that is spawned instead imports torch by itself, which takes two seconds of a core for every worker. On Linux,
forks of a process that has only imported torch can use its threads. They cannot use CUDA if a library has
initialised it, so workers on GPUs are spawned.
"""

from __future__ import annotations

import multiprocessing
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Final

_PRELOADED: Final = ["fomaug.expand.engines.process"]
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
    with deaf_to_interrupts():
        forkserver.ensure_running()
    return context


@contextmanager
def deaf_to_interrupts() -> Iterator[None]:
    """Ignore Ctrl-C in the processes that are started in the block, which would otherwise print tracebacks."""
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
