"""The manifest of an output folder, the parts to which workers append their rows, and the summary of the job."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from fomaug import files
from fomaug.errors import FomaugError, MediaError, ResumeError, UnsafeFileError, reason_of
from fomaug.expand.locks import lock_file, open_part
from fomaug.expand.row_checks import check_original, check_rejected, check_row
from fomaug.files import append_line, flush_folder, open_regular, read_regular, write_file
from fomaug.media import EXPAND_SUMMARY
from fomaug.remote import write_url
from fomaug.strict_json import load_json

SUMMARY: Final = EXPAND_SUMMARY
MANIFEST: Final = "manifest.jsonl"
REJECTED: Final = "rejected.jsonl"
SOURCES: Final = "sources.jsonl"
POOL_FILE: Final = "driving.safetensors"
CONTACT_SHEET: Final = ".contact_sheet.png"  # hidden, since loaders read every picture as a sample
CARD: Final = "README.md"
PARTS: Final = ".fomaug-parts"
"""Folder of the manifest parts of an unfinished job."""
THUMBNAILS: Final = ".fomaug-thumbnails"
"""Folder of the thumbnails of an unfinished job."""
# 1: all faces of a picture moved by one draw, and their regions were stored in "faces".
# 2: pictures without a face, copied as they are, were marked and labelled as the animated ones.
# 3: archives of a dataset without splits had no split in their names, tar files held pictures of several formats, and
#    masks were in a separate folder.
MANIFEST_FORMAT: Final = 4

_LONGEST_LINE: Final = 1 << 26  # characters; a row with the annotations of a crowd has a few hundred thousand

Row = dict[str, Any]
CopyId = tuple[str, int]  # key of the source, number of the copy


@contextmanager
def explained_writes(out: str | Path) -> Iterator[None]:
    """Re-raise write errors with the name of the output folder.

    Raises:
        MediaError: a file could not be written.
    """
    try:
        yield
    except FomaugError:
        raise
    except OSError as cause:
        raise MediaError(f"cannot write to {out}: {cause}; files already written are complete") from cause


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


def save_summary(out: Path, summary: Mapping[str, Any]) -> None:
    """Replace the summary file."""
    text = json.dumps(summary, indent=2, ensure_ascii=False)
    write_file(out / SUMMARY, f"{text}\n".encode("utf-8", "backslashreplace"), durable=True)


def read_summary(out: Path, url: str = "") -> dict[str, Any]:
    """Read the summary of an expanded dataset.

    Args:
        out: output folder.
        url: URL that the folder was fetched from, for error messages; empty without one.

    Raises:
        ResumeError: the folder has no summary, or a damaged one.
    """
    try:
        content = read_regular(out / SUMMARY, files.SUMMARY)
    except FileNotFoundError as cause:
        raise ResumeError(f"{url or out} holds no {SUMMARY}, so it is not an expanded dataset") from cause
    except UnsafeFileError as cause:
        raise ResumeError(str(cause)) from cause
    except OSError as cause:
        raise ResumeError(f"{out / SUMMARY} cannot be read: {reason_of(cause)}") from cause
    try:
        summary = load_json(content, out / SUMMARY, ResumeError)
    except ResumeError as cause:
        raise ResumeError(f"{out / SUMMARY} is damaged: {cause}") from cause
    if not isinstance(summary, dict):
        raise ResumeError(f"{out / SUMMARY} is damaged: no JSON object")
    return summary


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


def check_facts(out: Path, facts: Mapping[str, Any]) -> None:
    """Compare the facts of a job with those of its summary.

    Raises:
        ResumeError: they differ; the message names both values.
    """
    summary = read_summary(out)
    if "draws" in facts and (begun := summary.get("draws", 1)) != facts["draws"]:
        raise ResumeError(
            f"{out} was begun with version {begun} of the draws, and this fomaug has version {facts['draws']}, which "
            "would draw other copies than planned; finish it with the fomaug that began it, or start in a new folder"
        )
    if "manifest" in facts and (layout := summary.get("manifest", 1)) != facts["manifest"]:
        raise ResumeError(
            f"{out} was begun with version {layout} of the output layout, and this fomaug writes version "
            f"{facts['manifest']}; finish it with the fomaug that began it, or start in a new folder"
        )
    changes = [
        f"{name}: was {json.dumps(was)}, is {json.dumps(now)}"
        for name, was, now in _differences({name: summary.get(name) for name in facts}, facts)
    ]
    if changes:
        raise ResumeError(
            f"{out} was made with other settings; use the same settings or a new folder: {'; '.join(changes)}"
        )


def _differences(was: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys([*was, *now]):
        first, second = was.get(name), now.get(name)
        if isinstance(first, dict) and isinstance(second, dict):
            yield from _differences(first, second, f"{within}{name}.")
        elif first != second:
            yield f"{within}{name}", first, second


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
