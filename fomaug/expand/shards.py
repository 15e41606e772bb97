"""Division of an expansion into units and shards; it depends on settings and sources alone, so jobs can be resumed."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import PurePosixPath

from fomaug.expand.plan import ExpandPlan
from fomaug.expand.sources import Shard, SourceFile, SourceJob, Unit


def plan_shards(plan: ExpandPlan, sources: Sequence[SourceFile]) -> list[Shard]:
    """Divide an expansion into shards and units."""
    stems = unique_stems(sources, merged=plan.labels != "keep", dotless=plan.format == "webdataset")
    counts = count_copies(plan, sources)
    jobs = [SourceJob(source, stems[source.key], count) for source, count in zip(sources, counts, strict=True) if count]
    if plan.format == "folder":
        return [Shard("", (unit,)) for unit in plan_units(jobs, plan.batch_size)]
    shards = []
    for split in sorted({job.source.split for job in jobs}):
        units = plan_units([job for job in jobs if job.source.split == split], plan.batch_size)
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


def unique_stems(sources: Iterable[SourceFile], *, merged: bool = False, dotless: bool = False) -> dict[str, str]:
    """Choose the stem of the copies of each source, by the source's key.

    The stem is that of the source file. If another file of the folder has the same stem up to capitals and the encoding
    of accents, the suffix and a number are appended.

    Args:
        sources: source files; earlier ones keep their stem.
        merged: True if copies of several classes share a folder.
        dotless: True to replace dots by dashes, for archives in which the first dot ends a name.
    """
    taken: set[str] = set()
    stems: dict[str, str] = {}
    for source in sources:
        path = PurePosixPath(source.key)
        folder = PurePosixPath(source.split_folder) / source.folder if merged else path.parent
        base = path.stem.replace(".", "-") if dotless else path.stem
        stem, number = base, 1
        while (folded := fold(str(folder / stem))) in taken:
            number += 1
            plain = f"{base}-{path.suffix[1:].lower()}"
            stem = plain if number == 2 else f"{plain}-{number}"
        taken.add(folded)
        stems[source.key] = stem
    return stems


def fold(name: str) -> str:
    """Map names that are equal on some file system to one string."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def plan_units(jobs: Iterable[SourceJob], batch_size: int) -> Iterator[Unit]:
    """Divide sources, in their order, into units of up to `batch_size` copies; one source is never divided."""
    unit: list[SourceJob] = []
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
