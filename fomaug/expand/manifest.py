"""The manifest of an output folder: its rows, which are checked when they are read, and the parts of its workers."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from fomaug import files
from fomaug.errors import FomaugError, MediaError, ResumeError, UnsafeFileError, reason_of, shortened
from fomaug.expand.output import MANIFEST, PARTS, REJECTED, lock_file, open_part
from fomaug.files import append_line, flush_folder, open_regular
from fomaug.remote import write_url
from fomaug.untrusted import load_json

_LONGEST_LINE: Final = 1 << 26  # characters; a row with the annotations of a crowd has a few hundred thousand

Row = dict[str, Any]
CopyId = tuple[str, int]  # key of the source, number of the copy


@contextmanager
def explained_writes(out: str | Path, remedy: str = "; resume=True (--resume) continues the job") -> Iterator[None]:
    """Re-raise write errors with the name of the output folder and a remedy.

    Raises:
        MediaError: a file could not be written.
    """
    try:
        yield
    except FomaugError:
        raise
    except OSError as cause:
        reason = f"{reason_of(cause)} ({cause.filename})" if cause.filename else reason_of(cause)
        raise MediaError(f"cannot write to {out}: {reason}; files already written are complete{remedy}") from cause


class Line(NamedTuple):
    """One line of a manifest.

    Attributes:
        row: the row.
        offset: position of the line in the file, in bytes.
        length: number of bytes, with the end of the line.
    """

    row: Row
    offset: int
    length: int


def read_rows(path: Path, *, originals: bool = False) -> Iterator[Row]:
    """Read a manifest, or a file of rejected copies, row by row.

    Args:
        path: path of the file.
        originals: whether to include the rows of originals.

    Raises:
        ResumeError: a line is damaged or not a row, or the path is not a regular file.
    """
    return (line.row for line in read_lines(path) if originals or not is_original(line.row))


def read_job_rows(out: Path, name: str = MANIFEST) -> Iterator[Row]:
    """Read the written or the rejected rows of a job that may still be running; those of unfinished workers come last.

    Args:
        out: output folder.
        name: `MANIFEST` or `REJECTED`.

    Raises:
        ResumeError: a line is damaged or not a row, or a path is not a regular file.
    """
    yield from read_rows(out / name)
    for path in list_parts(out):
        for line in read_lines(path, torn=True):
            if is_rejected(line.row) == (name == REJECTED):
                yield line.row


def list_parts(out: Path) -> list[Path]:
    """List the manifest parts of an unfinished job, sorted."""
    return sorted((out / PARTS).glob("*.jsonl"))


def is_original(row: Row) -> bool:
    """Return whether a row is that of an original, which no model made."""
    return "original" in row


def is_rejected(row: Row) -> bool:
    """Return whether a row is that of a rejected copy."""
    return "reasons" in row


def read_lines(path: Path, *, torn: bool = False) -> Iterator[Line]:
    """Read rows with their positions in the file, see `read_rows`.

    Args:
        path: a manifest, a file of rejected copies, or a manifest part, which holds rows of both kinds.
        torn: whether to leave out a last line without an end, as a process leaves it that is killed during a write.
    """
    if not path.exists():
        return
    try:
        file = open_regular(path, files.MANIFEST)
    except UnsafeFileError as cause:
        raise ResumeError(str(cause)) from cause
    offset = 0
    with file:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST_LINE), b""), 1):
            if not torn or line.endswith(b"\n"):
                yield Line(_read_row(line, path, number), offset, len(line))
            offset += len(line)


def _read_row(line: bytes, path: Path, number: int) -> Row:
    try:
        row = load_json(line.decode("utf-8").strip(), "the row", ResumeError, finite=False)
        is_part = path.parent.name == PARTS
        rejected = isinstance(row, dict) and is_rejected(row) if is_part else path.name == REJECTED
        original = isinstance(row, dict) and is_original(row)
        (check_rejected if rejected else check_original if original else check_row)(row)
    except (ResumeError, KeyError, TypeError, ValueError) as cause:
        reason = f"{cause} is missing" if isinstance(cause, KeyError) else str(cause)
        raise ResumeError(f"{path}, line {number} is damaged ({reason}); remove it, and resume") from cause
    assert isinstance(row, dict)
    return row


def is_still(row: Row) -> bool:
    """Return whether a row describes an unchanged copy of a source without a face."""
    return bool(row["motion"]["skipped"])


@contextmanager
def explained_rows(path: Path) -> Iterator[None]:
    """Re-raise errors in rows with the path of their file.

    Raises:
        ResumeError: a field is missing or has another type.
    """
    try:
        yield
    except FomaugError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as cause:
        raise ResumeError(f"{path} holds a row that fomaug expand did not write ({cause!r:.80})") from cause


def copy_id_of(row: Row) -> CopyId:
    """Return the identifier of a row's copy."""
    return row["source"], row["copy"]


def to_line(row: Row) -> str:
    """Return the line of a row."""
    # Names that are not UTF-8 hold lone surrogates; written as JSON escapes they survive.
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace").decode() + "\n"


class Part:
    """The part of one worker, locked until it is closed. A row is appended only after its file is on the disk.

    Args:
        out: output folder.
        name: name of the part, new for every worker of every run, so that no part continues after an incomplete line.
        url: URL of the output, which gets an object for each call of `append`; empty without one.
    """

    def __init__(self, out: Path, name: str, url: str = "") -> None:
        self._objects = f"{url}/{PARTS}/{name}" if url else ""
        self._appended = 0
        self.path = part_path(out, name)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open_part(self.path)
        lock_file(self._file)
        flush_folder(self.path.parent)

    def append(self, rows: Iterable[Row]) -> None:
        """Append rows of written and of rejected copies in one write, and wait until they are on the disk."""
        lines = "".join(map(to_line, rows))
        if not lines:
            return
        append_line(self.path, lines, durable=True)
        if self._objects:
            write_url(f"{self._objects}-{self._appended:06d}.jsonl", lines.encode())
            self._appended += 1

    def close(self) -> None:
        """Release the lock."""
        self._file.close()


def part_path(out: Path, name: str) -> Path:
    """Return the path of a part."""
    return out / PARTS / f"{name}.jsonl"


def new_part_name() -> str:
    """Return a name that is unique among the workers of all machines."""
    return f"{os.getpid()}-{secrets.token_hex(6)}"


Kinds = Mapping[str, tuple[type, ...]]

_TEXT: Final = (str, type(None))
_ROW: Final[Kinds] = {
    "source": (str,),
    "copy": (int,),
    "file": (str,),
    "bytes": (int,),
    "label": _TEXT,
    "split": _TEXT,
    "size": (list,),
    "source_hash": (str,),
    "motion": (dict,),
}
_ORIGINAL: Final[Kinds] = {
    **{name: _ROW[name] for name in ("source", "file", "bytes", "label", "split", "size")},
    "original": (bool,),
}
_REJECTED: Final[Kinds] = {"source": (str,), "copy": (int,), "reasons": (list,)}
_MOTION: Final[Kinds] = {
    "skipped": (bool,),
    "clip": (str,),
    "clip_hash": (str,),
    "driver": (str,),
    "strength": (int, float),
}
_OPTIONAL: Final[Kinds] = {
    "member": (str,),
    "scores": (dict,),
    "annotation": (dict, type(None)),
    "flaws": (list,),
    "view": (dict,),
}


def check_row(row: Any) -> None:
    """Check a row of the manifest.

    Raises:
        KeyError: a field is missing.
        ValueError: a field has another type.
    """
    _check_fields("the row", row, _ROW)
    _check_optional(row)
    others = row["motion"].get("others", ())
    if not isinstance(others, list | tuple):
        raise ValueError(f"others must be a list, got {shortened(others)}")
    for motion in (row["motion"], *others):
        _check_fields("a motion", motion, _MOTION)
    _check_flaws(row.get("flaws", []))


def check_original(row: Any) -> None:
    """Check a row of an original, see `check_row`."""
    _check_fields("the row", row, _ORIGINAL)
    _check_optional(row)


def check_rejected(row: Any) -> None:
    """Check a row of a rejected copy, see `check_row`."""
    _check_fields("the row", row, _REJECTED)
    _check_fields("the row", {"source_hash": "", **row}, {"source_hash": (str,)})
    if not all(isinstance(reason, str) and reason.split() for reason in row["reasons"]):
        raise ValueError(f"reasons must be texts, got {shortened(row['reasons'])}")
    _check_flaws(row.get("flaws", []))


def _check_optional(row: dict[str, Any]) -> None:
    _check_fields("the row", row, {name: kinds for name, kinds in _OPTIONAL.items() if name in row})
    if len(row["size"]) != 2 or not all(type(side) is int for side in row["size"]):
        raise ValueError(f"size must be two whole numbers, got {shortened(row['size'])}")


def _check_flaws(flaws: Any) -> None:
    pairs = isinstance(flaws, list) and all(isinstance(flaw, list) and len(flaw) == 2 for flaw in flaws)
    if not pairs or not all(isinstance(text, str) for flaw in flaws for text in flaw):
        raise ValueError(f"flaws must be pairs of texts, got {shortened(flaws)}")


def _check_fields(name: str, found: Any, wanted: Kinds) -> None:
    if not isinstance(found, dict):
        raise ValueError(f"{name} must be a JSON object, got {shortened(found)}")
    for field, kinds in wanted.items():
        value = found[field]
        # In Python a bool is an int; in JSON it is not.
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            expected = " or ".join(kind.__name__ for kind in kinds)
            raise ValueError(f"{field} must be {expected}, got {shortened(value)}")
