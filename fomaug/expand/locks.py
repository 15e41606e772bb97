"""Locks of an output folder and its manifest parts, and removal of the files that killed processes left."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

from fomaug.errors import MediaError, ResumeError
from fomaug.files import is_temporary

_fcntl: Any
try:
    import fcntl as _fcntl
except ImportError:  # Windows has no such locks, so a second writer is not detected there
    _fcntl = None

LOCK: Final = ".fomaug-lock"

_PATIENCE: Final = 10.0  # seconds in which a worker of a killed job must end
_PAUSE: Final = 0.05
_WITHOUT: Final = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EINVAL)  # file systems without locks


@contextmanager
def locked(folder: Path, *, shared: bool = False, patient: bool = False) -> Iterator[None]:
    """Lock a folder for this process during the block.

    Args:
        folder: folder, which is made if it does not exist.
        shared: whether other processes may also lock the folder as shared.
        patient: whether to wait for other processes.

    Raises:
        ResumeError: another process has locked the folder.
        MediaError: the folder cannot be made or written to.
    """
    if _fcntl is None:
        yield
        return
    path = folder / LOCK
    with _open_locked(path, folder, shared=shared, patient=patient):
        try:
            yield
        finally:
            if not shared:
                path.unlink(missing_ok=True)


def _open_locked(path: Path, folder: Path, *, shared: bool, patient: bool) -> TextIO:
    while True:
        file = _open_lock(path)
        if not lock_file(file, shared=shared, patient=patient):
            file.close()
            raise ResumeError(f"another process is writing to {folder}; wait for it, or give another folder")
        if _is_same(file, path):
            return file
        file.close()  # the previous owner of the lock has removed the file


def _is_same(file: TextIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def lock_file(file: TextIO, *, shared: bool = False, patient: bool = False) -> bool:
    """Lock an open file, and return whether it is locked; True if the file system has no locks."""
    if _fcntl is None:
        return True
    try:
        _fcntl.flock(file, (_fcntl.LOCK_SH if shared else _fcntl.LOCK_EX) | (0 if patient else _fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _WITHOUT:
            raise
    return True


def wait_for_workers(parts: Iterable[Path]) -> None:
    """Wait until no worker of an earlier run writes to its manifest part.

    The workers of a killed job end by themselves, but not at the same moment.

    Args:
        parts: manifest parts of the job.

    Raises:
        ResumeError: a worker is still there after ten seconds.
    """
    deadline = time.monotonic() + _PATIENCE
    for path in parts:
        while not _is_free(path):
            if time.monotonic() > deadline:
                raise ResumeError(f"a worker of an earlier run still writes to {path}; end it, and resume")
            time.sleep(_PAUSE)


def _is_free(path: Path) -> bool:
    with open_part(path) as file:
        return lock_file(file)


def open_part(path: Path) -> TextIO:
    """Open a manifest part, which is made if it does not exist, to lock it."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NONBLOCK", 0), 0o666), "a")


def _open_lock(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without O_NONBLOCK, opening a pipe of that name would block.
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o666), "w")
    except OSError as cause:
        raise MediaError(f"cannot write to {path.parent}: {cause.strerror or cause}; give another folder") from cause


def remove_temporary(out: Path, kept: Collection[Path] = ()) -> None:
    """Remove the unfinished files of killed processes, except some; no other process may be writing."""
    for folder, _, names in os.walk(out):
        for name in names:
            if name.startswith(".") and is_temporary(Path(name)) and Path(folder, name) not in kept:
                Path(folder, name).unlink()
