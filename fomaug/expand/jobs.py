"""Division of an expansion into units and shards; it depends on settings and sources alone, so jobs can be resumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fomaug.expand.manifest import CopyId
from fomaug.expand.names import unique_stems
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.sources import SourceFile


@dataclass(frozen=True)
class Job:
    """A source and its copies.

    Attributes:
        source: source file.
        stem: stem of the file names of the copies.
        copies: number of copies.
    """

    source: SourceFile
    stem: str
    copies: int

    @property
    def copy_ids(self) -> list[CopyId]:
        """Identifiers of the copies."""
        return [(self.source.key, copy) for copy in range(self.copies)]


Unit = tuple[Job, ...]  # sources that are loaded, animated and written together


@dataclass(frozen=True)
class Shard:
    """Units whose rows are recorded together: one unit for folders, the content of one file for archives.

    Attributes:
        name: name of the archive without its suffix; empty for folders.
        units: units in their order.
    """

    name: str
    units: tuple[Unit, ...]

    @property
    def copy_ids(self) -> list[CopyId]:
        """Identifiers of the copies."""
        return [copy_id for unit in self.units for job in unit for copy_id in job.copy_ids]


def plan_shards(plan: ExpandPlan, sources: Sequence[SourceFile]) -> list[Shard]:
    """Divide an expansion into shards and units."""
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


def count_copies(plan: ExpandPlan, sources: Sequence[SourceFile]) -> list[int]:
    """Return the number of copies of each source.

    In a balanced expansion, every class has as many sources and copies together as the largest class, whose sources
    have `plan.copies` copies each; no source has more than `plan.max_copies`. Each split is balanced on its own.
    """
    if not plan.balance:
        return [plan.copies] * len(sources)
    sizes = Counter((source.split, source.label) for source in sources)
    largest = Counter[str]()
    for (split, _), size in sizes.items():
        largest[split] = max(largest[split], size)
    seen: Counter[tuple[str, str]] = Counter()
    counts = []
    for source in sources:
        group = source.split, source.label
        missing = largest[source.split] * (1 + plan.copies) - sizes[group]
        share, rest = divmod(missing, sizes[group])
        counts.append(min(plan.max_copies, share + (seen[group] < rest)))
        seen[group] += 1
    return counts


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
