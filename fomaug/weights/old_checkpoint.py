"""Checkpoints of torch before 1.6: five pickles, and then the numbers of all storages.

The pickles are magic number, version, machine, content and keys of the storages. They have less than a megabyte, so a
file with wrong shapes is rejected before its numbers are read. Only the numbers of the networks are read.
"""

from __future__ import annotations

import os
import pickle
import pickletools
import sys
from collections.abc import Mapping, Sequence
from io import BufferedIOBase
from typing import IO, BinaryIO, Final, NamedTuple, cast

import torch
from torch import UntypedStorage

from fomaug.weights.pickle_scan import MOST_BYTES, Budget, RefusedPickleError, Storage, scan_pickle

_PICKLES_BEFORE_CONTENT: Final = 3
_NO_KEYS: Final = pickle.dumps([], protocol=2)


class OldCheckpoint(NamedTuple):
    """The parts of a checkpoint.

    Attributes:
        pickles: pickles of a checkpoint whose list of storages is empty, so that torch reads no numbers.
        offsets: keys of the storages in the order of the content, with the positions in the file of their numbers.
    """

    pickles: bytes
    offsets: dict[str, Numbers]


class Numbers(NamedTuple):
    """The position in the file of a storage's numbers, and the bytes of a number."""

    position: int
    item_bytes: int


def scan_old(file: BinaryIO, budget: Budget) -> OldCheckpoint:
    """Scan a checkpoint; its numbers are not read.

    Args:
        file: open file at its beginning.
        budget: limits of the file.

    Raises:
        RefusedPickleError: the file is damaged, or describes content that no checkpoint has.
        ForeignCodeError: the file names a function or a class that no checkpoint of weights needs.
    """
    capped = cast("IO[bytes]", _Capped(file))
    for _ in range(_PICKLES_BEFORE_CONTENT):
        scan_pickle(capped, budget)
    storages = scan_pickle(capped, budget)
    content_end = file.tell()
    scan_pickle(capped, budget)
    end = file.tell()
    file.seek(0)
    pickles = file.read(content_end) + _NO_KEYS
    keys = [text for _, text, _ in pickletools.genops(file.read(end - content_end)) if isinstance(text, str)]
    offsets = _offsets(file, keys, storages, end)
    return OldCheckpoint(pickles, {key: offsets[key] for key in storages})


def _offsets(file: BinaryIO, keys: Sequence[str], storages: Mapping[str, Storage], start: int) -> dict[str, Numbers]:
    """Find the numbers of each storage; each storage begins with the number of its items."""
    if sorted(keys) != sorted(storages):
        raise RefusedPickleError("is damaged: its list of storages is not that of its tensors")
    offsets, position = {}, start
    for key in keys:
        count, item_bytes = storages[key]
        file.seek(position)
        stated = file.read(8)
        if len(stated) == 8 and int.from_bytes(stated, "little") != count:
            raise RefusedPickleError("is damaged: a storage has another length than its tensors state")
        offsets[key] = Numbers(position + 8, item_bytes)
        position += 8 + count * item_bytes
    if position > os.fstat(file.fileno()).st_size:
        raise RefusedPickleError("is damaged: it ends within the numbers of its tensors; was the download cut short?")
    return offsets


def read_storage(file: BinaryIO, numbers: Numbers, storage: UntypedStorage) -> None:
    """Read the numbers of a storage into its memory.

    Raises:
        RefusedPickleError: the file ends too early, since it was changed.
    """
    memory = torch.empty(0, dtype=torch.uint8).set_(storage).numpy()
    file.seek(numbers.position)
    if cast("BufferedIOBase", file).readinto(memory.data) != storage.nbytes():
        raise RefusedPickleError("is damaged: it ends within the numbers of its tensors; was the download cut short?")
    if sys.byteorder == "big":
        memory.view(f"u{numbers.item_bytes}").byteswap(inplace=True)


class _Capped:
    """A file that ends after `MOST_BYTES`, also if the pickle states a larger length.

    Args:
        file: open file at its beginning.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def tell(self) -> int:
        """Return the position in the file."""
        return self.file.tell()

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes."""
        left = max(0, MOST_BYTES - self.file.tell())
        return self.file.read(left if size < 0 else min(size, left))

    def readline(self, size: int = -1) -> bytes:
        """Read a line, which contains a name or a number."""
        return self.file.readline(min(4096, max(0, MOST_BYTES - self.file.tell())))
