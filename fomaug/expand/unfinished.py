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
        path: path of the file, which `remove` removes.
    """

    def __init__(self, file: BinaryIO | None = None, name: str = "", path: Path | None = None) -> None:
        self._file = file
        self._path = path
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

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._samples)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def remove(self) -> None:
        """Close and remove the file, whose samples are in the finished archive now."""
        self.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def open_unfinished(plan: ExpandPlan, name: str) -> Unfinished:
    """Open what earlier runs have left of an archive.

    The file is renamed, so that the archive can be written anew; it stays until it is removed, for the case that the
    process is killed while it copies the samples. Then there are two files, and that with more samples is taken.

    Args:
        plan: settings of the job.
        name: name of the archive without its suffix.
    """
    if plan.format != "webdataset":
        return Unfinished()
    file = f"{name}{archive_suffix(plan.format)}"
    newer, older = _paths(path_inside(Path(plan.out), file))
    with suppress(OSError):
        if _count(newer, file) > _count(older, file):
            newer.replace(older)
        else:
            newer.unlink()  # also a pipe, or a link to nowhere, which the writer would open
    try:
        return _read_file(older, file)
    except OSError:
        with suppress(OSError):
            older.unlink()
        return Unfinished()


def unfinished_archives(plan: ExpandPlan, division: Division) -> set[Path]:
    """Return the paths that unfinished archives of a job may have."""
    if plan.format != "webdataset":
        return set()
    suffix = archive_suffix(plan.format)
    return {path for name in division.names for path in _paths(Path(plan.out, f"{name}{suffix}"))}


def _paths(archive: Path) -> tuple[Path, Path]:
    """Return the paths of an archive that is being written, and of an older one whose samples are copied."""
    return temporary_of(archive), temporary_of(archive.with_name(f"{archive.name}.older"))


def _count(path: Path, name: str) -> int:
    """Return the number of complete samples of a file; -1 if there is no file that can be read."""
    try:
        found = _read_file(path, name)
    except OSError:
        return -1
    found.close()
    return len(found)


def _read_file(path: Path, name: str) -> Unfinished:
    opened = open_regular(path, ARCHIVE)
    try:
        return Unfinished(opened, name, path)
    except BaseException:  # reading a large file can be interrupted
        opened.close()
        raise


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
