"""Dataset folders: their pictures by key, the expanded datasets inside them, and the digest of names and sizes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from fomaug.errors import FomaugError, ResumeError
from fomaug.files import SUMMARY, read_regular
from fomaug.untrusted import load_json

EXPAND_SUMMARY: Final = "expand.json"
"""Name of the summary in an expanded dataset."""


class FolderKeys(NamedTuple):
    """The picture files of a dataset folder.

    Attributes:
        keys: sorted paths below the folder, with slashes on every system.
        expanded: sorted folders that were left out because `fomaug expand` wrote them.
    """

    keys: list[str]
    expanded: list[str]


def list_pictures(folder: Path, suffixes: Collection[str], *, avoided: Collection[Path] = ()) -> FolderKeys:
    """List the pictures below a folder.

    Hidden files and folders and expanded datasets inside the folder are left out. Links to folders are not followed.

    Args:
        folder: dataset folder.
        suffixes: suffixes of pictures, in lower case.
        avoided: resolved paths of folders to leave out.
    """
    expanded: list[str] = []
    keys = sorted(_keys(folder, suffixes, avoided, expanded))
    return FolderKeys(keys, sorted(expanded))


def is_expanded(folder: Path) -> bool:
    """Return whether a folder has a summary of fomaug; other programs may use the same file name."""
    path = folder / EXPAND_SUMMARY
    try:
        summary = load_json(read_regular(path, SUMMARY), path, ResumeError)
    except (FomaugError, OSError):
        return False
    return isinstance(summary, dict) and "fomaug" in summary


def file_size(path: Path) -> int:
    """Return the size of a file in bytes; 0 for a broken link, which causes an error later, when it is loaded."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def digest_sizes(sizes: Iterable[tuple[str, int]]) -> str:
    """Return the sha256 of keys and sizes in bytes, to detect changes of a dataset."""
    digest = hashlib.sha256()
    for key, num_bytes in sizes:
        digest.update(f"{key}\0{num_bytes}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _keys(dataset: Path, suffixes: Collection[str], avoided: Collection[Path], expanded: list[str]) -> Iterator[str]:
    """Yield the keys of all pictures; append the names of expanded datasets, which are not entered."""
    for folder, folders, files in os.walk(dataset):
        here = Path(folder)
        if here != dataset and is_expanded(here):
            expanded.append(here.relative_to(dataset).as_posix())
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".") and (here / name).resolve() not in avoided]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                yield (here / name).relative_to(dataset).as_posix()
