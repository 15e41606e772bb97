"""Sources and drivers that appear in two splits: what was trained on must not be tested on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fomaug.errors import ArgumentError
from fomaug.expand.manifest import MANIFEST, SUMMARY, Row, explained_rows, read_rows, read_summary
from fomaug.expand.sources import find_sources
from fomaug.files import PICTURE, sha256_of

Kind = Literal["source", "driver"]
Trace = tuple[Kind, str, str, str]  # kind, identity, split or set, name


@dataclass(frozen=True)
class Leak:
    """One source or driver that is on both sides.

    Attributes:
        kind: "source" for a picture, "driver" for a person or clip whose motion was borrowed.
        names: as the sets call it.
        places: the sets or splits, two or more.
    """

    kind: Kind
    names: tuple[str, ...]
    places: tuple[str, ...]


def find_leaks(sets: Sequence[Path], *, drivers: bool = True) -> list[Leak]:
    """Look for what expanded datasets, or the splits of one, have in common.

    Pictures are the same if their files have the same bytes. Drivers are the same if their name is, or, where they
    have none, the clip; motion that was made without a clip belongs to nobody.

    Args:
        sets: folders that `expand` wrote, or folders of pictures, such as a test set as it is. Every folder is a set,
            and so is each split in it.
        drivers: look for drivers, too.

    Returns:
        The leaks, sources first.

    Raises:
        ArgumentError: a folder is neither.
        ResumeError: a manifest is damaged.
    """
    places: dict[tuple[Kind, str], dict[str, str]] = {}
    for folder in sets:
        for kind, identity, place, name in _traces(folder):
            if identity and (drivers or kind == "source"):
                places.setdefault((kind, identity), {}).setdefault(place, name)
    shared = [(kind, found) for (kind, _), found in places.items() if len(found) > 1]
    leaks = [Leak(kind, tuple(dict.fromkeys(found.values())), tuple(sorted(found))) for kind, found in shared]
    return sorted(leaks, key=lambda leak: (leak.kind != "source", leak.places, leak.names))


def _traces(folder: Path) -> Iterator[Trace]:
    if (folder / SUMMARY).exists():
        read_summary(folder)
        for row in read_rows(folder / MANIFEST):
            with explained_rows(folder / MANIFEST):
                traces = _row_traces(folder, row)
            yield from traces
        return
    if not folder.is_dir():
        raise ArgumentError(f"{folder} is no folder; give folders that fomaug expand wrote, or folders of pictures")
    found = find_sources(folder, out=folder / ".nothing", split="all")
    for name in found.expanded:
        yield from _traces(folder / name)
    for source in found.chosen:
        place = f"{folder}:{source.split}" if source.split else str(folder)
        yield "source", sha256_of(source.path, PICTURE), place, source.key


def _row_traces(folder: Path, row: Row) -> list[Trace]:
    place = f"{folder}:{row['split']}" if row["split"] else str(folder)
    traces: list[Trace] = [("source", str(row["source_hash"]), place, str(row["source"]))]
    for motion in (row["motion"], *row["motion"].get("others", ())):
        traces.append(("driver", _driver(motion), place, str(motion["driver"] or motion["clip"])))
    return traces


def _driver(motion: Mapping[str, Any]) -> str:
    if not motion["clip_hash"]:
        return ""
    return f"person {motion['driver']}" if motion["driver"] else f"clip {motion['clip_hash']}"
