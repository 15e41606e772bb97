"""Readers of sources that are no files of a dataset folder; a job saves them as plain values."""

from __future__ import annotations

import errno
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final

from fomaug.errors import MissingExtraError, UnsafeFileError
from fomaug.files import ARCHIVE, PICTURE
from fomaug.remote import open_any, read_any

_MOST_GROUP_BYTES: Final = 4 << 30  # of the pictures of a row group, which are in memory together
_KEPT_GROUPS: Final = 2


@dataclass(frozen=True, slots=True)
class FileReader:
    """Reader of a file.

    Attributes:
        name: path or URL.
    """

    name: str

    def read(self) -> bytes:
        """Read the bytes of the picture file."""
        return read_any(self.name, PICTURE)


@dataclass(frozen=True, slots=True)
class TarReader:
    """Reader of a member of a tar file, at a known position; the archive is not unpacked.

    Attributes:
        archive: path or URL of the archive.
        offset: position of the member's first byte.
        size: number of its bytes.
    """

    archive: str
    offset: int
    size: int

    def read(self) -> bytes:
        """Read the bytes of the picture file."""
        if self.size > PICTURE.most:
            reason = f"it has {self.size:,} bytes, more than the {PICTURE.most:,} that {PICTURE.name} may have"
            raise UnsafeFileError(errno.EFBIG, reason, self.archive)
        return read_any(self.archive, ARCHIVE, self.offset, self.size)


@dataclass(frozen=True, slots=True)
class ParquetReader:
    """Reader of a cell of a parquet file.

    Attributes:
        file: path or URL of the file.
        group: number of the row group.
        row: number of the row in the group.
        column: name of the column, which holds bytes or structs with the field `bytes`.
    """

    file: str
    group: int
    row: int
    column: str

    def read(self) -> bytes:
        """Read the bytes of the picture file."""
        cells = _groups.cells(self.file, self.group, self.column)
        value = cells[self.row].as_py() if self.row < len(cells) else None
        value = value.get("bytes") if isinstance(value, dict) else value
        if not isinstance(value, bytes):
            raise OSError(
                errno.EIO, "its cell has no bytes; save the picture itself in the file, not its path", self.file
            )
        return value


Reader = FileReader | TarReader | ParquetReader

_KINDS: Final[dict[str, type[Any]]] = {"file": FileReader, "tar": TarReader, "parquet": ParquetReader}


def to_json(reader: Reader) -> list[Any]:
    """Return a reader as plain JSON: the name of its kind, and its values."""
    kind = next(name for name, found in _KINDS.items() if found is type(reader))
    return [kind, *astuple(reader)]


def from_json(values: Sequence[Any]) -> Reader:
    """Make a reader from the result of `to_json`.

    Raises:
        ValueError: the values have another form.

    >>> from_json(["tar", "faces.tar", 512, 1024])
    TarReader(archive='faces.tar', offset=512, size=1024)
    """
    kind, *rest = values
    if kind not in _KINDS:
        raise ValueError(f"unknown reader {kind!r}")
    types = [str if value == "str" else int for value in _KINDS[kind].__annotations__.values()]
    fits = len(rest) == len(types) and all(type(value) is kind for value, kind in zip(rest, types, strict=True))
    if not fits or any(isinstance(value, int) and value < 0 for value in rest):
        raise ValueError(f"the values of a reader have another form: {values!r:.80}")
    reader: Reader = _KINDS[kind](*rest)
    return reader


class _RowGroups:
    """A cache of the last row groups' picture columns; sources are read in about the order of their rows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int, str], Any] = OrderedDict()

    def cells(self, file: str, group: int, column: str) -> Any:
        """Return the cells of a column as a pyarrow array."""
        key = file, group, column
        with self._lock:
            if key not in self._kept:
                while len(self._kept) >= _KEPT_GROUPS:
                    self._kept.popitem(last=False)
                self._kept[key] = _read_group(file, group, column)
            self._kept.move_to_end(key)
            return self._kept[key]


_groups: Final = _RowGroups()


def _read_group(file: str, group: int, column: str) -> Any:
    arrow, parquet = import_pyarrow()
    try:
        with open_any(file, ARCHIVE) as opened, parquet.ParquetFile(opened) as table:
            if group >= table.num_row_groups:
                raise OSError(errno.EIO, f"it has no row group {group}", file)
            size = _group_bytes(table.metadata.row_group(group), column)
            if size > _MOST_GROUP_BYTES:
                reason = f"its row group {group} has {size:,} bytes; write it in groups of fewer rows"
                raise UnsafeFileError(errno.EFBIG, reason, file)
            return table.read_row_group(group, columns=[column])[column]
    except (arrow.ArrowException, KeyError) as cause:
        raise OSError(errno.EIO, f"it is damaged: {str(cause)[:200]}", file) from cause


def _group_bytes(group: Any, column: str) -> int:
    columns = [group.column(number) for number in range(group.num_columns)]
    own = [found for found in columns if found.path_in_schema.split(".")[0] == column]
    return sum(int(found.total_uncompressed_size) for found in own)


def import_pyarrow() -> tuple[Any, Any]:
    """Import pyarrow and its reader of parquet files.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as cause:
        raise MissingExtraError("pyarrow", "parquet") from cause
    return pyarrow, pyarrow.parquet
