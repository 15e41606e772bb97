"""Choose the reader of an input by its path or URL: a list, archives, or a folder on remote storage."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from fomaug.errors import ArgumentError, reason_of
from fomaug.expand.inputs.lists import SUFFIXES as LISTS
from fomaug.expand.inputs.lists import columns_of, list_rows
from fomaug.expand.inputs.names import Found, Listed, check_listed, is_hidden, named_by_folders, safe_key
from fomaug.expand.inputs.parquet import list_tables
from fomaug.expand.inputs.tar import list_tars
from fomaug.expand.readers import FileReader
from fomaug.expand.sources import SourceFile
from fomaug.labels import CSV_FILES, JSON_FILES
from fomaug.media import EXPAND_SUMMARY, read_suffixes, unread_suffixes
from fomaug.remote import check_url, is_url, list_url

ARCHIVES: Final = {".tar": list_tars, ".parquet": list_tables}
"""Suffixes of archives, and the functions that list the pictures in files of that kind."""
_SUFFIXES: Final = (*read_suffixes, *unread_suffixes)
_RANGE: Final = re.compile(r"\{(\d+)\.\.(\d+)\}")
_MOST_ARCHIVES: Final = 1_000_000


def list_input(dataset: str) -> Listed | None:
    """List the pictures of an input; None for a folder on this machine, and for a path of another kind.

    Args:
        dataset: path or URL of a list, of an archive, of a folder, or a pattern of archives, such as
            `faces-{000..099}.tar` or `data/*.parquet`.

    Raises:
        ArgumentError: the input cannot be read.
    """
    suffix = Path(dataset).suffix.lower()
    if is_url(dataset):
        check_url(dataset)
    elif Path(dataset).is_dir():
        return None
    if suffix in LISTS:
        return list_rows(dataset)
    if suffix in ARCHIVES:
        return ARCHIVES[suffix](_match(dataset))
    return _list_remote(dataset) if is_url(dataset) else None


def has_annotations(dataset: str) -> bool:
    """Return whether an input is a list of this machine with landmarks or boxes in its columns."""
    suffix = Path(dataset).suffix.lower()
    if is_url(dataset) or suffix not in LISTS or not Path(dataset).is_file():
        return False
    columns = set(columns_of(dataset))
    if suffix == ".csv":
        return {"x0", "y0"} <= columns and bool(columns & set(CSV_FILES))
    return bool(columns & {"points", "objects"}) and bool(columns & set(JSON_FILES))


def pictures_root(dataset: str) -> Path:
    """Return the folder that names of pictures are relative to: the dataset, or the folder of a list or an archive."""
    path = Path(dataset)
    return path.parent if not is_url(dataset) and path.suffix.lower() in (*LISTS, *ARCHIVES) else path


def list_archives_below(folder: str) -> Listed | None:
    """List the pictures of the archives in a folder without picture files; None if there are no archives."""
    names = sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())
    return _list_archives([name for name in names if not is_hidden(name)], folder)


def _list_archives(names: list[str], folder: str) -> Listed | None:
    for suffix, list_archives in ARCHIVES.items():
        archives = [f"{folder.rstrip('/')}/{name}" for name in names if name.lower().endswith(suffix)]
        if archives:
            return list_archives(archives)
    return None


def _list_remote(url: str) -> Listed:
    """List the pictures in a folder on remote storage, or those of the archives in it."""
    try:
        objects = [(name, size) for name, size in list_url(url) if name and not is_hidden(name)]
    except OSError as cause:
        raise ArgumentError(f"dataset {url} cannot be read: {reason_of(cause)}") from cause
    expanded = {name.rpartition("/")[0] for name, _ in objects if name.endswith(f"/{EXPAND_SUMMARY}")}
    pictures = [item for item in objects if item[0].lower().endswith(_SUFFIXES) and not _is_below(item[0], expanded)]
    if not pictures:
        archives = _list_archives([name for name, _ in objects], url)
        if archives is None:
            raise ArgumentError(f"dataset {url} holds no picture; known suffixes: {', '.join(read_suffixes)}")
        return archives
    top = url.rstrip("/")
    keys = [safe_key(name) for name, _ in pictures]
    named = zip(keys, named_by_folders(keys), pictures, strict=True)
    sources = [
        SourceFile(Path(), key, label, split, size, FileReader(f"{top}/{name}"))
        for key, (label, split), (name, size) in named
    ]
    return check_listed(map(Found, sources))


def _is_below(name: str, folders: set[str]) -> bool:
    return any(name.startswith(f"{folder}/") for folder in folders)


def _match(pattern: str) -> list[str]:
    """List the files that fit a pattern with a numeric range in braces, or with `*` and `?` in its last part."""
    found = list(_expand_range(pattern))
    if len(found) > 1 or not re.search(r"[*?]", pattern.rpartition("/")[2]):
        return found
    folder, _, wanted = pattern.rpartition("/")
    try:
        names = [name for name, _ in list_url(folder)] if is_url(pattern) else _names_in(Path(folder or "."))
    except OSError as cause:
        raise ArgumentError(f"{folder} cannot be read: {reason_of(cause)}") from cause
    fitting = sorted(name for name in names if "/" not in name and fnmatchcase(name, wanted))
    if not fitting:
        raise ArgumentError(f"no file fits {pattern}")
    return [f"{folder}/{name}" if folder else name for name in fitting]


def _names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")]


def _expand_range(pattern: str) -> Iterator[str]:
    match = _RANGE.search(pattern)
    if match is None:
        yield pattern
        return
    first, last = int(match[1]), int(match[2])
    if not 0 <= last - first < _MOST_ARCHIVES:
        raise ArgumentError(f"{match[0]} in {pattern} is not a range of numbers from low to high")
    for number in range(first, last + 1):
        name = f"{number:0{len(match[1])}d}"
        yield from _expand_range(f"{pattern[: match.start()]}{name}{pattern[match.end() :]}")
