"""Computation on a CPU: threads for the parts of a batch, and memory that is reused between passes of a model.

One thread for each part of a batch is faster than all threads on every small operation.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, TypeVar

import torch

Done = TypeVar("Done")

_PART: Final = 8
"""Number of rows of a part: more rows occupy too few threads, and with fewer rows the operations are too short."""


def side_by_side(work: Callable[[slice], Done], count: int) -> list[Done]:
    """Process the parts of a batch in parallel, on torch's number of threads.

    The division of a batch does not depend on the number of threads, so the results are the same to the bit. Gradient
    modes and autocast are local to a thread, so `work` must enter its own.

    Args:
        work: function of a slice of rows; it may be called in any thread.
        count: number of rows of the batch.

    Returns:
        The results of the parts, in order.
    """
    parts = _parts(count)
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


def _parts(count: int) -> list[slice]:
    number = max(1, -(-count // _PART))
    ends = [count * i // number for i in range(number + 1)]
    return [slice(*pair) for pair in itertools.pairwise(ends)]


@cache
def _executor(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="fomaug")


# A forked process inherits the executors, but not their threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_executor.cache_clear)


def keep_freed_memory() -> None:
    """Make glibc's malloc keep up to 64 MB of freed memory for the next pass.

    By default malloc returns the top of its heap to the system as soon as a few megabytes are free, and the system
    zeroes every page again for the next pass: a seventh of the time of small batches. After a block of up to 32 MB was
    freed, malloc treats blocks of this size as ordinary and keeps twice as much (`mallopt(3)`, M_MMAP_THRESHOLD). The
    block here is never written to, so it costs no memory. The call has no effect on other allocators, and none if the
    environment sets MALLOC_ variables.
    """
    torch.empty(2**25 - 2**16, dtype=torch.uint8)
