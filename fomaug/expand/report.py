"""What came of an expansion."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Failure:
    """A picture, clip or annotation that could not be used.

    Attributes:
        source: its path below the dataset, the clip, or file and row of the annotation.
        reason: why.
    """

    source: str
    reason: str


@dataclass(frozen=True)
class ExpandReport:
    """The outcome of an expansion.

    Attributes:
        out: the output folder.
        sources: pictures that were to be expanded.
        planned: copies that were to be made.
        written: copies that are there.
        new: how many of them were made by this call.
        rejected: copies that no draw passed the gates for.
        failed: pictures that could not be used; clips are in `skipped_clips`, annotations in `flawed`.
        skipped_clips: driving clips that could not be used.
        flawed: annotations that could not be used, by file and row or number.
        expanded: folders of the dataset that `expand` wrote; they were left out.
        unannotated: pictures about which the annotations say nothing; 0 without annotations.
        labels: copies by label; "" for those without.
        contact_sheet: a picture of some sources and their copies; None in a dry run, or if nothing was written.
        estimated_bytes: in a dry run, the size that is expected.
    """

    out: Path
    sources: int
    planned: int
    written: int = 0
    new: int = 0
    rejected: int = 0
    failed: tuple[Failure, ...] = ()
    skipped_clips: tuple[Failure, ...] = ()
    flawed: tuple[Failure, ...] = ()
    expanded: tuple[str, ...] = ()
    unannotated: int = 0
    labels: tuple[tuple[str, int], ...] = ()
    contact_sheet: Path | None = None
    estimated_bytes: int | None = None

    @property
    def complete(self) -> bool:
        """Everything could be used."""
        return not self.failed and not self.skipped_clips and not self.flawed

    def result(self) -> dict[str, Any]:
        """Return what `expand.json` says of the outcome; the same however often the job was interrupted."""
        values = asdict(self)
        for name in ("out", "new", "contact_sheet", "estimated_bytes"):
            del values[name]
        return {**values, "labels": dict(self.labels), "contact_sheet": self.contact_sheet and self.contact_sheet.name}


def count_labels(rows: Iterable[dict[str, Any]]) -> tuple[tuple[str, int], ...]:
    """Count copies by label."""
    return tuple(sorted(Counter(row["label"] or "" for row in rows).items()))


def estimate_bytes(sizes: Sequence[int], copies: Sequence[int]) -> int:
    """Guess the size of all copies: each is about as large as its source."""
    return sum(size * count for size, count in zip(sizes, copies, strict=True))
