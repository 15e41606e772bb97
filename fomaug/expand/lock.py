"""One writer to a folder at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TextIO

from fomaug.errors import MediaError, ResumeError

LOCK: Final = ".fomaug-lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep a folder to this process for the time of the block; the lock dies with the process.

    Raises:
        ResumeError: another process has it.
        MediaError: it cannot be made, or not written to.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such locks; two writers there are on their own
        yield
        return
    path = folder / LOCK
    with _open(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            raise ResumeError(f"another process is writing to {folder}; wait for it, or give another folder") from cause
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _open(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without O_NONBLOCK, a pipe of that name would be waited for.
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o666), "w")
    except OSError as cause:
        raise MediaError(f"cannot write to {path.parent}: {cause.strerror or cause}; give another folder") from cause
