"""The index of a job's rows: it stores the position of each row, not the row, and joins the rows in planned order."""

from __future__ import annotations

import os
import stat
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from fomaug import files
from fomaug.errors import ResumeError
from fomaug.expand.manifest import (
    CopyId,
    Line,
    Row,
    copy_id_of,
    is_original,
    is_rejected,
    is_still,
    list_parts,
    read_lines,
)
from fomaug.expand.output import MANIFEST, PARTS, REJECTED
from fomaug.expand.shards import Division
from fomaug.files import open_regular, replacing
from fomaug.media import sidecar_of
from fomaug.untrusted import load_json

Ints = NDArray[np.int64]
IsWritten = Callable[[Row], bool]
IsWhole = Callable[[str, int, Row], bool]
Companion = Callable[[Row], Path | None]

_BLOCK: Final = 1 << 20
_NO_LABEL: Final = -1  # in the column of labels: a rejected copy
_COLUMNS: Final = {"positions": "q", "offsets": "q", "lengths": "i", "files": "i", "labels": "i", "archives": "i"}
"""Type of each number that is held for a row."""


class RowIndex:
    """Index of the rows in the manifest of a job, its rejected copies and its manifest parts.

    Rows of equal copies have equal content, so the first one counts.

    Args:
        out: output folder.
        division: division of the job.
        is_written: function from a row to whether the files of the copy exist; for archives, `is_whole` is used.
        is_whole: function from the name of an archive, the number of its rows and its last row to whether the archive
            is complete.

    Attributes:
        recorded: one byte for each planned copy, 1 for a copy with a row, whether it is written or rejected.
        flaws: annotations that did not fit their pictures, see the entry `flaws` of rows.
    """

    def __init__(self, out: Path, division: Division, is_written: IsWritten, is_whole: IsWhole) -> None:
        self.out = out
        self.division = division
        self.recorded = bytearray(division.num_copies)
        self.flaws: set[tuple[str, str]] = set()
        self._is_written = is_written
        self._is_whole = is_whole
        self._paths: list[Path] = []
        self._columns = {name: array(kind) for name, kind in _COLUMNS.items()}
        self._orders: dict[bool, Ints] = {}
        self._labels: dict[str, int] = {}
        self._archives: dict[str, int] = {}
        self._unplanned = 0

    def scan(self) -> None:
        """Index everything that is in the output folder; rows whose files are missing or damaged are left out."""
        for path in (self.out / MANIFEST, self.out / REJECTED, *list_parts(self.out)):
            self.add(path)
        self._leave_out(self._damaged_archives())

    def add(self, path: Path, *, checked: bool = True) -> None:
        """Index one file.

        Args:
            path: path of the file; nothing is indexed if it does not exist.
            checked: whether to leave out rows without their files; not needed for a worker that has just ended.
        """
        self._paths.append(path)
        self._orders.clear()
        for line in read_lines(path, torn=True):
            if is_original(line.row):
                continue  # the end of the job writes these rows anew
            if is_rejected(line.row) or not checked or "member" in line.row or self._is_written(line.row):
                self._append(line)

    def has(self, copy_id: CopyId) -> bool:
        """Return whether a copy has a row."""
        position = self.division.position(copy_id)
        return position is not None and bool(self.recorded[position])

    def count_recorded(self, positions: slice) -> int:
        """Return the number of copies in a range of positions that have a row."""
        return self.recorded.count(1, positions.start, positions.stop)

    def counts(self, groups: Iterable[int] | None = None) -> tuple[int, int]:
        """Return the number of written and of rejected copies, of some groups or of all."""
        orders = [self._order(rejected=rejected) for rejected in (False, True)]
        if groups is not None:
            chosen = np.zeros(self.division.num_copies + self._unplanned, bool)
            for number in groups:
                chosen[self.division.positions(number)] = True
            positions = self._column("positions")
            orders = [order[chosen[positions[order]]] for order in orders]
        return len(orders[0]), len(orders[1])

    def count_labels(self) -> tuple[tuple[str, int], ...]:
        """Return the number of written copies by label, sorted."""
        counts = np.bincount(self._column("labels")[self._order(rejected=False)], minlength=len(self._labels))
        return tuple(sorted((label, int(counts[number])) for label, number in self._labels.items() if counts[number]))

    def rows_of(self, key: str, most: int, *, rejected: bool = False) -> list[Row]:
        """Read rows of the first written or rejected copies of a source; not after `join`, which moves the rows."""
        span = self.division.span(key)
        order, positions = self._order(rejected=rejected), self._columns["positions"]
        first, end = (bisect_left(order, bound, key=positions.__getitem__) for bound in (span.start, span.stop))
        return [self._read(number) for number in order[first : min(end, first + most)].tolist()]

    def source_hash(self, key: str) -> str | None:
        """Return the sha256 of the source file that copies were made from; None if no copy is recorded."""
        rows = self.rows_of(key, 1) or self.rows_of(key, 1, rejected=True)
        return rows[0].get("source_hash") if rows else None

    def join(self) -> None:
        """Write the manifest and the file of rejected copies, each in planned order, and remove the parts.

        A file that has only these rows, in this order, is not changed.
        """
        for name, is_rejects in ((MANIFEST, False), (REJECTED, True)):
            order = self._order(rejected=is_rejects)
            if not self._is_joined(self.out / name, order):
                self._write(self.out / name, order)
        for path in list_parts(self.out):
            path.unlink()
        if (self.out / PARTS).is_dir():
            (self.out / PARTS).rmdir()

    def _append(self, line: Line) -> None:
        row = line.row
        position = self.division.position(copy_id_of(row))
        if position is None:
            position = self.division.num_copies + self._unplanned
            self._unplanned += 1
        else:
            self.recorded[position] = 1
        label = _NO_LABEL if is_rejected(row) else self._labels.setdefault(row["label"] or "", len(self._labels))
        archive = self._archives.setdefault(row["file"], len(self._archives)) if "member" in row else -1
        values = (position, line.offset, line.length, len(self._paths) - 1, label, archive)
        for column, value in zip(self._columns.values(), values, strict=True):
            column.append(value)
        self.flaws.update((where, reason) for where, reason in row.get("flaws", ()))

    def _column(self, name: str) -> NDArray[np.signedinteger]:
        return np.frombuffer(self._columns[name], dtype=_COLUMNS[name])

    def _order(self, *, rejected: bool) -> Ints:
        """Return the numbers of the written or rejected rows in planned order, one for each copy."""
        if rejected not in self._orders:
            (numbers,) = np.nonzero((self._column("labels") == _NO_LABEL) == rejected)
            _, firsts = np.unique(self._column("positions")[numbers], return_index=True)
            self._orders[rejected] = numbers[firsts]
        return self._orders[rejected]

    def _damaged_archives(self) -> list[int]:
        """List the archives that are missing, or do not match their last rows."""
        order = self._order(rejected=False)
        archives = self._column("archives")[order]
        by_archive = order[np.argsort(archives, kind="stable")]
        bounds = np.searchsorted(np.sort(archives), range(len(self._archives) + 1)).tolist()
        damaged = []
        for (name, archive), (first, end) in zip(self._archives.items(), pairwise(bounds), strict=True):
            if first == end or not self._is_whole(name, end - first, self._read(int(by_archive[end - 1]))):
                damaged.append(archive)
        return damaged

    def _leave_out(self, archives: list[int]) -> None:
        """Forget the rows of some archives."""
        if not archives:
            return
        lost = np.isin(self._column("archives"), archives)
        for position in self._column("positions")[lost].tolist():
            if position < len(self.recorded):
                self.recorded[position] = 0
        for name, kind in _COLUMNS.items():
            self._columns[name] = array(kind, self._column(name)[~lost].tobytes())
        self._orders.clear()

    def _read(self, number: int) -> Row:
        path = self._paths[self._columns["files"][number]]
        with open_regular(path, files.MANIFEST) as file:
            file.seek(self._columns["offsets"][number])
            line = file.read(self._columns["lengths"][number])
        row: Row = load_json(line, path, ResumeError, finite=False)
        return row

    def _is_joined(self, path: Path, order: Ints) -> bool:
        """Return whether a file holds exactly these rows in this order."""
        if not path.exists():
            return not len(order)
        own = self._paths.index(path)
        offsets = self._column("offsets")[order]
        size = int(self._column("lengths")[order].sum(dtype=np.int64))
        in_order = bool((np.diff(offsets) > 0).all()) and bool((self._column("files")[order] == own).all())
        return in_order and size == path.stat().st_size

    def _write(self, path: Path, order: Ints) -> None:
        """Write rows to a file, in blocks of rows that follow one another in their own files."""
        source, number = None, -1
        with replacing(path, durable=True) as temporary, temporary.open("wb") as target:
            try:
                for file, start, end in self._blocks(order):
                    if source is None or file != number:
                        source = self._reopen(source, file)
                        number = file
                    _copy(source, target, start, end)
            finally:
                if source is not None:
                    source.close()

    def _reopen(self, source: BinaryIO | None, number: int) -> BinaryIO:
        if source is not None:
            source.close()
        return open_regular(self._paths[number], files.MANIFEST)

    def _blocks(self, order: Ints) -> Iterator[tuple[int, int, int]]:
        """Yield number of the file, start and end of each block."""
        if not len(order):
            return
        numbers, starts = self._column("files")[order], self._column("offsets")[order]
        ends = starts + self._column("lengths")[order]
        (breaks,) = np.nonzero((numbers[1:] != numbers[:-1]) | (starts[1:] != ends[:-1]))
        firsts, lasts = [0, *(breaks + 1).tolist()], [*breaks.tolist(), len(order) - 1]
        for first, last in zip(firsts, lasts, strict=True):
            yield int(numbers[first]), int(starts[first]), int(ends[last])


def _copy(source: BinaryIO, target: BinaryIO, start: int, end: int) -> None:
    source.seek(start)
    while start < end:
        block = source.read(min(_BLOCK, end - start))
        target.write(block)
        start += len(block)


def is_written(out: Path, row: Row, companion: Companion | None = None) -> bool:
    """Return whether the file of a copy exists with its size, and its mark and annotation file exist.

    Args:
        out: output folder.
        row: row of a copy in a separate file.
        companion: function from a row to the path of the copy's annotation file, or None.
    """
    path = os.path.join(out, str(row["file"]))  # noqa: PTH118 - there may be millions of rows
    if _size_of(path) != row["bytes"]:
        return False
    mark = sidecar_of(Path(path)) if path.endswith(".bmp") and not is_still(row) else None
    others = [mark, companion(row) if companion else None]
    return all(other is None or _size_of(other) > 0 for other in others)


def _size_of(path: str | Path) -> int:
    """Return the size of a regular file, -1 if there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116
    except (OSError, ValueError):
        return -1
    return status.st_size if stat.S_ISREG(status.st_mode) else -1
