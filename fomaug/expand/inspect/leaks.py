"""Leaks: sources and drivers that two splits or datasets share, so that a test set is not independent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fomaug.errors import ArgumentError
from fomaug.expand.dataset import find_sources
from fomaug.expand.manifest import SUMMARY, Row, read_job_rows, read_summary

Kind = Literal["source", "driver"]
Trace = tuple[Kind, str, str, str]  # kind, identity, dataset or split, name


@dataclass(frozen=True)
class Leak:
    """One source or driver that several datasets or splits share.

    Attributes:
        kind: "source" for an image, "driver" for a person or clip of a driving motion.
        names: names of the source or driver in the datasets.
        places: datasets or splits that share it, two or more.
    """

    kind: Kind
    names: tuple[str, ...]
    places: tuple[str, ...]


def find_leaks(sets: Sequence[Path], *, drivers: bool = True) -> list[Leak]:
    """Find the sources and drivers that several datasets, or several splits of one, share.

    Sources are equal if their files have the same bytes. Drivers are equal if they have the same name or, without a
    name, the same clip. Motion that was made without a clip has no driver.

    Args:
        sets: folders that `expand` wrote, or folders of images, such as a test set. Each folder, and each split in it,
            counts as a dataset.
        drivers: whether drivers are compared, too.

    Returns:
        The leaks, sources first.

    Raises:
        ArgumentError: a folder does not exist or has no images.
        ResumeError: a manifest is damaged.
    """
    names: dict[tuple[Kind, str], dict[str, str]] = {}
    for folder in sets:
        for kind, identity, subset, name in _traces(folder):
            if identity and (drivers or kind == "source"):
                names.setdefault((kind, identity), {}).setdefault(subset, name)
    shared = [(kind, found) for (kind, _), found in names.items() if len(found) > 1]
    leaks = [Leak(kind, tuple(dict.fromkeys(found.values())), tuple(sorted(found))) for kind, found in shared]
    return sorted(leaks, key=lambda leak: (leak.kind != "source", leak.places, leak.names))


def _traces(folder: Path) -> Iterator[Trace]:
    if (folder / SUMMARY).exists():
        read_summary(folder)
        for row in read_job_rows(folder):
            yield from _row_traces(folder, row)
        return
    if not folder.is_dir():
        raise ArgumentError(f"{folder} is no folder; give folders that fomaug expand wrote, or folders of pictures")
    found = find_sources(folder, out=folder / ".nothing", split="all")
    for name in found.expanded:
        yield from _traces(folder / name)
    for source in found.chosen:
        subset = f"{folder}:{source.split}" if source.split else str(folder)
        yield "source", hashlib.sha256(source.read()).hexdigest(), subset, source.key


def _row_traces(folder: Path, row: Row) -> Iterator[Trace]:
    subset = f"{folder}:{row['split']}" if row["split"] else str(folder)
    yield "source", row["source_hash"], subset, row["source"]
    for motion in (row["motion"], *row["motion"].get("others", ())):
        yield "driver", _driver(motion), subset, motion["driver"] or motion["clip"]


def _driver(motion: Mapping[str, Any]) -> str:
    if not motion["clip_hash"]:
        return ""
    return f"person {motion['driver']}" if motion["driver"] else f"clip {motion['clip_hash']}"
