"""The work, cut into units before it begins, so that it is cut the same way when it is resumed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fomaug.expand.balance import count_copies
from fomaug.expand.names import unique_stems
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.sources import SourceFile


@dataclass(frozen=True)
class Job:
    """A source, the stem of its copies, and how many they are."""

    source: SourceFile
    stem: str
    copies: int

    @property
    def tokens(self) -> list[tuple[str, int]]:
        """(key, copy) of every copy: what the ledger settles."""
        return [(self.source.key, copy) for copy in range(self.copies)]


Unit = tuple[Job, ...]  # sources that are read, animated and written together


@dataclass(frozen=True)
class Shard:
    """Units whose rows are recorded together: one unit for folders, one file's worth for archives.

    Attributes:
        name: of the archive, without its suffix; empty for folders.
        units: in order.
    """

    name: str
    units: tuple[Unit, ...]

    @property
    def tokens(self) -> list[tuple[str, int]]:
        """(key, copy) of every copy."""
        return [token for unit in self.units for job in unit for token in job.tokens]


def plan_shards(plan: ExpandPlan, sources: Sequence[SourceFile]) -> list[Shard]:
    """Cut an expansion into shards and units; depends on nothing but the arguments."""
    stems = unique_stems(sources, merged=plan.labels != "keep", dotless=plan.format == "webdataset")
    counts = count_copies(plan, sources)
    jobs = [Job(source, stems[source.key], count) for source, count in zip(sources, counts, strict=True) if count]
    if plan.format == "folder":
        return [Shard("", (unit,)) for unit in _units(jobs, plan.batch_size)]
    shards = []
    for split in sorted({job.source.split for job in jobs}):
        units = _units([job for job in jobs if job.source.split == split], plan.batch_size)
        for number, group in enumerate(_gather(units, plan.samples_per_shard)):
            shards.append(Shard(f"{split}/{number:05d}" if split else f"{number:05d}", group))
    return shards


def _units(jobs: Sequence[Job], batch_size: int) -> Iterator[Unit]:
    unit: list[Job] = []
    for job in jobs:
        if unit and sum(other.copies for other in unit) + job.copies > batch_size:
            yield tuple(unit)
            unit = []
        unit.append(job)
    if unit:
        yield tuple(unit)


def _gather(units: Iterator[Unit], size: int) -> Iterator[tuple[Unit, ...]]:
    group: list[Unit] = []
    count = 0
    for unit in units:
        copies = sum(job.copies for job in unit)
        if group and count + copies > size:
            yield tuple(group)
            group, count = [], 0
        group.append(unit)
        count += copies
    if group:
        yield tuple(group)
