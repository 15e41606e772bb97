"""Read lists of pairs of sources and driving clips."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from fomaug.errors import ArgumentError, MediaError, reason_of
from fomaug.files import TABLE, open_text
from fomaug.visual.options import AnimateOptions, parse_face

_WORDS: Final = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NEAR: Final = 0.8  # similarity to a known column from which an unknown one counts as misspelt


@dataclass(frozen=True)
class Pair:
    """A line of the list.

    Attributes:
        source: path of a picture or video.
        driving: path of a clip or picture.
        out: path of the result in the folder of results; empty for a name made from source and driving.
        options: fields of `AnimateOptions` that differ from those of the run.
    """

    source: Path
    driving: Path
    out: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def read_pairs(path: str | Path, *, root: str | Path | None = None) -> list[Pair]:
    """Read a CSV file with the columns `source` and `driving`.

    More columns are allowed: `out`, and any of strength, region, reference, source_frame, face, crop, relative and
    max_frames, empty where the line has the value of the run. Other columns are ignored.

    Args:
        path: path of the list.
        root: folder that the paths are relative to; None for the folder of the list.

    Raises:
        MediaError: the list cannot be read.
        ArgumentError: a column is missing or a value is wrong; the message names the line.
    """
    path = Path(path)
    try:
        with open_text(path, TABLE, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            _check_columns(path, reader.fieldnames or ())
            pairs = list(_pairs(path, reader, Path(root) if root is not None else path.parent))
    except OSError as error:
        raise MediaError(f"the list of pairs {path} cannot be read ({reason_of(error)})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise MediaError(f"the list of pairs {path} is not a CSV file in UTF-8 ({error})") from error
    if not pairs:
        raise ArgumentError(f"the list of pairs {path} has no rows")
    return pairs


def _pairs(path: Path, rows: Iterable[dict[str, str | None]], root: Path) -> Iterator[Pair]:
    for line, row in enumerate(rows, 2):
        cells = {name: text.strip() for name, text in row.items() if isinstance(text, str) and name}
        if not any(cells.values()):
            continue
        try:
            if not cells.get("source") or not cells.get("driving"):
                raise ArgumentError("both source and driving must be given")
            options = {name: read(cells[name]) for name, read in _READERS.items() if cells.get(name)}
            AnimateOptions(**options)
        except (ArgumentError, ValueError) as error:
            raise ArgumentError(f"{path}, line {line}: {error}") from error
        yield Pair(root / cells["source"], root / cells["driving"], cells.get("out", ""), options)


def _check_columns(path: Path, columns: Iterable[str]) -> None:
    known = ("source", "driving", "out", *_READERS)
    for name in columns:
        near = difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)
        if near and name not in known:
            raise ArgumentError(f"{path} has a column {name!r}; did you mean {near[0]!r}?")
    if missing := {"source", "driving"} - set(columns):
        found = ", ".join(map(repr, columns)) or "none"
        raise ArgumentError(f"{path} needs the columns source and driving, and lacks {' and '.join(missing)}: {found}")


def _choice(text: str) -> str | int:
    return int(text) if text.isdigit() else text


def _truth(text: str) -> bool:
    if text.lower() not in _WORDS:
        raise ArgumentError(f"relative must be true or false, got {text!r}")
    return _WORDS[text.lower()]


_READERS: Final[dict[str, Callable[[str], Any]]] = {
    "strength": float,
    "region": str,
    "reference": _choice,
    "source_frame": _choice,
    "face": parse_face,
    "crop": str,
    "relative": _truth,
    "max_frames": int,
}
