"""Lists of pictures: CSV files and JSON-lines files with a row for each picture.

The column with the path is `file`, `file_name` or `path`; a path is relative to the list, absolute, or a URL. The
columns `label` and `split` may be there as well. Rows with the same path describe several faces of one picture.

The metadata of Hugging Face image folders are such lists, too: `metadata.csv` or `metadata.jsonl`, with a column
`file_name`.
"""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple, TextIO

from fomaug.errors import ArgumentError, FomaugError, LabelError, MediaError, reason_of
from fomaug.expand.inputs.names import Found, Listed, can_name_a_file, check_listed, safe_key
from fomaug.expand.inputs.tar import label_text
from fomaug.expand.readers import FileReader
from fomaug.expand.report import Failure
from fomaug.expand.sources import SPLITS, SourceFile
from fomaug.files import LABELS
from fomaug.labels import CSV_FILES, JSON_FILES
from fomaug.media import file_size
from fomaug.remote import check_url, is_url, local_name, open_any
from fomaug.untrusted import load_json

SUFFIXES: Final = (".csv", ".jsonl", ".ndjson")
"""Suffixes of lists."""

_METADATA: Final = ("metadata.csv", "metadata.jsonl")
_LONGEST_LINE: Final = 1 << 24


class ListRow(NamedTuple):
    """A row of a list.

    Attributes:
        number: number of its line, from 1.
        values: values by column; empty for a row that cannot be read.
        reason: reason why it cannot be read.
    """

    number: int
    values: Mapping[str, Any]
    reason: str = ""


def list_rows(name: str) -> Listed:
    """List the pictures of a list.

    Args:
        name: path or URL of the list.

    Raises:
        ArgumentError: the list cannot be read, or has no column with paths.
    """
    failed: list[Failure] = []
    return check_listed(_found(name, failed), failed)


def read_list(name: str) -> Iterator[ListRow]:
    """Read the rows of a list.

    Raises:
        ArgumentError: the list cannot be read, or has no column with paths.
    """
    with _opened(name) as file:
        yield from _csv_rows(name, file) if _is_csv(name) else _json_rows(file)


def columns_of(name: str) -> list[str]:
    """Return the columns of a list; those of its first row in JSON lines.

    Raises:
        ArgumentError: the list cannot be read.
    """
    with _opened(name) as file:
        if _is_csv(name):
            return list(csv.DictReader(file).fieldnames or [])
        first = next((row for row in _json_rows(file) if not row.reason), None)
    return [] if first is None else list(first.values)


def path_of(values: Mapping[str, Any], names: Sequence[str]) -> str:
    """Return the path in a row; empty without one.

    Args:
        values: values by column.
        names: names that the column with the path may have.
    """
    value = next((values[name] for name in names if name in values), "")
    return value if isinstance(value, str) else ""


def _is_csv(name: str) -> bool:
    return name.lower().endswith(".csv")


@contextmanager
def _opened(name: str) -> Iterator[TextIO]:
    try:
        with (
            open_any(name, LABELS) as file,
            TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="") as text,
        ):
            yield text
    except (OSError, csv.Error) as cause:
        raise ArgumentError(f"{name} cannot be read as a list of pictures: {reason_of(cause)}") from cause


def _csv_rows(name: str, file: TextIO) -> Iterator[ListRow]:
    reader = csv.DictReader(file)
    columns = list(reader.fieldnames or [])
    if not set(CSV_FILES) & set(columns):
        named = ", ".join(columns)[:200] or "none"
        raise ArgumentError(f"{name}, line 1: a column {' or '.join(CSV_FILES)} was expected, got {named}")
    while True:
        try:
            row = next(reader, None)
        except csv.Error as cause:
            yield ListRow(reader.reader.line_num, {}, f"cannot be read: {reason_of(cause)}")
            continue
        if row is None:
            return
        # The csv module uses None as the name of cells without a column, and as the value of columns without a cell.
        reason = "has more cells than columns" if None in row else ""
        yield ListRow(reader.line_num, {} if reason else row, reason)


def _json_rows(file: TextIO) -> Iterator[ListRow]:
    for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), ""), 1):
        if not line.strip():
            continue
        try:
            values = load_json(line, "the row", LabelError, finite=False)
        except LabelError as cause:
            yield ListRow(number, {}, str(cause))
            continue
        is_row = isinstance(values, dict)
        yield ListRow(number, values if is_row else {}, "" if is_row else "is not a JSON object")


def _found(name: str, failed: list[Failure]) -> Iterator[Found]:
    seen: dict[str, SourceFile] = {}
    for row in read_list(name):
        where = f"{name}, line {row.number}"
        try:
            source = _source(name, row)
        except FomaugError as cause:
            failed.append(Failure(where, str(cause)))
            continue
        first = seen.setdefault(source.key, source)
        if first is source or first.reader != source.reader:
            yield Found(source, where=where)
        elif (first.label, first.split) != (source.label, source.split):
            failed.append(Failure(where, "has another label or split than an earlier row of the same picture"))


def _source(name: str, row: ListRow) -> SourceFile:
    """Make the source of a row.

    Raises:
        MediaError: the row names no file, or values have another type.
        ArgumentError: its URL is not one of storage.
    """
    path = path_of(row.values, CSV_FILES if _is_csv(name) else JSON_FILES)
    if row.reason or not path:
        raise MediaError(row.reason or "has no path of a picture")
    if not can_name_a_file(path):
        raise MediaError("has a name that no file can have")
    location = _locate(local_name(path), name)
    if is_url(location):
        check_url(location)
    size = 0 if is_url(location) else file_size(Path(location))
    split = _split(label_text(row.values.get("split")))
    return SourceFile(Path(), safe_key(path), label_text(row.values.get("label")), split, size, FileReader(location))


def _locate(path: str, name: str) -> str:
    """Return the path or URL of a picture by its name in a list."""
    if is_url(path):
        return path
    if is_url(name):
        return f"{name.rpartition('/')[0]}/{posixpath.normpath(path).lstrip('/')}"
    return str(Path(name).parent / path)


def _split(text: str) -> str:
    if text and text.lower() not in SPLITS:
        raise MediaError(f"a split is one of {', '.join(SPLITS)}, got {text[:40]!r}")
    return SPLITS[text.lower()] if text else ""


def labelled_by_metadata(dataset: Path, sources: Sequence[SourceFile]) -> Listed:
    """Label the pictures of a folder by the files of metadata in it; others keep the label of their folder.

    Args:
        dataset: dataset folder.
        sources: pictures of the dataset.

    Raises:
        ArgumentError: a file of metadata cannot be read.
    """
    labels, failed = _metadata_labels(dataset, {PurePosixPath(source.key).parts[:-1] for source in sources})
    if not labels and not failed:
        return Listed(list(sources), [])
    keys = {source.key for source in sources}
    failed += [Failure(where, f"there is no picture {key}") for key, (_, where) in labels.items() if key not in keys]
    found = (_labelled(source, labels) for source in sources)
    return check_listed(found, failed)


def _labelled(source: SourceFile, labels: dict[str, tuple[str, str]]) -> Found:
    if source.key not in labels:
        return Found(source)
    label, where = labels[source.key]
    return Found(replace(source, label=label) if label else source, where=where)


def _metadata_labels(
    dataset: Path, folders: Iterable[tuple[str, ...]]
) -> tuple[dict[str, tuple[str, str]], list[Failure]]:
    """Read the label and the row of every picture that metadata names, by its key; the label may be empty."""
    labels: dict[str, tuple[str, str]] = {}
    failed: list[Failure] = []
    # Metadata may be in any folder that holds pictures, itself or below it.
    parents = {folder[:depth] for folder in folders for depth in range(len(folder) + 1)}
    for folder in sorted(parents):
        for path in (dataset.joinpath(*folder, name) for name in _METADATA):
            if path.is_file() and "file_name" in columns_of(str(path)):
                _read_metadata(path, "/".join(folder), labels, failed)
    return labels, failed


def _read_metadata(path: Path, folder: str, labels: dict[str, tuple[str, str]], failed: list[Failure]) -> None:
    for row in read_list(str(path)):
        where = f"{path}, line {row.number}"
        try:
            name = path_of(row.values, ("file_name",))
            if row.reason or not name:
                raise MediaError(row.reason or "has no file_name")
            key = safe_key(f"{folder}/{name}")
            labels[key] = label_text(row.values.get("label")), where
        except (MediaError, ArgumentError) as cause:
            failed.append(Failure(where, str(cause)))
