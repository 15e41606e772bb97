"""Which pictures a dataset folder holds, and what their folders say about them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from fomaug.errors import ArgumentError, check_choice
from fomaug.expand.manifest import is_expanded
from fomaug.media import suffix_formats

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
        had_bytes: size of a file that is no longer there, when the job began; None for all others.
    """

    path: Path
    key: str
    label: str = ""
    split: str = ""
    had_bytes: int | None = None

    @property
    def id(self) -> str:
        """A short hash of the key: names a source without giving its name away."""
        return hashlib.sha256(self.key.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def num_bytes(self) -> int:
        """Size of the file, see `file_size`."""
        return file_size(self.path) if self.had_bytes is None else self.had_bytes

    @property
    def folder(self) -> PurePosixPath:
        """The key without split, class and file name."""
        parts = PurePosixPath(self.key).parts[bool(self.split) :]
        return PurePosixPath(*parts[bool(self.label) : -1])

    @property
    def split_folder(self) -> str:
        """The split's folder as the dataset spells it."""
        return PurePosixPath(self.key).parts[0] if self.split else ""


class Found(NamedTuple):
    """The pictures of a dataset folder.

    Attributes:
        chosen: those that were asked for.
        unsplit: those that lie beside the split folders; none if all splits were asked for.
        expanded: folders that were left out, since `expand` wrote them.
    """

    chosen: list[SourceFile]
    unsplit: list[SourceFile]
    expanded: list[str]


def find_sources(dataset: Path, *, out: Path, split: str = "train", annotations: str | None = None) -> Found:
    """List the pictures below a folder, sorted by key.

    Hidden files and folders, and `out`, `annotations` and expanded datasets if they lie inside, are left out. Links to
    folders are not followed.

    Args:
        dataset: folder of class folders or pictures, or of splits.
        out: what the expansion writes to.
        annotations: a folder of masks, perhaps.
        split: the split to take, or "all"; without split folders "train", too, takes everything.

    Raises:
        ArgumentError: no such folder, no pictures in it, none in the split, or no split folders to take "val" or "test"
            from.
    """
    if not dataset.is_dir():
        raise ArgumentError(f"dataset {dataset} is not a folder; give the folder that holds the pictures")
    check_split(split)
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
        raise ArgumentError(f"dataset {dataset} holds {reason}; known suffixes: {', '.join(suffix_formats)}")
    return Found(chosen, unsplit, sorted(expanded))


def check_split(split: str) -> None:
    """Raise `ArgumentError` for a split that no folder can have."""
    check_choice("split", split, ("train", "val", "test", "all"))


def digest_sources(sources: Sequence[SourceFile]) -> str:
    """Sha256 of the names and sizes of all pictures: tells whether a dataset is still the one it was."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.key}\0{source.num_bytes}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def file_size(path: Path) -> int:
    """Return the bytes of a file; 0 for a link that leads nowhere, which whoever reads it will name."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _picture_keys(dataset: Path, avoided: set[Path], expanded: list[str]) -> Iterator[str]:
    """Walk over the pictures; names of the expanded datasets that are met, and not entered, are appended."""
    for folder, folders, files in os.walk(dataset):
        here = Path(folder)
        if here != dataset and is_expanded(here):
            expanded.append(here.relative_to(dataset).as_posix())
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".") and (here / name).resolve() not in avoided]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in suffix_formats:
                yield (here / name).relative_to(dataset).as_posix()


def _is_divided(keys: Iterable[str]) -> bool:
    """Whether top folders are splits: one is called train, or all of them are called like splits.

    Folders alone count, and with a train folder each by its own name: whatever else lies beside them, test pictures
    stay test pictures. Without one, a folder called dev among others is a class.
    """
    tops = {parts[0].lower() for parts in (PurePosixPath(key).parts for key in keys) if len(parts) > 1}
    splits = {SPLITS.get(top, "") for top in tops}
    return "train" in splits or (bool(splits) and "" not in splits)


def _source(dataset: Path, key: str, *, divided: bool) -> SourceFile:
    parts = PurePosixPath(key).parts
    split = SPLITS.get(parts[0].lower(), "") if divided and len(parts) > 1 else ""
    parts = parts[bool(split) :]
    return SourceFile(dataset / key, key, parts[0] if len(parts) > 1 else "", split)
