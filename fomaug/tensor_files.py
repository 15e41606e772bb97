"""Open safetensors files from outside once, check them, and read them through the open file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError, safe_open

from fomaug.files import Kind, open_regular


@contextmanager
def open_tensors(path: Path, kind: Kind, *, most_header: int) -> Iterator[Any]:
    """Open a safetensors file; only its header is read.

    Args:
        path: path of the file.
        kind: kind of the file, which limits its size.
        most_header: largest length of the header in bytes, which is checked before the header is parsed.

    Yields:
        The file of the library safetensors, whose tensors are on the CPU.

    Raises:
        UnsafeFileError: the file is not regular, or larger than the limit of its kind.
        OSError: the file cannot be opened.
        SafetensorError: the file is not an intact safetensors file.
    """
    with open_regular(path, kind) as file:
        length = int.from_bytes(file.read(8), "little")
        most = min(most_header, os.fstat(file.fileno()).st_size - 8)
        if not 2 <= length <= most:
            raise SafetensorError(f"its header has {length} bytes, 2 to {max(most, 2)} were expected")
        with safe_open(_name_of(file, path), framework="pt") as tensors:
            yield tensors


def _name_of(file: BinaryIO, path: Path) -> Path:
    """Return a name of an open file that remains valid if another file gets the path.

    The library safetensors opens only paths. Linux and macOS have paths of open files; Windows does not allow another
    file at the path of an open one.
    """
    name = Path(f"/dev/fd/{file.fileno()}")
    try:
        return name if os.path.samestat(name.stat(), os.fstat(file.fileno())) else path
    except OSError:
        return path
