"""Write files atomically, and read only regular files of limited size.

Files may come from unknown sources. Reading from a pipe or a device in place of a picture would never end, and a sparse
file of a few bytes can have a size above all memory. So every file from outside is opened here: it must be a regular
file, or a link to one, and not larger than the limit for its kind.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, TextIO

from fomaug.errors import FomaugError, UnsafeFileError, reason_of

_TEMPORARY = ".fomaug-tmp"


class Kind(NamedTuple):
    """A kind of file.

    Attributes:
        name: name of the kind, with its article.
        most: largest size of a file of this kind, in bytes.
    """

    name: str
    most: int


_MB: Final = 1 << 20
_GB: Final = 1 << 30

PICTURE: Final = Kind("a picture", _GB)
CLIP: Final = Kind("a clip", 16 * _GB)
LABELS: Final = Kind("an annotation file", 2 * _GB)
POINTS: Final = Kind("a file of landmarks", 16 * _MB)
TABLE: Final = Kind("a list", 256 * _MB)
CONFIG: Final = Kind("a configuration", 1 << 16)
MODEL: Final = Kind("a model", 16 * _GB)
POOL: Final = Kind("a driving pool", 2 * _GB)
SUMMARY: Final = Kind("a summary", 256 * _MB)
MANIFEST: Final = Kind("a manifest", 19 * _GB)
ARCHIVE: Final = Kind("an archive of samples", 1024 * _GB)
ARRAYS: Final = Kind("a file of arrays", 1024 * _GB)
PACKET: Final = Kind("an XMP packet", _MB)
ANY: Final = Kind("a file to read", 1 << 62)
"""The kinds of files that are read; a larger file is a mistake or an attack."""

_OTHERS: Final = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_regular(path: Path, kind: Kind) -> BinaryIO:
    """Open a file from outside to read its bytes.

    Args:
        path: path of a regular file, or of a link to one.
        kind: kind of the file, which limits its size.

    Raises:
        UnsafeFileError: it is not a regular file, or larger than the limit of its kind; or no file can have this name.
        OSError: it cannot be opened.
    """
    try:
        status = path.stat()
    except ValueError as error:  # the name has a null character, or a character that the system cannot encode
        raise UnsafeFileError(errno.EINVAL, "no file can have this name", ascii(os.fspath(path))) from error
    _check(path, status, kind)  # also before the file is opened: opening a device can have effects
    descriptor = os.open(path, _FLAGS)
    try:
        _check(path, os.fstat(descriptor), kind)
        return _Reader(io.FileIO(descriptor, "rb"))
    except BaseException:
        os.close(descriptor)
        raise


class _Reader(io.BufferedReader):
    """A reader that allocates memory only for the rest of the file, whatever length a header in it states."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MB:
            size = min(size, max(0, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)


def check_regular(path: Path, kind: Kind) -> None:
    """Raise the errors of `open_regular`, for libraries that open a file by its path."""
    open_regular(path, kind).close()


def read_regular(path: Path, kind: Kind) -> bytes:
    """Read all bytes of a file from outside, see `open_regular`."""
    with open_regular(path, kind) as file:
        return file.read(os.fstat(file.fileno()).st_size)  # at most the checked size, even if the file grows


def open_text(
    path: Path, kind: Kind, *, encoding: str = "utf-8", errors: str = "strict", newline: str | None = None
) -> TextIO:
    """Open a file from outside as text, see `open_regular`; `errors` is that of Python's `open`."""
    return io.TextIOWrapper(open_regular(path, kind), encoding=encoding, errors=errors, newline=newline)


def read_text(path: Path, kind: Kind, *, encoding: str = "utf-8", errors: str = "strict") -> str:
    """Read all text of a file from outside, see `open_text`."""
    with open_text(path, kind, encoding=encoding, errors=errors) as file:
        return file.read()


def sha256_of(path: Path, kind: Kind) -> str:
    """Hash a file from outside block by block, see `open_regular`."""
    digest = hashlib.sha256()
    with open_regular(path, kind) as file:
        while block := file.read(_MB):
            digest.update(block)
    return digest.hexdigest()


def _check(path: Path, status: os.stat_result, kind: Kind) -> None:
    mode, size = status.st_mode, status.st_size
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(mode):
        found = next((name for fits, name in _OTHERS if fits(mode)), "something else")
        reason = f"it is {found}; {kind.name} must be a regular file"
        raise UnsafeFileError(errno.EINVAL, reason, os.fspath(path))
    if size > kind.most:
        reason = f"it has {size:,} bytes, more than the {kind.most:,} that {kind.name} may have"
        raise UnsafeFileError(errno.EFBIG, reason, os.fspath(path))


def exists(path: Path, *, unclear: type[FomaugError] | None = None) -> bool:
    """Return whether a file or folder exists.

    Args:
        path: path of a file or folder.
        unclear: class of the error for a path that cannot be checked, because its name is too long or a folder has no
            permission; None for the answer False.
    """
    try:
        return path.exists()
    except OSError as error:
        if unclear is None:
            return False
        raise unclear(f"{path} cannot be read ({reason_of(error)})") from error


def is_temporary(path: Path) -> bool:
    """Return whether a file is left over from the unfinished write of a killed process."""
    return path.name.startswith(".") and path.name.endswith(_TEMPORARY)


def is_safetensors(path: Path) -> bool:
    """Return whether a file starts with the length of a header that fits into the file and starts with a brace."""
    with open_regular(path, ANY) as file:
        head = file.read(9)
        size = os.fstat(file.fileno()).st_size
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") <= size - 8


def temporary_of(path: Path) -> Path:
    """Return the temporary path of a file that is being written, see `replacing`."""
    # The name has a fixed length, because the final name may have the maximal length, and it is always the same for a
    # path, so that the next write replaces what a killed process left.
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    return path.with_name(f".{name}{_TEMPORARY}")


@contextmanager
def replacing(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside the final one; the file is renamed to the final path if the block raises no error.

    Args:
        path: final path; its folder is created.
        durable: whether to wait until the file and its name are on the disk, so that they survive a power cut.

    Raises:
        OSError: the file cannot be written; the message has the final path.
    """
    if not path.parent.is_dir():  # the folder mostly exists, and mkdir would raise and catch an error then
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_of(path)
    try:
        yield temporary
        if durable:
            with temporary.open("r+b") as file:
                _flush(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105 - replaces on every system, and atomically on POSIX
        if durable:
            flush_folder(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and os.fspath(error.filename or "") == os.fspath(temporary):
            # Report the caller's path, not the temporary one.
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
        raise


def write_file(path: Path, content: bytes, *, durable: bool = False) -> None:
    """Write a file completely or not at all.

    Args:
        path: path of the file; its folder is created.
        content: bytes of the file.
        durable: whether to wait until the file is on the disk, so that it survives a power cut.
    """
    with replacing(path) as temporary, temporary.open("wb", buffering=0) as file:
        _write_all(file, content)
        if durable:
            _flush(file.fileno())


def _write_all(file: io.RawIOBase, content: bytes) -> None:
    """Write to an unbuffered file, which may take a part of the content at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def link_relative(path: Path, target: Path) -> None:
    """Link a file relative to the link's own folder, so that both can be moved together; an equal link stays.

    Raises:
        FileNotFoundError: there is no target.
        OSError: the file system has no links.
    """
    relative = os.path.relpath(target.resolve(strict=True), path.parent.resolve())
    if path.is_symlink() and os.readlink(path) == relative:  # noqa: PTH115 - as text
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(relative)


def append_line(path: Path, lines: str, *, durable: bool = False) -> None:
    """Append whole lines in one write; at most the last line can be incomplete for a reader."""
    assert lines.endswith("\n")
    with path.open("ab", buffering=0) as file:
        _write_all(file, lines.encode())
        if durable:
            _flush(file.fileno())


def flush_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk; no effect if the system cannot flush folders."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _flush(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # some network file systems do not support it
            raise
    finally:
        os.close(descriptor)


def _flush(descriptor: int) -> None:
    os.fsync(descriptor)
