"""Where the copies go: a tree of files here, or archives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fomaug.expand._names import place_inside
from fomaug.writers import write_file

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
            write_file(path.with_name(f"{path.name}.xmp"), sample.mark)
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
        from fomaug.expand._tar import TarSink

        return TarSink(out, classes)
    if format == "parquet":
        from fomaug.expand._parquet import ParquetSink

        return ParquetSink(out)
    return FolderSink(out)


def load_output(out: Path, row: Row) -> bytes:
    """Read a written picture back by its row."""
    path = out / str(row["file"])
    if "member" not in row:
        return path.read_bytes()
    if path.suffix == ".tar":
        from fomaug.expand._tar import load_member

        return load_member(path, str(row["member"]))
    from fomaug.expand._parquet import load_picture

    return load_picture(path, str(row["member"]))
