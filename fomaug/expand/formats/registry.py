"""The interface and registry of output formats, and the format of folders; a new file of this folder is imported."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, ClassVar, Final, TypeVar

from fomaug.errors import MediaError, check_choice
from fomaug.expand.manifest import Row
from fomaug.expand.samples import Sample, path_inside
from fomaug.expand.sources import Unit
from fomaug.files import ARCHIVE, PICTURE, flush_folder, replacing, write_file
from fomaug.media import sidecar_of
from fomaug.remote import open_any, read_any


class Unfinished:
    """The samples of a shard that an earlier run has not finished; most formats have none."""

    def has(self, unit: Unit) -> bool:
        """Return whether all copies of a unit have a sample."""
        del unit
        return False

    def samples(self, unit: Unit) -> Iterator[Sample]:
        """Read the samples of a unit in their order, see `has`."""
        del unit
        return iter(())

    def close(self) -> None:
        """Release what is open."""

    def remove(self) -> None:
        """Remove the samples, which are in the finished shard now."""


class FormatWriter(ABC):
    """Writer of samples, shard by shard; a shard is visible, as a whole, once it is finished.

    Files are on the disk before `finish` returns their rows, so that a row that survives a power cut has its file.

    Args:
        out: output folder.
        classes: labels of all copies, for formats that number classes.

    Attributes:
        per_unit: True if every unit is a shard of its own, False if a shard is one file of several units.
    """

    per_unit: ClassVar[bool] = False

    def __init__(self, out: Path, classes: tuple[str, ...] = ()) -> None:
        self.out = out
        self.classes = classes
        self.rows: list[Row] = []

    @abstractmethod
    def begin(self, shard: str) -> None:
        """Open a shard."""

    def prepare(self, sample: Sample) -> Sample:
        """Do the work on a sample that is independent of its order; threads call this method."""
        return sample

    @abstractmethod
    def add(self, sample: Sample) -> None:
        """Append a prepared sample to the shard."""

    @abstractmethod
    def finish(self) -> list[Row]:
        """Close the shard and return its rows."""

    @abstractmethod
    def abandon(self) -> None:
        """Remove an unfinished shard."""

    def interrupt(self) -> None:
        """Keep what the next run can use of an unfinished shard, and remove the rest."""
        self.abandon()

    def open_unfinished(self, shard: str) -> Unfinished:
        """Open what `interrupt`, or a killed process, has kept of a shard."""
        del shard
        return Unfinished()


class ArchiveWriter(FormatWriter):
    """Writer of one archive per shard, under a temporary name until the archive is complete.

    Attributes:
        suffix: suffix of the archives.
        file: path of the archive below `out`.
    """

    suffix: ClassVar[str]

    def __init__(self, out: Path, classes: tuple[str, ...] = ()) -> None:
        super().__init__(out, classes)
        self.file = ""
        self._stack = ExitStack()

    @staticmethod
    @abstractmethod
    def read(archive: BinaryIO, names: Sequence[str]) -> Mapping[str, bytes]:
        """Read image files from an open archive, by name."""

    @staticmethod
    @abstractmethod
    def is_whole(archive: BinaryIO, count: int, last: Row) -> bool:
        """Return whether an archive is complete, without reading all of it.

        Args:
            archive: the archive, open for reading.
            count: number of its copies.
            last: row of the last copy.
        """

    def _open(self, shard: str) -> Path:
        """Start an archive and return its temporary path; `finish` closes what is entered into `_stack`."""
        self.file, self.rows, self._stack = f"{shard}{self.suffix}", [], ExitStack()
        return self._stack.enter_context(replacing(path_inside(self.out, self.file), durable=True))

    def finish(self) -> list[Row]:
        """Close the archive and rename it to its final name."""
        self._stack.close()
        return self.rows

    def abandon(self) -> None:
        """Delete the unfinished archive."""
        # An error makes the stack delete the temporary file instead of renaming it.
        self._stack.__exit__(InterruptedError, InterruptedError(), None)


W = TypeVar("W", bound=type[FormatWriter])
FORMATS: Final[dict[str, type[FormatWriter]]] = {}


def register(name: str) -> Callable[[W], W]:
    """Decorate the writer of a format with the name of the format."""

    def add(writer: W) -> W:
        assert name not in FORMATS, f"format {name} is registered twice"
        FORMATS[name] = writer
        return writer

    return add


def archive_suffix(format: str) -> str:
    """Return the suffix of the archives of a format; empty for folders.

    >>> archive_suffix("webdataset"), archive_suffix("folder")
    ('.tar', '')
    """
    writer = FORMATS[format]
    return writer.suffix if issubclass(writer, ArchiveWriter) else ""


def open_writer(out: Path, format: str, classes: tuple[str, ...]) -> FormatWriter:
    """Make the writer of a format.

    Raises:
        ArgumentError: the format is unknown.
        MissingExtraError: the format needs a package that is not installed.
    """
    check_choice("format", format, FORMATS)
    return FORMATS[format](out, classes)


def load_outputs(out: str | Path, rows: Sequence[Row]) -> list[bytes]:
    """Read written image files by their rows; every archive is opened once.

    Args:
        out: output folder, or its URL.
        rows: rows of the manifest.
    """
    members: dict[str, list[str]] = {}
    for row in rows:
        if "member" in row:
            members.setdefault(row["file"], []).append(row["member"])
    archives = {file: _read_archive(f"{out}/{file}", names) for file, names in members.items()}
    return [
        archives[row["file"]][row["member"]] if "member" in row else read_any(f"{out}/{row['file']}", PICTURE)
        for row in rows
    ]


def is_whole_archive(name: str, count: int, last: Row) -> bool:
    """Return whether an archive of a known format is there and complete, see `ArchiveWriter.is_whole`.

    Args:
        name: path or URL of the archive.
        count: number of its copies.
        last: row of the last copy.
    """
    try:
        with open_any(name, ARCHIVE) as archive:
            return _format_of(name).is_whole(archive, count, last)
    except OSError:
        return False


def _read_archive(name: str, names: Sequence[str]) -> Mapping[str, bytes]:
    writer = _format_of(name)
    with open_any(name, ARCHIVE) as archive:
        return writer.read(archive, names)


def _format_of(name: str) -> type[ArchiveWriter]:
    for writer in FORMATS.values():
        if issubclass(writer, ArchiveWriter) and name.endswith(writer.suffix):
            return writer
    raise MediaError(f"{name} is not an archive of a known format ({', '.join(FORMATS)}); restore the manifest")


@register("folder")
class FolderWriter(FormatWriter):
    """Writer of one file per copy."""

    per_unit = True

    def __init__(self, out: Path, classes: tuple[str, ...] = ()) -> None:
        super().__init__(out, classes)
        self._checked: set[Path] = set()

    def begin(self, shard: str) -> None:
        """Start an empty list of rows."""
        self.rows = []

    def prepare(self, sample: Sample) -> Sample:
        """Write the file of a copy."""
        path = self._path(sample.name)
        if sample.mark is not None:
            write_file(sidecar_of(path), sample.mark, durable=True)
        write_file(path, sample.content, durable=True)
        return sample

    def _path(self, name: str) -> Path:
        """Return the path of a copy; each folder is checked once, since that takes several calls of the system."""
        path = self.out / name
        if path.parent not in self._checked:
            self._checked.add(path_inside(self.out, name).parent)
        return path

    def add(self, sample: Sample) -> None:
        """Append the row of a copy."""
        self.rows.append({"file": sample.name, **sample.row})

    def finish(self) -> list[Row]:
        """Wait until the names of the files are on the disk, and return the rows of the shard."""
        for folder in {(self.out / row["file"]).parent for row in self.rows}:
            flush_folder(folder)
        return self.rows

    def abandon(self) -> None:
        """Keep complete files, which a resumed job replaces by equal ones."""
