"""Which pictures a dataset folder holds, and what their folders say about them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from fomaug._errors import ArgumentError, did_you_mean
from fomaug.writers import suffix_formats

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
"""Names of top folders, and the split each stands for."""


@dataclass(frozen=True)
class SourceFile:
    """One picture of a dataset.

    Attributes:
        path: where it is.
        key: its path below the dataset folder, with slashes on every system; the key of its draws.
        label: name of its class folder, empty in a flat dataset.
        split: train, val or test, empty where the dataset has no such folders.
    """

    path: Path
    key: str
    label: str = ""
    split: str = ""

    @property
    def id(self) -> str:
        """A short hash of the key: names a source without giving its name away."""
        return hashlib.sha256(self.key.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def folder(self) -> PurePosixPath:
        """The key without split, class and file name."""
        parts = PurePosixPath(self.key).parts[bool(self.split) :]
        return PurePosixPath(*parts[bool(self.label) : -1])

    @property
    def split_folder(self) -> str:
        """The split's folder as the dataset spells it."""
        return PurePosixPath(self.key).parts[0] if self.split else ""


def find_sources(dataset: Path, *, out: Path, split: str = "train", annotations: str | None = None) -> list[SourceFile]:
    """List the pictures below a folder, sorted by key.

    Hidden files and folders, and `out` and `annotations` if they lie inside, are left out. Links to folders are not
    followed.

    Args:
        dataset: folder of class folders or pictures; where its top folders are splits, folder of such folders.
        out: what the expansion writes to.
        annotations: a folder of masks, perhaps.
        split: the split to take, or "all"; without split folders everything is taken.

    Raises:
        ArgumentError: no such folder, no pictures in it, or none in the split.
    """
    if not dataset.is_dir():
        raise ArgumentError(f"dataset {dataset} is not a folder; give the folder that holds the pictures")
    check_split(split)
    if out.resolve() == dataset.resolve():
        raise ArgumentError(f"out is the dataset itself ({dataset}); give another folder")
    avoided = {out.resolve(), *([Path(annotations).resolve()] if annotations else [])}
    keys = sorted(_picture_keys(dataset, avoided))
    has_splits = bool(keys) and all(_split_of(key) for key in keys)
    sources = [_source(dataset, key, has_splits=has_splits) for key in keys]
    chosen = [source for source in sources if not has_splits or split in ("all", source.split)]
    if not chosen:
        there = ", ".join(sorted({source.split for source in sources})) if sources else ""
        reason = f"none of split {split!r}, but of {there}; give split" if there else "no picture"
        raise ArgumentError(f"dataset {dataset} holds {reason}; known suffixes: {', '.join(suffix_formats)}")
    return chosen


def check_split(split: str) -> None:
    """Raise `ArgumentError` for a split that no folder can have."""
    known = ("train", "val", "test", "all")
    if split not in known:
        raise ArgumentError(f"split must be one of {', '.join(known)}, got {split!r}{did_you_mean(split, known)}")


def digest_sources(sources: Sequence[SourceFile]) -> str:
    """Sha256 of the names and sizes of all pictures: tells whether a dataset is still the one it was."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.key}\0{source.path.stat().st_size}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _picture_keys(dataset: Path, avoided: set[Path]) -> Iterator[str]:
    for folder, folders, files in os.walk(dataset):
        here = Path(folder)
        folders[:] = [name for name in folders if not name.startswith(".") and (here / name).resolve() not in avoided]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in suffix_formats:
                yield (here / name).relative_to(dataset).as_posix()


def _split_of(key: str) -> str:
    parts = PurePosixPath(key).parts
    return SPLITS.get(parts[0].lower(), "") if len(parts) > 1 else ""


def _source(dataset: Path, key: str, *, has_splits: bool) -> SourceFile:
    split = _split_of(key) if has_splits else ""
    parts = PurePosixPath(key).parts[bool(split) :]
    return SourceFile(dataset / key, key, parts[0] if len(parts) > 1 else "", split)
