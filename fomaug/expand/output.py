"""The output of a job: the names of its files, its folder, which is locked, and its URL on remote storage.

For a URL, a job works in a temporary folder, and moves whole objects to the URL. Objects are written atomically, so the
objects of a job can be read at any time. An archive is written before the rows of its copies, which are an object for
each archive until they are joined.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, TextIO

from fomaug.errors import ArgumentError, MediaError, ResumeError, reason_of
from fomaug.expand.plan import ExpandPlan
from fomaug.files import ANY, is_temporary, replacing
from fomaug.media import EXPAND_SUMMARY
from fomaug.remote import check_url, is_url, list_url, open_any, remove_url, write_url

_fcntl: Any
try:
    import fcntl as _fcntl
except ImportError:  # Windows has no such locks, so a second writer is not detected there
    _fcntl = None

SUMMARY: Final = EXPAND_SUMMARY
MANIFEST: Final = "manifest.jsonl"
REJECTED: Final = "rejected.jsonl"
SOURCES: Final = "sources.jsonl"
POOL_FILE: Final = "driving.safetensors"
CONTACT_SHEET: Final = ".contact_sheet.png"  # hidden, since loaders read every picture as a sample
CARD: Final = "README.md"
PARTS: Final = ".fomaug-parts"
"""Folder of the manifest parts of an unfinished job."""
THUMBNAILS: Final = ".fomaug-thumbnails"
"""Folder of the thumbnails of an unfinished job."""
LOCK: Final = ".fomaug-lock"

# 1: all faces of a picture moved by one draw, and their regions were stored in "faces".
# 2: pictures without a face, copied as they are, were marked and labelled as the animated ones.
# 3: archives of a dataset without splits had no split in their names, tar files held pictures of several formats, and
#    masks were in a separate folder.
MANIFEST_FORMAT: Final = 4


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


_STATE: Final = (SUMMARY, SOURCES, POOL_FILE, MANIFEST, REJECTED, CARD)
_PIECES: Final = re.compile(rf"{re.escape(PARTS)}/[\w-]+\.jsonl|{re.escape(THUMBNAILS)}/[0-9a-f]+-\d+\.png")
_THREADS: Final = 16


@contextmanager
def working_folder(out: str) -> Iterator[tuple[Path, str]]:
    """Yield the folder in which a job works, and the URL that its objects go to.

    Args:
        out: a folder, in which the job works itself; or a URL, whose job is then fetched to a temporary folder.

    Raises:
        ArgumentError: the URL is not one of storage.
        MediaError: the storage cannot be read.
    """
    if not is_url(out):
        yield Path(out), ""
        return
    check_url(out)
    url = out.rstrip("/")
    with TemporaryDirectory(prefix="fomaug-") as folder:
        fetch(url, Path(folder, "out"))
        yield Path(folder, "out"), url


def check_format(plan: ExpandPlan) -> None:
    """Raise an error for a format that is unsuitable for storage.

    Raises:
        ArgumentError: the job writes a file for every copy.
    """
    if plan.out_url and plan.format == "folder":
        raise ArgumentError(
            f"{plan.out_url} is remote storage, which takes archives; give format='webdataset' or 'parquet' (--format)"
        )


def fetch(url: str, folder: Path) -> list[Path]:
    """Copy the state of a job to a folder, without its archives; return the new files.

    Raises:
        MediaError: the storage cannot be read.
    """
    try:
        names = [name for name, _ in list_url(url) if name in _STATE or _PIECES.fullmatch(name)]
        missing = [name for name in names if not (folder / name).exists()]
        with ThreadPoolExecutor(_THREADS) as threads:
            return list(threads.map(lambda name: _fetch(f"{url}/{name}", folder / name), missing))
    except OSError as cause:
        raise MediaError(f"{url} cannot be read: {reason_of(cause)}") from cause


def fetch_file(plan: ExpandPlan, name: str) -> None:
    """Copy a file of the job from its URL, unless it exists."""
    path = Path(plan.out, name)
    if plan.out_url and not path.exists():
        _fetch(f"{plan.out_url}/{name}", path)


def _fetch(url: str, path: Path) -> Path:
    with open_any(url, ANY) as source, replacing(path) as temporary, temporary.open("wb") as target:
        shutil.copyfileobj(source, target)
    return path


def is_prepared(out: Path) -> bool:
    """Return whether an output folder holds a job."""
    return (out / SUMMARY).exists()


def holds_objects(plan: ExpandPlan) -> bool:
    """Return whether the URL of a job has objects."""
    return bool(plan.out_url) and bool(list_url(plan.out_url))


def push(plan: ExpandPlan, *names: str) -> None:
    """Write existing files to the URL of a job, if it has one."""
    if not plan.out_url:
        return
    for name in names:
        path = Path(plan.out, name)
        if path.exists():
            write_url(f"{plan.out_url}/{name}", path)


def push_archive(plan: ExpandPlan, name: str) -> None:
    """Move a finished archive to the URL of a job, if it has one."""
    if plan.out_url:
        push(plan, name)
        Path(plan.out, name).unlink()


def remove_pieces(plan: ExpandPlan) -> None:
    """Remove the rows of single archives and the thumbnails at the URL of a job, once they are joined."""
    if not plan.out_url:
        return
    names = [name for name, _ in list_url(plan.out_url) if _PIECES.fullmatch(name)]
    with ThreadPoolExecutor(_THREADS) as threads:
        list(threads.map(lambda name: remove_url(f"{plan.out_url}/{name}"), names))
