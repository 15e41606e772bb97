"""What an output folder says has been done: the manifest, and the settings it was made with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from fomaug import files
from fomaug.errors import FomaugError, MediaError, ResumeError, UnsafeFileError, reason_of
from fomaug.expand.lock import LOCK
from fomaug.expand.row_checks import check_rejected, check_row
from fomaug.files import append_line, is_temporary, open_regular, read_regular, write_file
from fomaug.media import sidecar_of
from fomaug.strict_json import load_json

SUMMARY: Final = "expand.json"
MANIFEST: Final = "manifest.jsonl"
REJECTED: Final = "rejected.jsonl"
# 1: all faces of a picture moved by one draw, and their regions stood in "faces".
# 2: pictures without a face, copied as they are, were marked and labelled as the animated ones.
MANIFEST_FORMAT: Final = 3

_LONGEST_LINE: Final = 1 << 26  # characters; a row with the annotations of a crowd has a few hundred thousand

Row = dict[str, Any]
Token = tuple[str, int]
Beside = Callable[[Row], Path | None]


class Ledger:
    """The record of one output folder. Rows are appended only after what they tell of is written.

    Attributes:
        settled: (source, copy) of every row.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.settled: set[Token] = set()

    def begin(self, facts: Mapping[str, Any], *, resume: bool, beside: Beside | None = None) -> None:
        """Open a new folder, or one to go on with.

        Args:
            facts: plain JSON; those of the folder must be equal.
            resume: go on with what is there.
            beside: the file that a row promises besides the picture, if any; without it the copy is made again.

        Raises:
            ResumeError: the folder is not empty, or was made with other facts; both are named.
        """
        there = self.out.exists() and any(path.name != LOCK for path in self.out.iterdir())
        if there and not resume:
            raise ResumeError(f"{self.out} is not empty; give a new folder, or resume to go on with what is there")
        self.out.mkdir(parents=True, exist_ok=True)
        if there:
            _check_facts(self.out, facts)
            self._recover(beside)
        else:
            self.save_summary({"state": "running", **facts})

    def record(self, rows: Sequence[Row], rejected: Sequence[Row] = ()) -> int:
        """Append rows that are not yet there; return how many copies are new."""
        count = sum(_token(row) not in self.settled for row in rows)
        for name, lines in ((MANIFEST, rows), (REJECTED, rejected)):
            new = [row for row in lines if _token(row) not in self.settled]
            if new:
                append_line(self.out / name, "".join(map(_line, new)), durable=True)
        self.settled.update(_token(row) for row in (*rows, *rejected))
        return count

    def rows(self, name: str = MANIFEST) -> Iterator[Row]:
        """Read the rows one by one."""
        return read_rows(self.out / name)

    def put_in_order(self, tokens: Iterable[Token]) -> None:
        """Bring the rows into the planned order, where a lost or late picture has disturbed it."""
        places = {token: place for place, token in enumerate(tokens)}
        for name in (MANIFEST, REJECTED):
            path = self.out / name
            content = read_regular(path, files.MANIFEST) if path.exists() else b""
            lines = [line + b"\n" for line in content.split(b"\n") if line]
            rows = [load_json(line, path, ResumeError, finite=False) for line in lines]
            order = sorted(range(len(rows)), key=lambda number: places.get(_token(rows[number]), len(places)))
            if order != [*range(len(rows))]:
                write_file(path, b"".join(lines[number] for number in order), durable=True)

    def save_summary(self, summary: Mapping[str, Any]) -> None:
        """Write the summary whole."""
        text = json.dumps(summary, indent=2, ensure_ascii=False)
        write_file(self.out / SUMMARY, f"{text}\n".encode("utf-8", "backslashreplace"), durable=True)

    def _recover(self, beside: Beside | None) -> None:
        for path in self.out.rglob(".*"):
            if is_temporary(path):
                path.unlink()
        for name in (MANIFEST, REJECTED):
            _cut_torn_line(self.out / name)
        rows = list(self.rows())
        kept = [row for row in rows if _is_written(self.out, row, beside)]
        if len(kept) < len(rows):
            write_file(self.out / MANIFEST, "".join(map(_line, kept)).encode(), durable=True)
        self.settled = {_token(row) for row in (*kept, *self.rows(REJECTED))}


@contextmanager
def explained_writes(out: Path) -> Iterator[None]:
    """Say of a disk that takes no more where that is.

    Raises:
        MediaError: a file could not be written.
    """
    try:
        yield
    except FomaugError:
        raise
    except OSError as cause:
        raise MediaError(f"cannot write to {out}: {cause}; what is there is whole") from cause


def read_rows(path: Path) -> Iterator[Row]:
    """Read a manifest or a file of rejected copies row by row.

    Raises:
        ResumeError: a line is damaged or no such row, or it is no file of lines at all.
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
        ResumeError: there is none, or it is damaged.
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


def is_expanded(folder: Path) -> bool:
    """Whether a folder holds a summary of ours; other programs may have files of that name."""
    try:
        return "fomaug" in read_summary(folder)
    except (ResumeError, OSError):
        return False


def is_still(row: Row) -> bool:
    """Whether a row is of a picture without a face, copied as it is: real, and moved by nobody."""
    return bool(row["motion"]["skipped"])


@contextmanager
def explained_rows(path: Path) -> Iterator[None]:
    """Say of rows that are not as `expand` writes them where they are.

    Raises:
        ResumeError: a field is missing, or is something else than it should be.
    """
    try:
        yield
    except FomaugError:
        raise
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as cause:
        raise ResumeError(f"{path} holds a row that fomaug expand did not write ({cause!r:.80})") from cause


def _check_facts(out: Path, facts: Mapping[str, Any]) -> None:
    summary = read_summary(out)
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
    """Drop what follows the last line break: the process died while it wrote there."""
    if not path.exists():
        return
    try:
        content = read_regular(path, files.MANIFEST)
    except UnsafeFileError as cause:
        raise ResumeError(str(cause)) from cause
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        write_file(path, whole, durable=True)


def _is_written(out: Path, row: Row, beside: Beside | None) -> bool:
    path = out / str(row["file"])
    if "member" in row or not path.is_file():
        return path.is_file()
    mark = sidecar_of(path) if path.suffix == ".bmp" and not is_still(row) else None
    others = [mark, beside(row) if beside else None]
    return path.stat().st_size == row["bytes"] and all(other is None or _has_content(other) for other in others)


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def _token(row: Row) -> Token:
    return row["source"], row["copy"]


def _line(row: Row) -> str:
    # Names that are not UTF-8 hold lone surrogates; written as JSON escapes they survive.
    return json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace").decode() + "\n"
