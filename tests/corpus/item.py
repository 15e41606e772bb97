"""One input of the corpus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Content = bytes | Callable[[Path], object]


@dataclass(frozen=True)
class Item:
    """A broken, odd or good input.

    Attributes:
        name: path below the folder of its kind, or the number of its row.
        content: bytes of the file, a function that makes it at a path, or the values of a row.
        is_good: whether it is to be used; otherwise it is to be named with the reason.
    """

    name: str
    content: Any
    is_good: bool

    def write(self, folder: Path) -> None:
        """Make the file."""
        path = folder / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(self.content):
            self.content(path)
        else:
            path.write_bytes(self.content)


def good(name: str, content: Any) -> Item:
    return Item(name, content, is_good=True)


def bad(name: str, content: Any) -> Item:
    return Item(name, content, is_good=False)


def numbered(items: Sequence[tuple[Any, bool]], name: str) -> list[Item]:
    """Name items by their index; `name` has one pair of braces."""
    return [Item(name.format(number), content, is_good) for number, (content, is_good) in enumerate(items)]
