"""Memory that a pass through a model frees and the next one needs again."""

from __future__ import annotations

import torch


def keep_freed_memory() -> None:
    """Have glibc's malloc keep what is freed, up to 64 MB, for the next pass.

    By default it gives the top of its heap back to the system as soon as a few megabytes are free, and every pass gets
    its pages anew, zeroed one by one: a seventh of the time of small batches. Once a block of up to 32 MB was freed,
    malloc takes blocks of that size for ordinary and keeps twice as much (`mallopt(3)`, M_MMAP_THRESHOLD). The block
    here is never written to, so it costs no memory. Other allocators are not impressed; MALLOC_ variables of the
    environment have their way.
    """
    torch.empty(2**25 - 2**16, dtype=torch.uint8)
