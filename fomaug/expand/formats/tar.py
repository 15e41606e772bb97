"""Numbered tar files in the layout of WebDataset, and the samples in those that a stopped job has not finished.

A tar file is written sample by sample, and each sample has its row and, in the row, the hash of its picture. So the
complete samples of an unfinished file can be told from the rest, and their copies are not made again.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from fomaug.expand.formats.registry import ArchiveWriter, Unfinished, register
from fomaug.expand.manifest import CopyId, Row, check_row, copy_id_of
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.samples import Sample, path_inside
from fomaug.expand.sources import Unit
from fomaug.files import ARCHIVE, open_regular, temporary_of

_TAIL: Final = 2 * tarfile.RECORDSIZE  # largest number of bytes after the last row: a mark, padding and the end mark


@register("webdataset")
class TarWriter(ArchiveWriter):
    """Writer of one archive per shard; members of a copy: image, `.json` and, with classes, `.cls`."""

    suffix = ".tar"

    def __init__(self, out: Path, classes: tuple[str, ...] = ()) -> None:
        super().__init__(out, classes)
        self.numbers = {label: number for number, label in enumerate(classes)}

    def begin(self, shard: str) -> None:
        """Open an empty archive under a temporary name."""
        archive = tarfile.open(self._open(shard), "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115 - the stack closes it
        self._archive = self._stack.enter_context(archive)

    def add(self, sample: Sample) -> None:
        """Append the members of a copy."""
        key = str(PurePosixPath(sample.name).with_suffix(""))
        row = {"file": self.file, "member": sample.name, **sample.row}
        self._append(sample.name, sample.content)
        if sample.row["label"] in self.numbers:
            self._append(f"{key}.cls", str(self.numbers[sample.row["label"]]).encode())
        self._append(f"{key}.json", json.dumps(row).encode())
        if sample.mark is not None:
            self._append(f"{key}.xmp", sample.mark)
        self.rows.append(row)

    def interrupt(self) -> None:
        """Keep the unfinished archive under its temporary name, see `open_unfinished`."""
        if not self.file:
            return  # no archive was begun
        temporary = temporary_of(path_inside(self.out, self.file))
        kept = temporary_of(temporary)
        if temporary.exists():
            temporary.replace(kept)
        self.abandon()
        if kept.exists():
            kept.replace(temporary)

    def open_unfinished(self, shard: str) -> Unfinished:
        """Open the samples of an unfinished archive.

        Its file is renamed, so that the archive can be written anew. It stays until it is removed, for the case that
        this process, too, is killed while it copies the samples. Then there are two files, and that with more samples
        is taken.
        """
        file = f"{shard}{self.suffix}"
        newer, older = _unfinished_paths(path_inside(self.out, file))
        with suppress(OSError):
            if _count(newer, file) > _count(older, file):
                newer.replace(older)
            else:
                newer.unlink()  # also a pipe, or a link to nowhere, which the writer would open
        try:
            return _open(older, file)
        except OSError:
            with suppress(OSError):
                older.unlink()
            return Unfinished()

    @staticmethod
    def read(archive: BinaryIO, names: Sequence[str]) -> dict[str, bytes]:
        """Read members of an archive, by name."""
        with tarfile.open(fileobj=archive, mode="r:") as opened:
            found = {name: opened.extractfile(name) for name in names}
            return {name: member.read() for name, member in found.items() if member is not None}

    @staticmethod
    def is_whole(archive: BinaryIO, count: int, last: Row) -> bool:
        """Return whether the archive starts with a header and ends with the row of its last copy and an end mark."""
        line = json.dumps(last).encode()
        size = archive.seek(0, io.SEEK_END)
        if size < tarfile.RECORDSIZE or size % tarfile.RECORDSIZE:
            return False
        archive.seek(0)
        start = archive.read(tarfile.BLOCKSIZE)
        archive.seek(max(0, size - len(line) - _TAIL))
        end = archive.read()
        has_end_mark = end.endswith(tarfile.NUL * 2 * tarfile.BLOCKSIZE)
        _, found, rest = end.rpartition(line)
        is_last = not rest.strip(tarfile.NUL) or str(last["member"]).endswith(".bmp")  # whose mark is one more member
        return has_end_mark and bool(found) and is_last and _is_header(start)

    def _append(self, name: str, content: bytes) -> None:
        member = tarfile.TarInfo(name)  # time, owner and mode are constants: equal samples give equal bytes
        member.size = len(content)
        self._archive.addfile(member, io.BytesIO(content))


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    return True


_DAMAGE: Final = (tarfile.TarError, OSError, ValueError, KeyError, TypeError, RecursionError)
_ROW_BYTES: Final = 1 << 26


class UnfinishedTar(Unfinished):
    """The complete samples of an unfinished tar file.

    Args:
        file: the file, open for reading until `close`.
        name: name of the archive in the rows of its samples.
        path: path of the file.
    """

    def __init__(self, file: BinaryIO, name: str, path: Path) -> None:
        self._file = file
        self._path = path
        self._samples: dict[CopyId, tuple[Row, tarfile.TarInfo]] = {}
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
        self._file.close()

    def remove(self) -> None:
        """Close and remove the file."""
        self.close()
        self._path.unlink(missing_ok=True)


def unfinished_archives(plan: ExpandPlan, names: Iterable[str]) -> set[Path]:
    """Return the paths that unfinished archives of a job may have, by the names of its archives without suffix."""
    if plan.format != "webdataset":
        return set()
    return {path for name in names for path in _unfinished_paths(Path(plan.out, f"{name}{TarWriter.suffix}"))}


def _unfinished_paths(archive: Path) -> tuple[Path, Path]:
    """Return the paths of an archive that is being written, and of an older one whose samples are copied."""
    return temporary_of(archive), temporary_of(archive.with_name(f"{archive.name}.older"))


def _count(path: Path, name: str) -> int:
    """Return the number of complete samples of a file; -1 if there is no file that can be read."""
    try:
        found = _open(path, name)
    except OSError:
        return -1
    found.close()
    return len(found)


def _open(path: Path, name: str) -> UnfinishedTar:
    opened = open_regular(path, ARCHIVE)
    try:
        return UnfinishedTar(opened, name, path)
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
