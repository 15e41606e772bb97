"""Pickles are read without running their code.

No other module calls `torch.load`. It is called with `weights_only=True` only, after the pickle has been scanned.
"""

from __future__ import annotations

import io
import pickle
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any, Final, cast

import torch

from fomaug.errors import WeightsError, reason_of
from fomaug.files import MODEL, open_regular
from fomaug.weights.paths import check_model_file
from fomaug.weights.pickle_scan import MOST_BYTES, Budget, ForeignCodeError, RefusedPickleError, scan_pickle

ZIP: Final = b"PK\x03\x04"
_PICKLES: Final = 5  # Pickles of an old checkpoint: magic number, version, machine, content, names of the storages.
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


def read_pickle(path: Path, *, mapped: bool = False) -> Any:
    """Read tensors, numbers, strings and containers of them from a file of `torch.save`, on the CPU.

    Args:
        path: path of the file.
        mapped: whether tensors of a zip file are mapped into memory, so that only those that are used are read; the
            file must stay as it is while they are in use.

    Raises:
        WeightsError: the file is damaged, contains other objects, or describes more numbers than it contains.
    """
    check_model_file(path)
    try:
        is_zip = _scan(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch warns of old pickle protocols, which are harmless.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped and is_zip)
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


def _scan(path: Path) -> bool:
    """Scan the pickle of a file, and return whether the file is a zip archive."""
    budget = Budget(path.stat().st_size)
    with open_regular(path, MODEL) as file:
        is_zip = file.read(4) == ZIP
        file.seek(0)
        if not is_zip:
            capped = cast("IO[bytes]", _Capped(file))
            for _ in range(_PICKLES):
                scan_pickle(capped, budget)
            return False
    check_zip(path)
    with zipfile.ZipFile(path) as archive:
        member = next(member for member in archive.infolist() if member.filename.lower().endswith("data.pkl"))
        if member.file_size > MOST_BYTES:
            raise RefusedPickleError(
                f"has a pickle of more than {MOST_BYTES} bytes, without the numbers of its tensors"
            )
        scan_pickle(io.BytesIO(archive.read(member)), budget)
    return True


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
