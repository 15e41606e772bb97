"""Where the copies go: a tree of files here, or archives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fomaug.expand.names import place_inside
from fomaug.files import PICTURE, read_regular, write_file
from fomaug.media import sidecar_of

Row = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """One copy, encoded.

    Attributes:
        name: path within the expanded dataset, with slashes.
        content: the picture file.
        mark: the mark of a picture whose format has no room for it, else None.
        row: what the manifest shall say; the sink adds where it lies.
    """

    name: str
    content: bytes
    mark: bytes | None
    row: Row


class Sink(Protocol):
    """Takes samples shard by shard; a shard is visible, whole, when it is finished."""

    def begin(self, shard: str) -> None:
        """Open a shard."""

    def prepare(self, sample: Sample) -> Sample:
        """Do what may be done in any thread and any order."""

    def add(self, sample: Sample) -> None:
        """Take a prepared sample, in order."""

    def finish(self) -> list[Row]:
        """Close the shard and return its rows."""

    def abandon(self) -> None:
        """Leave nothing of an unfinished shard."""


class FolderSink:
    """One file per copy."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.rows: list[Row] = []

    def begin(self, shard: str) -> None:
        """Forget the last unit."""
        self.rows = []

    def prepare(self, sample: Sample) -> Sample:
        """Write the file."""
        path = place_inside(self.out, sample.name)
        if sample.mark is not None:
            write_file(sidecar_of(path), sample.mark)
        write_file(path, sample.content)
        return sample

    def add(self, sample: Sample) -> None:
        """Note the row."""
        self.rows.append({"file": sample.name, **sample.row})

    def finish(self) -> list[Row]:
        """Return the rows of the unit."""
        return self.rows

    def abandon(self) -> None:
        """Whole files may stay: they are written again, the same, when the job is resumed."""


def open_sink(out: Path, format: str, classes: tuple[str, ...]) -> Sink:
    """Make the sink for a format; `classes` are numbered where a format wants numbers."""
    if format == "webdataset":
        from fomaug.expand.formats.tar import TarSink

        return TarSink(out, classes)
    if format == "parquet":
        from fomaug.expand.formats.parquet import ParquetSink

        return ParquetSink(out)
    return FolderSink(out)


def load_outputs(out: Path, rows: Sequence[Row]) -> list[bytes]:
    """Read written pictures back by their rows; every archive is opened once."""
    members: dict[str, list[str]] = {}
    for row in rows:
        if "member" in row:
            members.setdefault(row["file"], []).append(row["member"])
    archives = {file: _load_members(out / file, names) for file, names in members.items()}
    return [
        archives[row["file"]][row["member"]] if "member" in row else read_regular(out / row["file"], PICTURE)
        for row in rows
    ]


def _load_members(path: Path, names: Sequence[str]) -> Mapping[str, bytes]:
    if path.suffix == ".tar":
        from fomaug.expand.formats.tar import load_members

        return load_members(path, names)
    from fomaug.expand.formats.parquet import load_pictures

    return load_pictures(path, names)
