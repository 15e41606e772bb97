"""Pickles, read without running anything that is in them.

This is the one file that calls `torch.load`, and only with `weights_only=True`, after a look through the pickle.
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
from fomaug.weights.pickle_scan import MOST_BYTES, Budget, ForeignCodeError, RefusedPickleError, scan_pickle
from fomaug.weights.places import check_model_file

ZIP: Final = b"PK\x03\x04"
_PICKLES: Final = 5  # of an old checkpoint: two numbers of the format, the machine, the content, the storages' names
_MOST_DIRECTORY: Final = 2**22  # bytes of a zip file's list of members, some 40,000 of them
_TAIL: Final = 2**16 + 200  # bytes at the end of a zip file that say where the list is
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


def read_pickle(path: Path) -> Any:
    """Read a file that `torch.save` wrote: tensors, numbers, strings and containers of them, on the CPU.

    Raises:
        WeightsError: if it is damaged, holds anything else, or describes more than it holds.
    """
    check_model_file(path)
    try:
        _scan(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of pickle protocols; what matters is whether it loads
            return torch.load(path, map_location="cpu", weights_only=True)
    except RefusedPickleError as error:
        raise WeightsError(f"{path} {error}") from error
    except (pickle.UnpicklingError, ForeignCodeError) as error:
        raise WeightsError(
            f"{path} holds more than tensors and plain values, which could run code; nothing of it was run. "
            "Official checkpoints hold none: get the file from its publisher"
        ) from error
    except _DAMAGES as error:
        raise WeightsError(f"{path} is damaged ({reason_of(error)}); was the download cut short?") from error


def check_zip(path: Path) -> None:
    """Refuse archives that torch did not write, and such as would unpack to more than they are.

    Raises:
        WeightsError: says which of both.
    """
    try:
        _check_directory(path)
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except _DAMAGES as error:
        raise WeightsError(f"{path} is damaged ({reason_of(error)}); was the download cut short?") from error
    names = [member.filename.lower() for member in members]  # torch does not tell cases apart
    if sum(name.endswith("data.pkl") for name in names) != 1:
        raise WeightsError(f"{path} is a zip archive; unpack it and give the checkpoint inside")
    if len(set(names)) < len(names):
        raise WeightsError(f"{path} is damaged: it holds two members of one name")
    if sum(member.file_size for member in members) > 2 * path.stat().st_size:
        raise WeightsError(f"{path} would unpack to much more than it is; torch writes no such files")


def _check_directory(path: Path) -> None:
    """Look at the length of the list of members before it is read."""
    with open_regular(path, MODEL) as file:
        file.seek(max(0, path.stat().st_size - _TAIL))
        tail = file.read()
    end, large = tail.rfind(b"PK\x05\x06"), tail.rfind(b"PK\x06\x06")
    sizes = [struct.unpack_from("<I", tail, end + 12)[0] if end >= 0 else 0]
    if sizes[0] == 2**32 - 1 and large >= 0:
        sizes = [struct.unpack_from("<Q", tail, large + 40)[0]]
    if max(sizes) > _MOST_DIRECTORY:
        raise ValueError(f"its list of members takes {max(sizes)} bytes")


def _scan(path: Path) -> None:
    budget = Budget(path.stat().st_size)
    with open_regular(path, MODEL) as file:
        is_zip = file.read(4) == ZIP
        file.seek(0)
        if not is_zip:
            capped = cast("IO[bytes]", _Capped(file))
            for _ in range(_PICKLES):
                scan_pickle(capped, budget)
            return
    check_zip(path)
    with zipfile.ZipFile(path) as archive:
        member = next(member for member in archive.infolist() if member.filename.lower().endswith("data.pkl"))
        if member.file_size > MOST_BYTES:
            raise RefusedPickleError(f"describes its tensors in more than {MOST_BYTES} bytes")
        scan_pickle(io.BytesIO(archive.read(member)), budget)


class _Capped:
    """A file that ends after `MOST_BYTES`, so that no length that a pickle states makes it read more.

    Args:
        file: at its beginning.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def tell(self) -> int:
        """Say how much is read."""
        return self.file.tell()

    def read(self, size: int = -1) -> bytes:
        """Read some bytes."""
        left = max(0, MOST_BYTES - self.file.tell())
        return self.file.read(left if size < 0 else min(size, left))

    def readline(self, size: int = -1) -> bytes:
        """Read a line, of a name or a number."""
        return self.file.readline(min(4096, max(0, MOST_BYTES - self.file.tell())))
