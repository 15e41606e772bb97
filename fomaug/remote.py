"""Read and write objects of remote storage by URL, through fsspec; nothing is read from the web.

Only URLs with a scheme of storage are accepted. Addresses of the web (`http`, `ftp`) and chains of several file
systems, which would open archives and caches, are errors.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

from fomaug.errors import ArgumentError, FomaugError, UnsafeFileError, reason_of
from fomaug.files import Kind, open_regular
from fomaug.imports import require

SCHEMES: Final = ("abfs", "abfss", "az", "gcs", "gs", "hdfs", "hf", "memory", "s3", "s3a")
"""Schemes of the URLs that are read and written."""

_LOCAL: Final = ("file", "local")
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://(.*)", re.DOTALL)


def is_url(name: str) -> bool:
    """Return whether a name is a URL rather than a path; the URL of a local file counts as a path, see `local_name`.

    >>> is_url("s3://bucket/faces"), is_url("faces/anna"), is_url("file:///faces"), is_url("C:/faces")
    (True, False, False, False)
    """
    match = _URL.fullmatch(name)
    return match is not None and match[1].lower() not in _LOCAL


def local_name(name: str) -> str:
    """Return the path of a URL like `file:///faces`, and any other name unchanged.

    >>> local_name("file:///data/faces"), local_name("s3://bucket/faces")
    ('/data/faces', 's3://bucket/faces')
    """
    match = _URL.fullmatch(name)
    return match[2] if match is not None and match[1].lower() in _LOCAL else name


def check_url(url: str) -> None:
    """Check that a URL has a scheme of storage.

    Raises:
        ArgumentError: the URL is an address of the web, a chain of URLs, or has an unknown scheme.
    """
    match = _URL.fullmatch(url)
    assert match is not None
    if match[1].lower() not in SCHEMES or "::" in url:
        raise ArgumentError(
            f"{url} cannot be read: URLs of storage begin with one of {', '.join(SCHEMES)}, and nothing is downloaded "
            "from the web; download it and give the path"
        )


def open_any(name: str, kind: Kind) -> BinaryIO:
    """Open a file by its path or URL to read its bytes at any position.

    Raises:
        UnsafeFileError: it is not a regular file, or larger than the limit of its kind.
        OSError: it cannot be opened.
    """
    if not is_url(name):
        return open_regular(Path(name), kind)
    with _explained(name) as (storage, path):
        _check_size(name, int(storage.size(path) or 0), kind)
        file: BinaryIO = storage.open(path, "rb")
    return file


def read_any(name: str, kind: Kind, start: int = 0, size: int | None = None) -> bytes:
    """Read all or some bytes of a file by its path or URL.

    Args:
        name: path or URL.
        kind: kind of the file, which limits its size.
        start: position of the first byte.
        size: number of bytes; None for all.

    Raises:
        UnsafeFileError: it is not a regular file, or larger than the limit of its kind.
        OSError: the file cannot be read, or is too short.
    """
    most = kind.most if size is None else size
    if is_url(name):
        with _explained(name) as (storage, path):
            content: bytes = storage.cat_file(path, start=start, end=start + most + (size is None))
    else:
        with open_regular(Path(name), kind) as file:
            file.seek(start)
            content = file.read(most)
    if size is None:
        _check_size(name, len(content), kind)
    elif len(content) < size:
        raise OSError(errno.EIO, f"it ends before byte {start + size:,}", name)
    return content


def size_of(name: str) -> int:
    """Return the size of an object by its URL in bytes; -1 if there is none.

    Raises:
        OSError: the storage cannot be reached.
    """
    try:
        with _explained(name) as (storage, path):
            storage.invalidate_cache()
            return int(storage.info(path)["size"] or 0)
    except FileNotFoundError:
        return -1


def list_url(url: str) -> list[tuple[str, int]]:
    """List the objects below a URL by their paths below it, sorted, with their sizes.

    Raises:
        OSError: the storage cannot be read.
    """
    with _explained(url) as (storage, path):
        storage.invalidate_cache()
        found = storage.find(path, detail=True)
    top = path.rstrip("/") + "/"
    named = ((name, int(info.get("size") or 0)) for name, info in found.items())
    return sorted((name[len(top) :], size) for name, size in named if name.startswith(top))


def write_url(url: str, content: bytes | Path) -> None:
    """Write an object atomically, from bytes or from a local file.

    Raises:
        OSError: the object cannot be written.
    """
    with _explained(url) as (storage, path):
        if isinstance(content, bytes):
            storage.pipe_file(path, content)
        else:
            storage.put_file(str(content), path)


def remove_url(url: str) -> None:
    """Remove an object; without effect if there is none.

    Raises:
        OSError: the object cannot be removed.
    """
    try:
        with _explained(url) as (storage, path):
            storage.rm_file(path)
    except FileNotFoundError:
        return


def _check_size(name: str, size: int, kind: Kind) -> None:
    if size > kind.most:
        reason = f"it has {size:,} bytes, more than the {kind.most:,} that {kind.name} may have"
        raise UnsafeFileError(errno.EFBIG, reason, name)


@contextmanager
def _explained(url: str) -> Iterator[tuple[Any, str]]:
    """Yield the file system of a URL and the path in it, and re-raise the errors of storage as `OSError`."""
    check_url(url)
    fsspec: Any = require("fsspec", "remote")
    try:
        yield fsspec.url_to_fs(url)
    except (FomaugError, OSError):
        raise
    except ImportError as cause:
        raise ArgumentError(f"{url} cannot be read: {cause}") from cause
    except Exception as cause:  # each storage has its own error classes
        raise OSError(errno.EIO, f"{type(cause).__name__}: {reason_of(cause)}", url) from cause
