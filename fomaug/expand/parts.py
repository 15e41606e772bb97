"""Manifest parts: every worker appends the rows of its copies to its own file."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from fomaug.expand.locks import lock_file, open_part
from fomaug.expand.manifest import PARTS, Row, to_line
from fomaug.files import append_line, flush_folder
from fomaug.remote import write_url


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
