"""Source files of a dataset, with the labels and splits that their folders name."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple, get_args

from fomaug.errors import ArgumentError, ResumeError, UnsafeFileError, check_choice
from fomaug.expand.manifest import is_expanded
from fomaug.expand.plan import Split
from fomaug.files import MANIFEST, exists, read_text, write_file
from fomaug.media import read_suffixes, unread_suffixes

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


@dataclass(frozen=True)
class SourceFile:
    """One image file of a dataset.

    Attributes:
        path: path of the file.
        key: path below the dataset folder, with slashes on every system; also the key of the draws.
        label: name of the class folder; empty in a flat dataset.
        split: train, val or test; empty in a dataset without split folders.
        had_bytes: size of a deleted file when the job began; None for all other files.
    """

    path: Path
    key: str
    label: str = ""
    split: str = ""
    had_bytes: int | None = None

    @property
    def id(self) -> str:
        """Short hash of the key; it identifies a source without its name."""
        return hashlib.sha256(self.key.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def num_bytes(self) -> int:
        """Size of the file in bytes, see `file_size`."""
        return file_size(self.path) if self.had_bytes is None else self.had_bytes

    @property
    def folder(self) -> PurePosixPath:
        """Folder of the key without split and class."""
        parts = PurePosixPath(self.key).parts[bool(self.split) :]
        return PurePosixPath(*parts[bool(self.label) : -1])

    @property
    def split_folder(self) -> str:
        """Name of the split folder in the dataset; empty without splits."""
        return PurePosixPath(self.key).parts[0] if self.split else ""


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
    expanded: list[str] = []
    keys = sorted(_picture_keys(dataset, avoided, expanded))
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
    return Found(chosen, unsplit, sorted(expanded))


def digest_sources(sources: Sequence[SourceFile]) -> str:
    """Return the sha256 of the names and sizes of all sources, to detect changes of a dataset."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.key}\0{source.num_bytes}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def file_size(path: Path) -> int:
    """Return the size of a file in bytes; 0 for a broken link, which fails when it is loaded."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _picture_keys(dataset: Path, avoided: set[Path], expanded: list[str]) -> Iterator[str]:
    """Yield the keys of all image files; append the names of expanded datasets, which are not entered."""
    for folder, folders, files in os.walk(dataset):
        here = Path(folder)
        if here != dataset and is_expanded(here):
            expanded.append(here.relative_to(dataset).as_posix())
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".") and (here / name).resolve() not in avoided]
        for name in files:
            # Pictures that cannot be read are sources, too: reading them fails, and the report names them.
            if not name.startswith(".") and Path(name).suffix.lower() in (*read_suffixes, *unread_suffixes):
                yield (here / name).relative_to(dataset).as_posix()


def _is_divided(keys: Iterable[str]) -> bool:
    """Whether top folders are splits: one is named train, or all of them have names of splits.

    Beside a train folder, every folder with the name of a split is a split, whatever the other folders are, so that
    test images stay test images. Without a train folder, a folder named dev among others is a class.
    """
    tops = {parts[0].lower() for parts in (PurePosixPath(key).parts for key in keys) if len(parts) > 1}
    splits = {SPLITS.get(top, "") for top in tops}
    return "train" in splits or (bool(splits) and "" not in splits)


def _source(dataset: Path, key: str, *, divided: bool) -> SourceFile:
    parts = PurePosixPath(key).parts
    split = SPLITS.get(parts[0].lower(), "") if divided and len(parts) > 1 else ""
    parts = parts[bool(split) :]
    return SourceFile(dataset / key, key, parts[0] if len(parts) > 1 else "", split)


def save_sources(out: Path, sources: Sequence[SourceFile]) -> None:
    """Save the list of a job's sources, unless it is saved already.

    The division into shards and the names of copies depend on all sources. With the list, a job can be resumed after a
    source is deleted.
    """
    if not (out / SOURCES).exists():
        lines = (json.dumps([source.key, source.label, source.split, source.num_bytes]) for source in sources)
        write_file(out / SOURCES, "".join(f"{line}\n" for line in lines).encode(), durable=True)


def with_deleted(sources: Sequence[SourceFile], dataset: Path, out: Path) -> list[SourceFile]:
    """Add the deleted sources of a job's list; they fail like other files that cannot be read.

    If the dataset has new sources, no source is added, and the comparison of the settings reports another dataset.

    Raises:
        ResumeError: the list is damaged.
    """
    listed = list(_read_sources(dataset, out / SOURCES)) if (out / SOURCES).exists() else []
    found = {source.key for source in sources}
    deleted = [source for source in listed if source.key not in found and not exists(source.path)]
    if not deleted or len(listed) != len(found) + len(deleted):
        return list(sources)
    return sorted([*sources, *deleted], key=lambda source: source.key)


def _read_sources(dataset: Path, path: Path) -> Iterator[SourceFile]:
    try:
        for line in read_text(path, MANIFEST).splitlines():
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
    return SourceFile(dataset / key, key, label, split, num_bytes)
