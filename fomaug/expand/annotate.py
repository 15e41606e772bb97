"""Annotations of the sources, moved along with every copy."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import LabelError
from fomaug.expand.load import Loaded
from fomaug.expand.manifest import MANIFEST, REJECTED, SUMMARY, Row, explained_rows
from fomaug.expand.move import Moved
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.source_list import SOURCES
from fomaug.expand.sources import SourceFile, file_size
from fomaug.files import LABELS, sha256_of
from fomaug.labels import FaceLabels, Flaw, find_format, fit, move, read_annotations, write_annotations
from fomaug.strict_json import without_nan


class Annotator:
    """Reads the annotations of a dataset, moves them, and writes them in the format in which they came.

    Masks and `.pts` files are written beside each other as the copies are; all others when the job is done, from the
    manifest.

    An annotation that cannot be used is left out and noted, or is an error where the plan says so; the others of its
    picture stay. Those of pictures that are not expanded do not matter.

    Attributes:
        format: name of the format.
        missing: keys of sources about which the annotations say nothing.
        flaws: annotations that were left out when they were read, see also `attach`.
    """

    def __init__(self, plan: ExpandPlan, sources: Sequence[SourceFile]) -> None:
        assert plan.annotations is not None
        self.out = Path(plan.out)
        self.path = Path(plan.annotations)
        self.in_archives = plan.format != "folder"
        found = find_format(self.path, plan.annotation_format)
        self.format = found.name
        self._file_of = None if self.in_archives else found.file_of
        self._stops = plan.on_error == "raise"
        keys = {source.key for source in sources}
        found_flaws: list[Flaw] = []
        self._labels = read_annotations(self.path, plan.dataset, format=self.format, on_flaw=found_flaws.append)
        self.flaws = tuple(flaw for flaw in found_flaws if not flaw.picture or flaw.picture in keys)
        self.missing = tuple(source.key for source in sources if source.key not in self._labels)
        self._check_flaws(self.flaws)
        _check_use(plan, self.format, len(self.missing) == len(sources), self.flaws)

    def attach(self, loaded: Loaded) -> Loaded:
        """Give a picture its labels, but for those that belong to a picture of another size.

        Raises:
            LabelError: there are such labels, and the plan says to raise.
        """
        key, labels = loaded.job.source.key, self._labels.get(loaded.job.source.key)
        if labels is None or loaded.picture is None:
            return loaded
        fitting, flaws = fit(labels, loaded.picture.size, picture=key)
        self._check_flaws(flaws)
        return replace(loaded, labels=fitting, flaws=tuple(flaws))

    def _check_flaws(self, flaws: Sequence[Flaw]) -> None:
        if flaws and self._stops:
            raise LabelError(f"{flaws[0]}; mend it, or leave such annotations out with on_error='skip'")

    def digest(self) -> str:
        """Sha256 of the file, or of the names and sizes of the files in the folder."""
        if self.path.is_file():
            return sha256_of(self.path, LABELS)
        digest = hashlib.sha256()
        for path in sorted(self.path.rglob("*")):
            line = f"{path.relative_to(self.path).as_posix()}\0{file_size(path)}\n"
            digest.update(line.encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def write_with(self, file: str, size: tuple[int, int], labels: FaceLabels) -> None:
        """Write what has a file of its own beside each picture."""
        if self._file_of is not None:
            write_annotations([(file, size, labels)], self.out, self.format, like=self.path)

    def file_with(self, row: Row) -> Path | None:
        """Return the file that holds nothing but the annotations of a copy, by its row; None if there is none."""
        if self._file_of is None or row.get("annotation") is None:
            return None
        return self.out / self._file_of(row["file"])

    def write_all(self, rows: Iterable[Row]) -> list[Path]:
        """Write what has one file for all pictures; archives hold the annotations in their rows."""
        if self._file_of is not None or self.in_archives:
            return []
        with explained_rows(self.out / MANIFEST):
            return write_annotations(_entries(rows), self.out, self.format, like=self.path)


def move_labels(loaded: Loaded, moved: Moved) -> FaceLabels | None:
    """Move the labels of a source to one of its copies; None if it has none."""
    if loaded.labels is None:
        return None
    return move(loaded.labels, moved.flow, moved.picture.size, occlusion=moved.occlusion)


def make_annotator(plan: ExpandPlan, sources: Sequence[SourceFile]) -> Annotator | None:
    """Read the annotations that a plan names; None if it names none."""
    return None if plan.annotations is None else Annotator(plan, sources)


def to_json(labels: FaceLabels) -> dict[str, Any]:
    """Turn labels into plain JSON, but for the mask, which has a file."""
    arrays = {name: _rounded(getattr(labels, name)) for name in _ARRAYS}
    segments = None if labels.segments is None else list(labels.segments)
    values = {**arrays, "segments": segments}
    return {name: value for name, value in values.items() if value is not None} | {"fields": labels.fields}


def from_json(values: dict[str, Any]) -> FaceLabels:
    """Read what `to_json` wrote."""
    arrays: dict[str, Any] = {}
    for name, (kind, width) in _ARRAYS.items():
        if name in values:
            array: NDArray[Any] = np.array(values[name], kind)
            count = len(values[name])
            arrays[name] = array.reshape((count, width) if width else (count,))
    segments = tuple(values["segments"]) if "segments" in values else None
    return FaceLabels(**arrays, segments=segments, fields=values.get("fields", {}))


_ARRAYS: Final[dict[str, tuple[type, int]]] = {
    "points": (float, 2),
    "visible": (bool, 0),
    "boxes": (float, 4),
    "box_visible": (bool, 0),
}
"""Type of each array and length of its rows; 0 for plain lists."""


def _rounded(array: NDArray[Any] | None) -> list[Any] | None:
    if array is None:
        return None
    found: list[Any] = (array if array.dtype == bool else array.round(3)).tolist()
    return list(without_nan(found))


def _entries(rows: Iterable[Row]) -> Iterator[tuple[str, tuple[int, int], FaceLabels]]:
    for row in rows:
        if row.get("annotation") is not None:
            height, width = row["size"]
            yield row["file"], (height, width), from_json(row["annotation"])


def _check_use(plan: ExpandPlan, format: str, nothing_fits: bool, flaws: Sequence[Flaw]) -> None:  # noqa: FBT001
    if nothing_fits and flaws:
        raise LabelError(f"none of the annotations in {plan.annotations} can be used; the first: {flaws[0]}")
    if nothing_fits:
        raise LabelError(
            f"{plan.annotations} says nothing about any picture of {plan.dataset}; its names must be paths below it"
        )
    if Path(plan.annotations or "").name in (SUMMARY, MANIFEST, REJECTED, SOURCES):
        raise LabelError(
            f"annotations are written under their own name, and {plan.annotations} would hide ours; rename it"
        )
    if format == "masks" and plan.format != "folder":
        raise LabelError(f"masks are files of their own, which format={plan.format!r} has no room for; use 'folder'")
