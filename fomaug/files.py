"""Files: written whole or not at all, whenever the process dies; and known by what they hold."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TEMPORARY = ".fomaug-tmp"


def is_temporary(path: Path) -> bool:
    """Say whether a file is what a killed process left of an unfinished write."""
    return path.name.startswith(".") and path.name.endswith(_TEMPORARY)


def is_safetensors(path: Path) -> bool:
    """Whether a file begins with the length of a header that begins with a brace and fits into the file."""
    with path.open("rb") as file:
        head = file.read(9)
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size - 8


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside the final one; it takes the final name if the block ends well.

    Raises:
        OSError: it cannot be written; the final path is named.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Of a fixed length, for a name may be as long as the file system allows; and the same each time, so that what a
    # killed process left is written over.
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    temporary = path.with_name(f".{name}{_TEMPORARY}")
    try:
        yield temporary
        os.replace(temporary, path)  # noqa: PTH105 - replaces on every system, and atomically on POSIX
    except OSError as error:
        if error.filename is not None and os.fspath(error.filename) == os.fspath(temporary):
            # Nobody has heard of the temporary file; the caller asked for this one.
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_file(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write a file whole or not at all.

    Args:
        path: of the file; its folder is made.
        content: all of its bytes.
        durable: also survive a power cut, at the price of waiting for the disk.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        if durable:
            _flush(file.fileno())


def append_line(path: Path, lines: str, *, durable: bool = False) -> None:
    """Append whole lines in one write; a reader may find at most the last one torn."""
    assert lines.endswith("\n")
    with path.open("ab", buffering=0) as file:
        content = memoryview(lines.encode())
        while content:
            content = content[file.write(content) :]
        if durable:
            _flush(file.fileno())


def _flush(descriptor: int) -> None:
    os.fsync(descriptor)
