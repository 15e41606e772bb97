"""Labels and splits of pictures in folders: from the names of the folders, and from metadata files.

Hugging Face image folders have a `metadata.csv` or `metadata.jsonl` with a column `file_name`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from fomaug.errors import ArgumentError, MediaError
from fomaug.expand.inputs.lists import columns_of, path_of, read_list
from fomaug.expand.inputs.names import Found, Listed, check_listed, safe_key
from fomaug.expand.inputs.tar import label_text
from fomaug.expand.report import Failure
from fomaug.expand.sources import SPLITS, SourceFile

_NAMES: Final = ("metadata.csv", "metadata.jsonl")


def named_by_folders(keys: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield label and split of each picture by its path below the dataset.

    Args:
        keys: paths with slashes.
    """
    divided = _is_divided(keys)
    for key in keys:
        top, _, rest = key.partition("/")
        split = SPLITS.get(top.lower(), "") if divided and rest else ""
        if split:
            top, _, rest = rest.partition("/")
        yield sys.intern(top) if rest else "", split


def _is_divided(keys: Iterable[str]) -> bool:
    """Return whether top folders are splits: one is named train, or all of them have names of splits.

    Beside a train folder, every folder with the name of a split is a split, whatever the other folders are, so that
    test images stay test images. Without a train folder, a folder named dev among others is a class.
    """
    tops = {top.lower() for top, slash, _ in (key.partition("/") for key in keys) if slash}
    splits = {SPLITS.get(top, "") for top in tops}
    return "train" in splits or (bool(splits) and "" not in splits)


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
