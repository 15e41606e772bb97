"""The manifest of an output folder, the summary of its job, and the lock against a second writer."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

from fomaug import files
from fomaug.errors import FomaugError, MediaError, ResumeError, UnsafeFileError, reason_of
from fomaug.expand.row_checks import check_rejected, check_row
from fomaug.files import append_line, is_temporary, open_regular, read_regular, write_file
from fomaug.media import EXPAND_SUMMARY, sidecar_of
from fomaug.strict_json import load_json

SUMMARY: Final = EXPAND_SUMMARY
MANIFEST: Final = "manifest.jsonl"
REJECTED: Final = "rejected.jsonl"
LOCK: Final = ".fomaug-lock"
# 1: all faces of a picture moved by one draw, and their regions stood in "faces".
# 2: pictures without a face, copied as they are, were marked and labelled as the animated ones.
MANIFEST_FORMAT: Final = 3

_LONGEST_LINE: Final = 1 << 26  # characters; a row with the annotations of a crowd has a few hundred thousand

Row = dict[str, Any]
CopyId = tuple[str, int]  # key of the source, number of the copy
Companion = Callable[[Row], Path | None]


class Manifest:
    """The manifest of one output folder. A row is appended only after its file is written.

    Attributes:
        out: output folder.
        recorded: copies that have a row, be it of a written or of a rejected copy.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.recorded: set[CopyId] = set()

    def begin(self, facts: Mapping[str, Any], *, resume: bool, companion: Companion | None = None) -> None:
        """Start the manifest of a new folder, or resume an existing one.

        Args:
            facts: settings and hashes as plain JSON; those of a resumed folder must be equal.
            resume: True to resume a folder that is not empty.
            companion: function from a row to the path of the copy's annotation file, or None; a copy without its file
                is made again.

        Raises:
            ResumeError: the folder is not empty, or was made with other facts; the message names both values.
        """
        filled = self.out.exists() and any(path.name != LOCK for path in self.out.iterdir())
        if filled and not resume:
            raise ResumeError(
                f"{self.out} is not empty; give a new folder, or resume=True (--resume) to go on with its job"
            )
        self.out.mkdir(parents=True, exist_ok=True)
        if filled:
            _check_facts(self.out, facts)
            self._recover(companion)
        else:
            self.save_summary({"state": "running", **facts})

    def record(self, rows: Sequence[Row], rejected: Sequence[Row] = ()) -> int:
        """Append the rows of copies that have none yet; return the number of new written copies."""
        count = sum(_copy_id(row) not in self.recorded for row in rows)
        for name, lines in ((MANIFEST, rows), (REJECTED, rejected)):
            new = [row for row in lines if _copy_id(row) not in self.recorded]
            if new:
                append_line(self.out / name, "".join(map(_line, new)), durable=True)
        self.recorded.update(_copy_id(row) for row in (*rows, *rejected))
        return count

    def rows(self, name: str = MANIFEST) -> Iterator[Row]:
        """Read the rows one by one."""
        return read_rows(self.out / name)

    def sort_rows(self, copy_ids: Iterable[CopyId]) -> None:
        """Sort the rows into the planned order; copies that were made again have late rows."""
        positions = {copy_id: position for position, copy_id in enumerate(copy_ids)}
        for name in (MANIFEST, REJECTED):
            path = self.out / name
            # Bytes, not text: a carriage return within a row would become the end of a line.
            content = read_regular(path, files.MANIFEST) if path.exists() else b""
            lines = [line + b"\n" for line in content.split(b"\n") if line]
            ids = [_copy_id(load_json(line, path, ResumeError, finite=False)) for line in lines]
            order = sorted(range(len(ids)), key=lambda row: positions.get(ids[row], len(positions)))
            if order != [*range(len(ids))]:
                write_file(path, b"".join(lines[row] for row in order), durable=True)

    def save_summary(self, summary: Mapping[str, Any]) -> None:
        """Replace the summary file."""
        text = json.dumps(summary, indent=2, ensure_ascii=False)
        write_file(self.out / SUMMARY, f"{text}\n".encode("utf-8", "backslashreplace"), durable=True)

    def _recover(self, companion: Companion | None) -> None:
        for path in self.out.rglob(".*"):
            if is_temporary(path):
                path.unlink()
        for name in (MANIFEST, REJECTED):
            _cut_torn_line(self.out / name)
        rows = list(self.rows())
        kept = [row for row in rows if _is_written(self.out, row, companion)]
        if len(kept) < len(rows):
            write_file(self.out / MANIFEST, "".join(map(_line, kept)).encode(), durable=True)
        self.recorded = {_copy_id(row) for row in (*kept, *self.rows(REJECTED))}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a folder for this process during the block; the lock ends with the process.

    Raises:
        ResumeError: another process has locked the folder.
        MediaError: the folder cannot be made or written to.
    """
    try:
        import fcntl
    except ImportError:  # Windows has no such locks, so a second writer is not detected there
        yield
        return
    path = folder / LOCK
    with _open_lock(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as cause:
            raise ResumeError(f"another process is writing to {folder}; wait for it, or give another folder") from cause
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _open_lock(path: Path) -> TextIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Without O_NONBLOCK, opening a pipe of that name would block.
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK, 0o666), "w")
    except OSError as cause:
        raise MediaError(f"cannot write to {path.parent}: {cause.strerror or cause}; give another folder") from cause


@contextmanager
def explained_writes(out: Path) -> Iterator[None]:
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


def read_rows(path: Path) -> Iterator[Row]:
    """Read a manifest, or a file of rejected copies, row by row.

    Raises:
        ResumeError: a line is damaged or not a row, or the path is not a regular file.
    """
    if not path.exists():
        return
    check = check_rejected if path.name == REJECTED else check_row
    try:
        file = open_regular(path, files.MANIFEST)
    except UnsafeFileError as cause:
        raise ResumeError(str(cause)) from cause
    with file:
        lines = iter(lambda: file.readline(_LONGEST_LINE), b"")
        for number, line in enumerate(lines, 1):
            try:
                row = load_json(line.decode("utf-8").strip(), "the row", ResumeError, finite=False)
                check(row)
            except (ResumeError, KeyError, TypeError, ValueError) as cause:
                reason = f"{cause} is missing" if isinstance(cause, KeyError) else str(cause)
                raise ResumeError(f"{path}, line {number} is damaged ({reason}); remove it, and resume") from cause
            yield row


def read_summary(out: Path) -> dict[str, Any]:
    """Read the summary of an expanded dataset.

    Raises:
        ResumeError: the folder has no summary, or a damaged one.
    """
    try:
        content = read_regular(out / SUMMARY, files.SUMMARY)
    except FileNotFoundError as cause:
        raise ResumeError(f"{out} holds no {SUMMARY}, so it is no expanded dataset") from cause
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
    """Whether a row describes an unchanged copy of a source without a face."""
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


def _check_facts(out: Path, facts: Mapping[str, Any]) -> None:
    summary = read_summary(out)
    if "draws" in facts and (begun := summary.get("draws", 1)) != facts["draws"]:
        raise ResumeError(
            f"{out} was begun with version {begun} of the draws, and this fomaug has version {facts['draws']}, which "
            "would draw other copies than planned; finish it with the fomaug that began it, or start in a new folder"
        )
    changes = [
        f"{name}: was {json.dumps(was)}, is {json.dumps(now)}"
        for name, was, now in _differences({name: summary.get(name) for name in facts}, facts)
    ]
    if changes:
        raise ResumeError(f"{out} was made with other settings; take those again or a new folder: {'; '.join(changes)}")


def _differences(was: Mapping[str, Any], now: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys([*was, *now]):
        first, second = was.get(name), now.get(name)
        if isinstance(first, dict) and isinstance(second, dict):
            yield from _differences(first, second, f"{within}{name}.")
        elif first != second:
            yield f"{within}{name}", first, second


def _cut_torn_line(path: Path) -> None:
    """Remove an unfinished last line, which a process leaves when it is killed during a write."""
    if not path.exists():
        return
    try:
        content = read_regular(path, files.MANIFEST)
    except UnsafeFileError as cause:
        raise ResumeError(str(cause)) from cause
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        write_file(path, whole, durable=True)


def _is_written(out: Path, row: Row, companion: Companion | None) -> bool:
    path = out / str(row["file"])
    if "member" in row or not path.is_file():
        return path.is_file()
    mark = sidecar_of(path) if path.suffix == ".bmp" and not is_still(row) else None
    others = [mark, companion(row) if companion else None]
    return path.stat().st_size == row["bytes"] and all(other is None or _has_content(other) for other in others)


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _copy_id(row: Row) -> CopyId:
    return row["source"], row["copy"]


def _line(row: Row) -> str:
    # Names that are not UTF-8 hold lone surrogates; written as JSON escapes they survive.
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace").decode() + "\n"
