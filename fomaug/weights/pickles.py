"""Read pickles without running their code, also those of torch before 1.6.

No other module calls `torch.load`. It is called with `weights_only=True` only, after the pickle has been scanned.

Checkpoints of torch before 1.6 are five pickles (magic number, version, machine, content and keys of the storages) and
then the numbers of all storages. The pickles have less than a megabyte, so a file with wrong shapes is rejected before
its numbers are read. Only the numbers of the networks are read.
"""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, NamedTuple, cast

import torch
from torch import Tensor, UntypedStorage

from fomaug.errors import UnsafeFileError, WeightsError, reason_of
from fomaug.files import MODEL, check_regular, open_regular
from fomaug.weights.pickle_scan import MOST_BYTES, Budget, ForeignCodeError, RefusedPickleError, Storage, scan_pickle

_PICKLES_BEFORE_CONTENT: Final = 3
_NO_KEYS: Final = pickle.dumps([], protocol=2)
ZIP: Final = b"PK\x03\x04"
_MOST_DIRECTORY: Final = 2**22  # Largest central directory of a zip file in bytes, enough for 40,000 members.
_TAIL: Final = 2**16 + 200  # Bytes at the end of a zip file that contain the records of its directory.
_DAMAGES: Final = (
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def check_model_file(path: Path) -> None:
    """Raise `WeightsError` if a file is not a regular file, or larger than any model."""
    try:
        check_regular(path, MODEL)
    except UnsafeFileError as error:
        raise WeightsError(str(error)) from error


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


def read_pickle(path: Path) -> Any:
    """Read tensors, numbers, strings and containers of them from a file of `torch.save`, on the CPU.

    Raises:
        WeightsError: the file is damaged, contains other objects, or describes more numbers than it contains.
    """
    check_model_file(path)
    with _refusing(path):
        _scan(path)
        return _load(path)


def read_lazily(path: Path) -> tuple[Any, Callable[[Iterable[Tensor]], None]]:
    """Read a file of `torch.save` without the numbers of its tensors.

    Returns:
        The content, and a function that reads the numbers of some of its tensors, which are undefined before. The file
        must stay as it is while they are in use.

    Raises:
        WeightsError: as in `read_pickle`; the function raises it too.
    """
    check_model_file(path)
    with _refusing(path):
        old = _scan(path)
        if old is None:
            return _load(path, mmap=True), lambda tensors: None
        content, storages = _load_skeleton(old)

    def fill(tensors: Iterable[Tensor]) -> None:
        pointers = {tensor.untyped_storage().data_ptr() for tensor in tensors}
        if not pointers <= storages.keys():  # A view of a storage begins at another address; torch < 1.0 saved some.
            pointers = set(storages)
        with _refusing(path), open_regular(path, MODEL) as file:
            for key, storage in (storages[pointer] for pointer in pointers):
                read_storage(file, old.offsets[key], storage)

    return content, fill


def _load(file: Path | IO[bytes], **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns of old pickle protocols, which are harmless.
        return torch.load(file, **{"map_location": "cpu", **options}, weights_only=True)


def _load_skeleton(old: OldCheckpoint) -> tuple[Any, dict[int, tuple[str, UntypedStorage]]]:
    """Load an old checkpoint with storages whose memory is allocated, but not written.

    Returns:
        The content, and the keys and storages by the storages' addresses.
    """
    storages: dict[int, tuple[str, UntypedStorage]] = {}
    keys = iter(old.offsets)

    def keep(storage: UntypedStorage, location: str) -> UntypedStorage:
        storages[storage.data_ptr()] = next(keys), storage  # torch creates storages in the order of the scan.
        return storage

    return _load(io.BytesIO(old.pickles), map_location=keep), storages


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn the errors that damaged and malicious files cause into `WeightsError`."""
    try:
        yield
    except WeightsError:
        raise
    except RefusedPickleError as error:
        raise WeightsError(f"{path} {error}") from error
    except (pickle.UnpicklingError, ForeignCodeError) as error:
        raise WeightsError(
            f"{path} contains objects that could run code; no code of it was run. "
            "Official checkpoints contain tensors and plain values only; download the file from its publisher"
        ) from error
    except _DAMAGES as error:
        raise WeightsError(f"{path} is damaged ({reason_of(error)}); was the download cut short?") from error


def check_zip(path: Path) -> None:
    """Check that an archive was written by torch, and is not much smaller than its content.

    Raises:
        WeightsError: the archive is damaged, from another program, or would unpack to much more than its size.
    """
    try:
        _check_directory(path)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except _DAMAGES as error:
        raise WeightsError(f"{path} is damaged ({reason_of(error)}); was the download cut short?") from error
    names = [member.filename.lower() for member in members]  # torch ignores the case of letters.
    if sum(name.endswith("data.pkl") for name in names) != 1:
        raise WeightsError(f"{path} is a zip archive; unpack it and give the checkpoint inside")
    if len(set(names)) < len(names):
        raise WeightsError(f"{path} is damaged: two of its members have the same name")
    if sum(member.file_size for member in members) > 2 * path.stat().st_size:
        raise WeightsError(f"{path} would unpack to more than twice its size; torch writes no such files")


def _check_directory(path: Path) -> None:
    """Check the length of the central directory before it is read."""
    with open_regular(path, MODEL) as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        tail = file.read()
    end, large = tail.rfind(b"PK\x05\x06"), tail.rfind(b"PK\x06\x06")
    sizes = [struct.unpack_from("<I", tail, end + 12)[0] if end >= 0 else 0]
    if sizes[0] == 2**32 - 1 and large >= 0:
        sizes = [struct.unpack_from("<Q", tail, large + 40)[0]]
    if max(sizes) > _MOST_DIRECTORY:
        raise ValueError(f"its central directory has {max(sizes)} bytes, up to {_MOST_DIRECTORY} were expected")


def _scan(path: Path) -> OldCheckpoint | None:
    """Scan the pickle of a file; return the parts of an old checkpoint, or None for a zip archive."""
    budget = Budget(path.stat().st_size)
    with open_regular(path, MODEL) as file:
        is_zip = file.read(4) == ZIP
        file.seek(0)
        if not is_zip:
            return scan_old(file, budget)
    check_zip(path)
    with zipfile.ZipFile(path) as archive:
        member = next(member for member in archive.infolist() if member.filename.lower().endswith("data.pkl"))
        if member.file_size > MOST_BYTES:
            raise RefusedPickleError(
                f"has a pickle of more than {MOST_BYTES} bytes, without the numbers of its tensors"
            )
        scan_pickle(io.BytesIO(archive.read(member)), budget)
    return None
