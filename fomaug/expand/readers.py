"""Readers of sources that are not files of a dataset folder; a job saves them as plain values."""

from __future__ import annotations

import errno
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from typing import Any, Final

from fomaug.errors import MissingExtraError, UnsafeFileError
from fomaug.files import ARCHIVE, PICTURE
from fomaug.remote import open_any, read_any

_KEPT_CURSORS: Final = 2
_RECENT: Final = 32  # cells that a cursor keeps, since threads read in about the order of rows
_BUFFER: Final = 1 << 20


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
        value = _cursors.read(self.file, self.group, self.row, self.column)
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


class _Cursor:
    """A position in a column of a row group; cells are decoded one by one, so that no number of rows fills memory."""

    def __init__(self, file: str, group: int, column: str) -> None:
        arrow, parquet = import_pyarrow()
        self._file, self._error = file, arrow.ArrowException
        self._stack = ExitStack()
        self._next = 0
        self._recent: OrderedDict[int, Any] = OrderedDict()
        with self._explained():
            opened = self._stack.enter_context(open_any(file, ARCHIVE))
            table = self._stack.enter_context(parquet.ParquetFile(opened, buffer_size=_BUFFER))
            if group >= table.num_row_groups:
                raise OSError(errno.EIO, f"it has no row group {group}", file)
            self._cells = table.iter_batches(1, row_groups=[group], columns=[column])

    def reaches(self, row: int) -> bool:
        """Return whether a cell was decoded recently, or comes later."""
        return row >= self._next or row in self._recent

    def read(self, row: int) -> Any:
        """Return a cell, None behind the last one."""
        with self._explained():
            while self._next <= row:
                batch = next(self._cells, None)
                if batch is None:
                    return None
                self._recent[self._next] = batch.column(0)[0].as_py()
                self._next += 1
                while len(self._recent) > _RECENT:
                    self._recent.popitem(last=False)
        return self._recent[row]

    def close(self) -> None:
        """Close the file."""
        self._stack.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        # pyarrow decodes names of columns only as they are looked at.
        except (self._error, KeyError, UnicodeDecodeError) as cause:
            raise OSError(errno.EIO, f"it is damaged: {str(cause)[:200]}", self._file) from cause


class _Cursors:
    """The cursors that were used last; sources are read in about the order of their rows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int, str], _Cursor] = OrderedDict()

    def read(self, file: str, group: int, row: int, column: str) -> Any:
        """Return a cell of a column."""
        key = file, group, column
        with self._lock:
            cursor = self._kept.pop(key, None)
            if cursor is None or not cursor.reaches(row):
                if cursor is not None:
                    cursor.close()
                cursor = _Cursor(file, group, column)
            try:
                value = cursor.read(row)
            except BaseException:
                cursor.close()
                raise
            self._kept[key] = cursor
            while len(self._kept) > _KEPT_CURSORS:
                self._kept.popitem(last=False)[1].close()
            return value


_cursors: Final = _Cursors()


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
