"""Division of an expansion into units, groups and archives; it depends on settings and sources alone, for resumed jobs.

Hugging Face datasets reads every file of a folder as data unless files are named after splits. So archives of a
dataset without splits are called train, and the files beside them (manifest, summary) are ignored. Its reader of tar
files expects all samples to have the members of the first ones, so a tar file has pictures of one format.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, groupby
from pathlib import PurePosixPath
from typing import Final, NamedTuple

from fomaug.expand.manifest import CopyId
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.sources import Group, SourceFile, SourceJob, Unit
from fomaug.media import written_format

_COPY: Final = re.compile(r"(.*)_m\d{3,}", re.DOTALL)  # the stem of a copy's file
# Least number of groups of a job that is written to folders, where units allow it: at its end, workers wait for the
# last groups of others, so these are small.
_FOLDER_GROUPS: Final = 256


class ShardKey(NamedTuple):
    """The split and the format that the pictures of an archive share; keys sort like archives.

    Attributes:
        split: split; empty without splits.
        rank: position of the format among all formats, the most frequent one first.
        format: image format; empty where archives may hold several.
    """

    split: str
    rank: int = 0
    format: str = ""


def shard_name(split: str, number: int, *, divided: bool = False, originals: bool = False) -> str:
    """Return the name of an archive without its suffix.

    Args:
        split: split of its pictures; empty for none.
        number: number of the archive in its split.
        divided: whether other pictures of the dataset are in splits.
        originals: True for an archive of originals, which holds no copies.

    >>> shard_name("val", 2), shard_name("", 0), shard_name("", 0, divided=True)
    ('val/00002', 'train-00000', 'unsplit-00000')
    >>> shard_name("val", 2, originals=True), shard_name("", 0, originals=True)
    ('val/originals-00002', 'train-originals-00000')
    """
    name = f"originals-{number:05d}" if originals else f"{number:05d}"
    if split:
        return f"{split}/{name}"
    return f"{'unsplit' if divided else 'train'}-{name}"


def shard_keys(plan: ExpandPlan, sources: Iterable[SourceFile]) -> Callable[[SourceFile], ShardKey]:
    """Make the function that assigns copies to archives: sources with equal keys may share an archive."""
    if plan.format != "webdataset" or plan.image_format != "same":
        return lambda source: ShardKey(source.split)
    counts = Counter(map(_format_of, sources))
    ranks = {name: rank for rank, (name, _) in enumerate(sorted(counts.items(), key=lambda item: (-item[1], item[0])))}
    return lambda source: ShardKey(source.split, ranks[_format_of(source)], _format_of(source))


def _format_of(source: SourceFile) -> str:
    return written_format(PurePosixPath(source.key).suffix)


class Division:
    """Division of all copies of a job into groups; it holds a few numbers for each source and makes groups on demand.

    Attributes:
        sources: sources with copies, in the order of their copies.
        starts: position of the first copy of each source, and at the end the number of all copies.
        num_groups: number of groups.
    """

    def __init__(self, plan: ExpandPlan, sources: Sequence[SourceFile]) -> None:
        stems = choose_stems(plan, sources)
        counts = zip(sources, count_copies(plan, sources), strict=True)
        jobs = [(source, stems[source.key], count) for source, count in counts if count]
        key = shard_keys(plan, sources)
        if plan.format != "folder":
            jobs.sort(key=lambda job: key(job[0]))  # the sort keeps the order of sources
        self._batch_size = plan.batch_size
        self.sources = [source for source, _, _ in jobs]
        self._stems = [stem for _, stem, _ in jobs]
        self.starts = array("q", accumulate((count for _, _, count in jobs), initial=0))
        self._numbers = {source.key: number for number, source in enumerate(self.sources)}
        self._groups = list(self._divide(plan, key))

    @property
    def num_copies(self) -> int:
        """Number of all copies."""
        return self.starts[-1]

    @property
    def num_groups(self) -> int:
        """Number of groups."""
        return len(self._groups)

    @property
    def names(self) -> set[str]:
        """Names of the archives without their suffix."""
        return {name for name, _, _ in self._groups}

    def position(self, copy_id: CopyId) -> int | None:
        """Return the position of a copy in the job; None for a copy that is not planned."""
        key, copy = copy_id
        number = self._numbers.get(key)
        if number is None or not 0 <= copy < self.starts[number + 1] - self.starts[number]:
            return None
        return self.starts[number] + copy

    def span(self, key: str) -> slice:
        """Return the positions of the copies of a source; an empty slice for one without copies."""
        number = self._numbers.get(key)
        return slice(0, 0) if number is None else slice(self.starts[number], self.starts[number + 1])

    def positions(self, number: int) -> slice:
        """Return the positions of the copies of a group."""
        _, first, end = self._groups[number]
        return slice(self.starts[first], self.starts[end])

    def count_copies(self, numbers: Iterable[int]) -> int:
        """Return the number of copies of some groups."""
        spans = map(self.positions, numbers)
        return sum(span.stop - span.start for span in spans)

    def group(self, number: int) -> Group:
        """Make one group."""
        name, first, end = self._groups[number]
        return Group(number, name, tuple(self._units(first, end)))

    def jobs(self) -> Iterator[SourceJob]:
        """Iterate over the sources and the numbers of their copies."""
        return map(self._job, range(len(self.sources)))

    def _job(self, number: int) -> SourceJob:
        return SourceJob(self.sources[number], self._stems[number], self.starts[number + 1] - self.starts[number])

    def _units(self, first: int, end: int) -> Iterator[Unit]:
        for start, stop in self._unit_bounds(first, end):
            yield tuple(self._job(number) for number in range(start, stop))

    def _unit_bounds(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Gather sources to units of at most `batch_size` copies, or of one source."""
        return _gather(list(self.starts[first : end + 1]), self._batch_size, first)

    def _divide(self, plan: ExpandPlan, key: Callable[[SourceFile], ShardKey]) -> Iterator[tuple[str, int, int]]:
        """Gather the units of each archive, or of a whole folder, to groups: name, first source and end."""
        if plan.format == "folder":
            size = _folder_size(plan, self.num_copies)
            yield from (("", *bounds) for bounds in self._divide_run(0, len(self.sources), size))
            return
        first, numbers = 0, Counter[str]()
        divided = any(source.split for source in self.sources)
        for (split, *_), members in groupby(self.sources, key):
            end = first + sum(1 for _ in members)
            for bounds in self._divide_run(first, end, plan.samples_per_shard):
                yield shard_name(split, numbers[split], divided=divided), *bounds
                numbers[split] += 1
            first = end

    def _divide_run(self, first: int, end: int, size: int) -> Iterator[tuple[int, int]]:
        """Gather the units of some sources to groups of at most `size` copies: first source and end of each."""
        bounds = [start for start, _ in self._unit_bounds(first, end)] + [end]
        firsts = [self.starts[bound] for bound in bounds]
        yield from ((bounds[start], bounds[stop]) for start, stop in _gather(firsts, size))


def _folder_size(plan: ExpandPlan, num_copies: int) -> int:
    """Return the number of copies of a group of files; small jobs have many groups, so that many workers have one."""
    return max(plan.batch_size, min(plan.samples_per_shard, num_copies // _FOLDER_GROUPS))


def _gather(starts: Sequence[int], size: int, offset: int = 0) -> Iterator[tuple[int, int]]:
    """Yield the first item and the end of runs of items of at most `size` copies, or of one item.

    Args:
        starts: position of the first copy of each item, and the end of the last.
        size: largest number of copies.
        offset: number of the first item.
    """
    first = 0
    for end in range(1, len(starts)):
        if end == len(starts) - 1 or starts[end + 1] - starts[first] > size:
            yield first + offset, end + offset
            first = end


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


def choose_stems(plan: ExpandPlan, sources: Sequence[SourceFile]) -> dict[str, str]:
    """Choose the stem of the copies of each source, by the source's key, see `unique_stems`."""
    return unique_stems(
        sources,
        merged=plan.labels != "keep",
        dotless=plan.format == "webdataset",
        originals=plan.include_sources != "none",
    )


def unique_stems(
    sources: Sequence[SourceFile], *, merged: bool = False, dotless: bool = False, originals: bool = False
) -> dict[str, str]:
    """Choose the stem of the copies of each source, by the source's key.

    The stem is that of the source file. If another file of the folder has the same stem up to capitals and the encoding
    of accents, the suffix and a number are appended.

    Args:
        sources: source files; earlier ones keep their stem.
        merged: True if copies of several classes share a folder.
        dotless: True to replace dots by dashes, for archives in which the first dot ends a name.
        originals: True if the originals are in the same folders as the copies; an original with the name of a copy of
            another one, `1_m000`, then keeps its name, and the copies of the other one get another stem.
    """
    taken: set[str] = set()
    stems: dict[str, str] = {}
    reserved: set[str] = set()
    if originals:
        bases = (_base(source, merged=merged, dotless=dotless) for source in sources)
        matches = (_COPY.fullmatch(fold(f"{folder}/{base}")) for folder, base, _ in bases)
        reserved = {match[1] for match in matches if match}
    for source in sources:
        folder, base, suffix = _base(source, merged=merged, dotless=dotless)
        stem, number = base, 1
        while (folded := fold(f"{folder}/{stem}")) in taken or folded in reserved:
            number += 1
            plain = f"{base}-{suffix.lower()}"
            stem = plain if number == 2 else f"{plain}-{number}"
        taken.add(folded)
        stems[source.key] = stem
    return stems


def _base(source: SourceFile, *, merged: bool, dotless: bool) -> tuple[str, str, str]:
    """Return the folder that names must be unique in, and stem and suffix of a source."""
    label = "" if merged else source.label
    folder = "/".join(part for part in (source.split_folder, label, source.folder) if part)
    base, suffix = _split_name(source.key.rpartition("/")[2])
    return folder, base.replace(".", "-") if dotless else base, suffix


def _split_name(name: str) -> tuple[str, str]:
    """Divide the name of a file into stem and suffix, as pathlib does."""
    dot = name.rfind(".")
    return (name[:dot], name[dot + 1 :]) if 0 < dot < len(name) - 1 else (name, "")


def fold(name: str) -> str:
    """Map names that are equal on some file system to one string."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def plan_units(jobs: Iterable[SourceJob], batch_size: int) -> Iterator[Unit]:
    """Divide sources, in their order, into units of up to `batch_size` copies; one source is never divided."""
    members = list(jobs)
    starts = list(accumulate((job.copies for job in members), initial=0))
    for first, end in _gather(starts, batch_size):
        yield tuple(members[first:end])
