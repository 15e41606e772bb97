"""Work on a CPU."""

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
"""Rows of a part: with more, few threads find work; with fewer, each step is too short."""


def side_by_side(work: Callable[[slice], Done], count: int) -> list[Done]:
    """Do the parts of a batch, on as many threads as torch has here; returns what was done, in order.

    How a batch is divided does not depend on the threads, so neither do the results, to the bit. Gradient modes and
    autocast belong to a thread: `work` has to enter its own.

    Args:
        work: what to do with some rows of the batch; called in any thread.
        count: rows of the batch.
    """
    parts = _parts(count)
    threads = torch.get_num_threads()
    lanes = min(threads, len(parts))
    if lanes == 1:
        return [work(part) for part in parts]

    def run(part: slice) -> Done:
        if torch.get_num_threads() != threads // lanes:
            torch.set_num_threads(threads // lanes)
        return work(part)

    try:
        begun = [_executor(threads).submit(run, part) for part in parts]
    except RuntimeError:  # the interpreter is about to end, and begins no threads any more
        return [work(part) for part in parts]
    try:
        return [part.result() for part in begun]
    finally:
        torch.set_num_threads(threads)  # for threads to come, and for libraries that have one number for all


def _parts(count: int) -> list[slice]:
    number = max(1, -(-count // _PART))
    ends = [count * i // number for i in range(number + 1)]
    return [slice(*pair) for pair in itertools.pairwise(ends)]


@cache
def _executor(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="fomaug")


# A forked process has the executors, but not their threads.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_executor.cache_clear)


def keep_freed_memory() -> None:
    """Have glibc's malloc keep what is freed, up to 64 MB, for the next pass.

    By default it gives the top of its heap back to the system as soon as a few megabytes are free, and every pass gets
    its pages anew, zeroed one by one: a seventh of the time of small batches. Once a block of up to 32 MB was freed,
    malloc takes blocks of that size for ordinary and keeps twice as much (`mallopt(3)`, M_MMAP_THRESHOLD). The block
    here is never written to, so it costs no memory. Other allocators are not impressed; MALLOC_ variables of the
    environment have their way.
    """
    torch.empty(2**25 - 2**16, dtype=torch.uint8)
