"""Numbered tar files in the layout of WebDataset."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from fomaug.expand.formats.registry import ArchiveWriter, register
from fomaug.expand.manifest import Row
from fomaug.expand.samples import Sample, path_inside
from fomaug.files import temporary_of

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
        """Keep the unfinished archive under its temporary name; `Unfinished` reads it."""
        if not self.file:
            return  # no archive was begun
        temporary = temporary_of(path_inside(self.out, self.file))
        kept = temporary_of(temporary)
        if temporary.exists():
            temporary.replace(kept)
        self.abandon()
        if kept.exists():
            kept.replace(temporary)

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
