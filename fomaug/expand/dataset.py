"""The dataset: its image files, with the labels and splits that their folders name, and the saved list of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple, get_args

from fomaug.errors import ArgumentError, ResumeError, UnsafeFileError, check_choice
from fomaug.expand.plan import Split
from fomaug.expand.sources import SourceFile
from fomaug.files import MANIFEST, exists, open_text, replacing
from fomaug.media import digest_sizes, list_pictures, read_suffixes, unread_suffixes

SOURCES: Final = "sources.jsonl"


SPLITS: Final = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
"""Split of each known name of a top folder."""


class Found(NamedTuple):
    """The source files of a dataset folder.

    Attributes:
        chosen: source files of the chosen split.
        unsplit: source files outside of the split folders; empty if all splits are chosen.
        expanded: folders that were left out because `expand` wrote them.
    """

    chosen: list[SourceFile]
    unsplit: list[SourceFile]
    expanded: list[str]


def find_sources(dataset: Path, *, out: Path, split: str = "train", annotations: str | None = None) -> Found:
    """List the image files below a folder, sorted by key.

    Hidden files and folders are left out, as are `out`, `annotations` and expanded datasets inside the folder. Links to
    folders are not followed.

    Args:
        dataset: folder of class folders or images, or of splits.
        out: output folder of the expansion.
        annotations: path of the annotations, which may be a folder of masks.
        split: split to list, or "all"; without split folders, "train" lists all images, too.

    Raises:
        ArgumentError: the folder does not exist, has no images, has none in the split, or has no split folders for
            "val" or "test".
    """
    if not dataset.is_dir():
        raise ArgumentError(f"dataset {dataset} is not a folder; give the folder that holds the pictures")
    check_choice("split", split, get_args(Split))
    if out.resolve() == dataset.resolve():
        raise ArgumentError(f"out is the dataset itself ({dataset}); give another folder")
    avoided = {out.resolve(), *([Path(annotations).resolve()] if annotations else [])}
    # Pictures that cannot be read are sources, too: reading them fails, and the report names them.
    keys, expanded = list_pictures(dataset, (*read_suffixes, *unread_suffixes), avoided=avoided)
    divided = _is_divided(keys)
    sources = [_source(dataset, key, divided=divided) for key in keys]
    splits = sorted({source.split for source in sources} - {""})
    if not splits and split in ("val", "test"):
        raise ArgumentError(f"dataset {dataset} has no split folders, so no split {split!r}; give none, or 'all'")
    if not splits or split == "all":
        chosen, unsplit = sources, []
    else:
        chosen, unsplit = ([source for source in sources if source.split == wanted] for wanted in (split, ""))
    if not chosen:
        reason = f"none of split {split!r}, but of {', '.join(splits)}; give split" if splits else "no picture"
        raise ArgumentError(f"dataset {dataset} holds {reason}; known suffixes: {', '.join(read_suffixes)}")
    return Found(chosen, unsplit, expanded)


def digest_sources(sources: Sequence[SourceFile]) -> str:
    """Return the sha256 of the names and sizes of all sources, to detect changes of a dataset."""
    return digest_sizes((source.key, source.num_bytes) for source in sources)


def _is_divided(keys: Iterable[str]) -> bool:
    """Return whether top folders are splits: one is named train, or all of them have names of splits.

    Beside a train folder, every folder with the name of a split is a split, whatever the other folders are, so that
    test images stay test images. Without a train folder, a folder named dev among others is a class.
    """
    tops = {top.lower() for top, slash, _ in (key.partition("/") for key in keys) if slash}
    splits = {SPLITS.get(top, "") for top in tops}
    return "train" in splits or (bool(splits) and "" not in splits)


def _source(dataset: Path, key: str, *, divided: bool) -> SourceFile:
    top, _, rest = key.partition("/")
    split = SPLITS.get(top.lower(), "") if divided and rest else ""
    if split:
        top, _, rest = rest.partition("/")
    return SourceFile(dataset, key, sys.intern(top) if rest else "", split)


def save_sources(out: Path, sources: Sequence[SourceFile]) -> None:
    """Save the list of a job's sources, unless it is saved already.

    The division into shards and the names of copies depend on all sources. With the list, a job can be resumed after a
    source is deleted.
    """
    if not (out / SOURCES).exists():
        with replacing(out / SOURCES, durable=True) as temporary, temporary.open("w", encoding="utf-8") as file:
            for source in sources:
                file.write(f"{json.dumps([source.key, source.label, source.split, source.num_bytes])}\n")


def with_deleted(sources: Sequence[SourceFile], dataset: Path, out: Path) -> list[SourceFile]:
    """Add the deleted sources of a job's list; they fail like other files that cannot be read.

    If the dataset has new sources, no source is added, and the comparison of the settings reports another dataset.

    Raises:
        ResumeError: the list is damaged.
    """
    listed = list(read_sources(dataset, out / SOURCES)) if (out / SOURCES).exists() else []
    found = {source.key for source in sources}
    deleted = [source for source in listed if source.key not in found and not exists(source.path)]
    if not deleted or len(listed) != len(found) + len(deleted):
        return list(sources)
    return sorted([*sources, *deleted], key=lambda source: source.key)


def listed_sources(dataset: Path, out: Path) -> list[SourceFile]:
    """Return the sources of a job's list, without a look at the dataset folder.

    Raises:
        ResumeError: the list is damaged.
    """
    return list(read_sources(dataset, out / SOURCES))


def read_sources(dataset: Path, path: Path) -> Iterator[SourceFile]:
    """Read the list that `save_sources` saved.

    Raises:
        ResumeError: the list is damaged.
    """
    try:
        with open_text(path, MANIFEST) as lines:
            for line in lines:
                yield _listed_source(dataset, *json.loads(line))
    except UnsafeFileError as cause:
        raise ResumeError(str(cause)) from cause
    except (ValueError, TypeError, RecursionError) as cause:
        raise ResumeError(f"{path} is damaged; remove it, and resume") from cause


def _listed_source(dataset: Path, key: Any, label: Any, split: Any, num_bytes: Any) -> SourceFile:
    if not all(isinstance(word, str) for word in (key, label, split)) or type(num_bytes) is not int:
        raise ValueError("a source has a key, a label, a split and a size")
    if PurePosixPath(key).is_absolute() or ".." in PurePosixPath(key).parts or "\0" in key:
        raise ValueError("a key is a path below the dataset")
    return SourceFile(dataset, key, label, split, num_bytes)
