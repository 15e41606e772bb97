"""What a parser is to the harness."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Parser:
    """A function that reads a file, and good files for it.

    Attributes:
        read: reads a file and raises `FomaugError` where it cannot.
        seeds: makes contents of good files; damaged ones are made from them.
        suffix: of the file.
        memory: bytes that reading a file may take beside what the process has.
        refused: share of the damaged files that is refused at least; the rest may well be harmless.
    """

    read: Callable[[Path], object]
    seeds: Callable[[], list[bytes]]
    suffix: str = ""
    memory: int = 300 * 2**20
    refused: float = 0.25

    def warm_up(self) -> None:
        """Read the good files once, so that what is loaded at first is not counted as theirs."""
        with tempfile.TemporaryDirectory() as folder:
            for content in self.seeds():
                path = Path(folder) / f"good{self.suffix}"
                path.write_bytes(content)
                self.read(path)
