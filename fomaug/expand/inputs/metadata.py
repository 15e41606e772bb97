"""Labels of Hugging Face image folders, from a `metadata.csv` or `metadata.jsonl` with a column `file_name`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from fomaug.errors import ArgumentError, MediaError
from fomaug.expand.inputs.lists import columns_of, path_of, read_list
from fomaug.expand.inputs.names import Found, Listed, check_listed, safe_key
from fomaug.expand.inputs.tar import label_text
from fomaug.expand.report import Failure
from fomaug.expand.sources import SourceFile

_NAMES: Final = ("metadata.csv", "metadata.jsonl")


def labelled_by_metadata(dataset: Path, sources: Sequence[SourceFile]) -> Listed:
    """Label the pictures of a folder by the files of metadata in it; others keep the label of their folder.

    Args:
        dataset: dataset folder.
        sources: pictures of the dataset.

    Raises:
        ArgumentError: a file of metadata cannot be read.
    """
    labels, failed = _labels(dataset, {PurePosixPath(source.key).parts[:-1] for source in sources})
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


def _labels(dataset: Path, folders: Iterable[tuple[str, ...]]) -> tuple[dict[str, tuple[str, str]], list[Failure]]:
    """Read the label and the row of every picture that metadata names, by its key; the label may be empty."""
    labels: dict[str, tuple[str, str]] = {}
    failed: list[Failure] = []
    # Metadata may be in any folder that holds pictures, itself or below it.
    parents = {folder[:depth] for folder in folders for depth in range(len(folder) + 1)}
    for folder in sorted(parents):
        for path in (dataset.joinpath(*folder, name) for name in _NAMES):
            if path.is_file() and "file_name" in columns_of(str(path)):
                _read(path, "/".join(folder), labels, failed)
    return labels, failed


def _read(path: Path, folder: str, labels: dict[str, tuple[str, str]], failed: list[Failure]) -> None:
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
