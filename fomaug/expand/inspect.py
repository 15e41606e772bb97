"""Inspection of expanded datasets: the summary of one, and leaks between several, so that test sets are independent."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fomaug.errors import ArgumentError, shortened
from fomaug.expand.dataset import find_sources
from fomaug.expand.manifest import Row, explained_rows, is_still, read_job_rows
from fomaug.expand.output import CONTACT_SHEET, MANIFEST, REJECTED, SUMMARY
from fomaug.expand.report import read_summary

_MAX_BYTES = 2**50  # of one image file
Kind = Literal["source", "driver"]
Trace = tuple[Kind, str, str, str]  # kind, identity, dataset or split, name


@dataclass(frozen=True)
class Spread:
    """Range and mean of some numbers.

    Attributes:
        least: smallest number.
        mean: mean of all numbers.
        most: largest number.
    """

    least: float
    mean: float
    most: float


@dataclass(frozen=True)
class Summary:
    """The numbers of an expanded dataset.

    Attributes:
        out: folder of the dataset.
        state: "done", or "running" if the job was interrupted or still runs.
        sources: number of sources with at least one copy.
        copies: number of copies.
        bytes: size of all copies.
        labels: number of copies by label.
        splits: number of copies by split; empty without splits.
        clips: number of copies by driving clip, the most used first.
        strength: spread of the strength.
        scores: spread of every score of the gates.
        rejected: number of rejected copies by reason.
        failed: number of sources that could not be used.
        flawed: number of annotations that could not be used.
        model: name of the model.
        contact_sheet: path of the contact sheet; None without one.
    """

    out: Path
    state: str
    sources: int
    copies: int
    bytes: int
    labels: dict[str, int]
    splits: dict[str, int]
    clips: dict[str, int]
    strength: Spread | None
    scores: dict[str, Spread]
    rejected: dict[str, int]
    failed: int
    flawed: int
    model: str
    contact_sheet: Path | None


class _Running:
    """Accumulator of least, mean and most of a stream of numbers."""

    def __init__(self) -> None:
        self.least, self.most, self.total, self.count = math.inf, -math.inf, 0.0, 0

    def add(self, value: float) -> None:
        self.least, self.most = min(self.least, value), max(self.most, value)
        self.total, self.count = self.total + value, self.count + 1

    def spread(self) -> Spread:
        return Spread(self.least, self.total / self.count, self.most)


def summarise(out: Path) -> Summary:
    """Summarise an expanded dataset; the manifest is read as a stream.

    Raises:
        ResumeError: the folder is not an expanded dataset, or its manifest is damaged.
    """
    summary = read_summary(out)
    with explained_rows(out / MANIFEST):
        return _summarise(out, summary)


def _summarise(out: Path, summary: dict[str, Any]) -> Summary:
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("labels", "splits", "clips", "sources")}
    strength, scores, size = _Running(), dict[str, _Running](), 0
    for row in read_job_rows(out):
        _count(row, counts)
        for motion in _motions(row):
            strength.add(motion["strength"])
        size += _bytes(row)
        for name, score in _numbers(row.get("scores", {})):
            scores.setdefault(name, _Running()).add(score)
    sheet = out / CONTACT_SHEET
    sheet = sheet if sheet.is_file() else out / CONTACT_SHEET.removeprefix(".")  # its name in older folders
    return Summary(
        out=out,
        state=str(summary.get("state", "")),
        sources=len(counts["sources"]),
        copies=sum(counts["labels"].values()),
        bytes=size,
        labels=dict(sorted(counts["labels"].items())),
        splits=dict(sorted(counts["splits"].items())),
        clips=dict(counts["clips"].most_common()),
        strength=strength.spread() if strength.count else None,
        scores={name: running.spread() for name, running in sorted(scores.items())},
        rejected=_reasons(read_job_rows(out, REJECTED)),
        failed=_length(summary.get("failed")),
        flawed=_length(summary.get("flawed")),
        model=_name(summary.get("model")),
        contact_sheet=sheet if sheet.is_file() else None,
    )


def _bytes(row: Row) -> int:
    size = row["bytes"]
    if not isinstance(size, int) or not 0 <= size <= _MAX_BYTES:
        raise ValueError(f"bytes must be a whole number, got {shortened(size)}")
    return size


def _length(found: object) -> int:
    return len(found) if isinstance(found, list) else 0


def _name(model: object) -> str:
    return str(model.get("name", "")) if isinstance(model, dict) else ""


def _count(row: Row, counts: dict[str, Counter[str]]) -> None:
    counts["labels"][row["label"] or ""] += 1
    counts["clips"].update(motion["clip"] for motion in _motions(row))
    counts["sources"][row["source"]] += 1
    if row["split"]:
        counts["splits"][row["split"]] += 1


def _motions(row: Row) -> list[dict[str, Any]]:
    """Return the motion of each face of a copy; empty for an unchanged copy."""
    return [] if is_still(row) else [row["motion"], *row["motion"].get("others", ())]


def _numbers(scores: dict[str, Any]) -> Iterable[tuple[str, float]]:
    return ((name, float(score)) for name, score in scores.items() if isinstance(score, int | float))


def _reasons(rows: Iterable[Row]) -> dict[str, int]:
    reasons: Counter[str] = Counter()
    for row in rows:
        # A reason starts with the name of its gate; numbers follow.
        reasons.update(reason.split()[0] for reason in row["reasons"])
    return dict(reasons.most_common())


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
        raise ArgumentError(f"{folder} is not a folder; give folders that fomaug expand wrote, or folders of pictures")
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
