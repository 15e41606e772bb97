"""Several rows about one picture, in formats that have a row for each face: put together, and taken apart again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import LabelError
from fomaug.labels.values import FaceLabels

ROWS: Final = "fomaug:rows"  # among the fields of a picture, where no column is likely to be called so


def check_names(names: Iterable[str]) -> None:
    """Raise `LabelError` if a column or key has the name under which joined rows are kept."""
    if ROWS in names:
        raise LabelError(f"{ROWS!r} is a name of fomaug's own; call the column or key something else")


def join_rows(rows: Sequence[FaceLabels]) -> FaceLabels:
    """Put the rows of a picture together: points lie one after another, and so do boxes."""
    if len(rows) == 1:
        return rows[0]
    kept = [{"points": _count(row.points), "boxes": _count(row.boxes), "fields": row.fields} for row in rows]
    return FaceLabels(
        points=_chain([row.points for row in rows]),
        visible=_chain([_seen(row.points, row.visible) for row in rows]),
        boxes=_chain([row.boxes for row in rows]),
        box_visible=_chain([_seen(row.boxes, row.box_visible) for row in rows]),
        fields={ROWS: kept},
    )


def split_rows(labels: FaceLabels) -> list[FaceLabels]:
    """Take apart what `join_rows` put together, perhaps moved since; labels of a single row stay as they are."""
    rows, point, box = [], 0, 0
    for row in labels.fields.get(ROWS, ()):
        points, boxes = _part(point, row["points"]), _part(box, row["boxes"])
        rows.append(
            FaceLabels(
                points=_cut(labels.points, points),
                visible=_cut(labels.visible, points),
                boxes=_cut(labels.boxes, boxes),
                box_visible=_cut(labels.box_visible, boxes),
                fields=row["fields"],
            )
        )
        point, box = point + (row["points"] or 0), box + (row["boxes"] or 0)
    return rows or [labels]


def _count(array: NDArray[Any] | None) -> int | None:
    return None if array is None else len(array)


def _seen(values: NDArray[np.float64] | None, seen: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    return np.ones(len(values), bool) if values is not None and seen is None else seen


def _chain(arrays: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    there = [array for array in arrays if array is not None]
    return np.concatenate(there) if there else None


def _part(start: int, count: int | None) -> slice | None:
    return None if count is None else slice(start, start + count)


def _cut(array: NDArray[Any] | None, part: slice | None) -> NDArray[Any] | None:
    return None if array is None or part is None else array[part]
