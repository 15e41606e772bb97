"""Keys for images that come without one."""

from __future__ import annotations

import torch
from torch.utils.data import get_worker_info

Key = str | int


def counted_keys(first: int, count: int) -> list[Key]:
    """Name images by their number in this process, apart from other ranks' and other workers' numbers.

    A worker's salt is its seed, which the DataLoader draws anew for every pass: no worker repeats another's draws or
    its own of the last epoch, and a seeded DataLoader repeats its run.

    >>> counted_keys(4, 2)
    [4, 5]
    """
    salt = _rank_salt() + _worker_salt()
    return [f"{salt}{number}" if salt else number for number in range(first, first + count)]


def _rank_salt() -> str:
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return ""
    return f"rank {torch.distributed.get_rank()} " if torch.distributed.get_world_size() > 1 else ""


def _worker_salt() -> str:
    worker = get_worker_info()
    return "" if worker is None else f"worker {worker.seed} "
