"""Output on remote storage: a job works in a temporary folder, and moves whole objects to its URL.

Objects are written atomically, so the objects of a job can be read at any time. An archive is written
before the rows of its copies, which are an object for each archive until they are joined.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from fomaug.errors import ArgumentError, MediaError, reason_of
from fomaug.expand.manifest import CARD, MANIFEST, PARTS, POOL_FILE, REJECTED, SOURCES, SUMMARY, THUMBNAILS
from fomaug.expand.plan import ExpandPlan
from fomaug.files import ANY, replacing
from fomaug.remote import check_url, is_url, list_url, open_any, remove_url, write_url

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
