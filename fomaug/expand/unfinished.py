"""Samples of tar files that a stopped job has not finished, so that their copies are not made again.

A tar file is written sample by sample, and each sample has its row and, in the row, the hash of its picture. So the
complete samples of an unfinished file can be told from the rest. A parquet file cannot be read without its end.
"""

from __future__ import annotations

import hashlib
import json
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from fomaug.expand.formats import archive_suffix
from fomaug.expand.manifest import CopyId, Row, copy_id_of
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.row_checks import check_row
from fomaug.expand.samples import Sample, path_inside
from fomaug.expand.shards import Division
from fomaug.expand.sources import Unit
from fomaug.files import ARCHIVE, open_regular, temporary_of

_DAMAGE: Final = (tarfile.TarError, OSError, ValueError, KeyError, TypeError, RecursionError)
_ROW_BYTES: Final = 1 << 26


class Unfinished:
    """The complete samples of an unfinished tar file.

    Args:
        file: the file, open for reading until `close`; None for no samples.
        name: name of the archive in the rows of its samples.
    """

    def __init__(self, file: BinaryIO | None = None, name: str = "") -> None:
        self._file = file
        self._samples: dict[CopyId, tuple[Row, tarfile.TarInfo]] = {}
        if file is not None:
            with suppress(*_DAMAGE):  # of a file without a complete sample
                self._archive = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 - it is closed with its file
                self._samples.update(_complete(self._archive, name))

    def has(self, unit: Unit) -> bool:
        """Return whether all copies of a unit have a sample."""
        return bool(self._samples) and all(copy_id in self._samples for job in unit for copy_id in job.copy_ids)

    def samples(self, unit: Unit) -> Iterator[Sample]:
        """Read the samples of a unit in their order, see `has`."""
        for job in unit:
            for copy_id in job.copy_ids:
                row, member = self._samples[copy_id]
                yield Sample(member.name, _read(self._archive, member), None, row)

    def close(self) -> None:
        """Close the file, whose space is then free."""
        if self._file is not None:
            self._file.close()


def open_unfinished(plan: ExpandPlan, name: str) -> Unfinished:
    """Open what an earlier run has left of an archive.

    The name of the file is removed, so that the archive can be written anew; its samples stay readable.

    Args:
        plan: settings of the job.
        name: name of the archive without its suffix.
    """
    if plan.format != "webdataset":
        return Unfinished()
    file = f"{name}{archive_suffix(plan.format)}"
    temporary = temporary_of(path_inside(Path(plan.out), file))
    try:
        opened = open_regular(temporary, ARCHIVE)
    except OSError:
        with suppress(OSError):
            temporary.unlink()  # a pipe, or a link to nowhere, which the writer would open
        return Unfinished()
    try:
        found = Unfinished(opened, file)  # before the name is removed, because reading a large file can be interrupted
        temporary.unlink()
    except OSError:  # Windows removes no open file, and the writer could not begin
        opened.close()
        return Unfinished()
    except BaseException:
        opened.close()
        raise
    return found


def unfinished_archives(plan: ExpandPlan, division: Division) -> set[Path]:
    """Return the paths that unfinished archives of a job may have."""
    if plan.format != "webdataset":
        return set()
    suffix = archive_suffix(plan.format)
    return {temporary_of(Path(plan.out, f"{name}{suffix}")) for name in division.names}


def _complete(archive: tarfile.TarFile, name: str) -> Iterator[tuple[CopyId, tuple[Row, tarfile.TarInfo]]]:
    """Yield the rows and pictures of the complete samples, up to the first damage."""
    pictures: dict[str, tarfile.TarInfo] = {}
    try:
        for member in archive:
            if not member.name.endswith(".json"):
                pictures[member.name] = member
                continue
            row = _read_row(archive, member)
            picture = pictures[row.pop("member")]
            content = _read(archive, picture)
            if row.pop("file") != name or hashlib.sha256(content).hexdigest() != row["hash"]:
                return
            if not picture.name.endswith(".bmp"):  # whose mark follows the row
                yield copy_id_of(row), (row, picture)
            pictures.clear()
    except _DAMAGE:
        return


def _read_row(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Row:
    if member.size > _ROW_BYTES:
        raise ValueError("a row is shorter")
    row: Row = json.loads(_read(archive, member))
    check_row(row)
    return row


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    if file is None:
        raise ValueError(f"{member.name} is no file")
    return file.read()
