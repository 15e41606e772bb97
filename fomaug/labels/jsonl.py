"""Hugging Face `metadata.jsonl` with `file_name`, `objects.bbox` (x, y, width, height), `points` and any other keys.

The name may also be under `file` or `path`; it is written as `file_name`. Several rows with the name of one picture
describe several faces in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fomaug import warp
from fomaug.errors import LabelError, reason_of, shortened
from fomaug.files import LABELS, read_text, write_file
from fomaug.labels.checks import (
    Array,
    OnFlaw,
    check_boxes,
    check_points,
    check_visible,
    read_fields,
    read_flag,
    read_table,
    reporting_flaws,
)
from fomaug.labels.faces import FaceLabels, check_names, join_rows, split_rows
from fomaug.labels.formats import JSON_FILES, Annotations, Format, Row, picture_path, register
from fomaug.untrusted import load_json, without_nan


def _read(path: Path, root: Path, on_flaw: OnFlaw) -> Annotations:
    found: dict[str, list[FaceLabels]] = {}
    try:
        # JSON strings may contain other line separators, at which splitlines would split them.
        lines = read_text(path, LABELS, encoding="utf-8-sig", errors="surrogateescape").split("\n")
    except OSError as error:
        raise LabelError(f"{path} cannot be read: {reason_of(error)}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            with reporting_flaws(f"{path}, line {number}", on_flaw) as origin:
                row = _row(line)
                named = next(name for name in JSON_FILES if name in row)
                origin.picture = picture_path(row.pop(named), path.parent, root)
                labels = _labels(row)
                found.setdefault(origin.picture, []).append(labels)
    return {key: join_rows(rows) for key, rows in found.items()}


def _row(line: str) -> dict[str, Any]:
    row: Any = load_json(line, "the row", LabelError, finite=False)
    names = [row[name] for name in JSON_FILES if name in row] if isinstance(row, dict) else []
    if not names or not isinstance(names[0], str):
        raise LabelError("a row must be a JSON object with a file_name, a string")
    found: dict[str, Any] = row
    return found


def _labels(row: dict[str, Any]) -> FaceLabels:
    """Read the labels of a row without its `file_name`."""
    points, visible = _points(row.pop("points", None), row.pop("points_visible", None))
    objects = row.pop("objects", None)
    if not isinstance(objects, dict | None):
        raise LabelError(f"objects must be a JSON object, got {shortened(objects)}")
    others = dict(objects or {})
    boxes = _boxes(others.pop("bbox", None))
    box_visible = None if boxes is None else _flags(others.pop("visible", None), boxes)
    check_names(row)
    fields = read_fields({**row, **({"objects": others} if others else {})})
    return FaceLabels(points=points, visible=visible, boxes=boxes, box_visible=box_visible, fields=fields)


def _points(values: Any, flags: Any) -> tuple[Array | None, NDArray[np.bool_] | None]:
    """Read points [[x, y], ...] or [[x, y, visibility], ...], and the separate list of their visibility."""
    if values is None:
        if flags is not None:
            raise LabelError("the row has points_visible and no points; remove points_visible, or add the points")
        return None, None
    table = read_table(values, "points", (2, 3))
    points, third = table[:, :2], table[:, 2] if table.shape[1] == 3 else None
    check_points(points, third)
    if third is not None and flags is not None:
        raise LabelError(
            "visibility is given twice: as the third number of each point, and as points_visible; remove one"
        )
    visible = _flags(flags, points) if third is None else third > 0
    if visible is not None:
        check_visible(points, visible)
    return points, visible


def _boxes(values: Any) -> Array | None:
    if values is None:
        return None
    boxes = read_table(values, "objects.bbox", (4,))
    check_boxes(boxes)
    edges = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    centres: Array = warp.edges_to_centres(torch.from_numpy(edges)).numpy()
    return centres


def _flags(values: Any, like: Array) -> NDArray[np.bool_] | None:
    """Read a list of visibility with an entry for each point or box."""
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != len(like):
        raise LabelError(
            f"visibility must be a list with one flag for each point or box ({len(like)}), got {shortened(values)}"
        )
    return np.array([read_flag(value) > 0 for value in values], bool)


def _write(rows: Iterable[Row], out: Path, like: Path | None) -> list[Path]:
    target = out / "metadata.jsonl"
    lines = [json.dumps(_values(file, part)) + "\n" for file, _, labels in rows for part in split_rows(labels)]
    write_file(target, "".join(lines).encode())
    return [target]


def _values(file: str, labels: FaceLabels) -> dict[str, Any]:
    objects = dict(labels.fields.get("objects", {}))
    values = {"file_name": file, **{key: value for key, value in labels.fields.items() if key != "objects"}}
    if labels.boxes is not None:
        corners = warp.centres_to_edges(torch.from_numpy(labels.boxes)).numpy().round(3)
        objects["bbox"] = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).round(3).tolist()
        if labels.box_visible is not None:
            objects["visible"] = labels.box_visible.tolist()
    if objects:
        values["objects"] = objects
    if labels.points is not None:
        values["points"] = without_nan(labels.points.round(3).tolist())
        if labels.visible is not None:
            values["points_visible"] = labels.points_seen.tolist()
    return values


FORMAT = register(Format("jsonl", lambda path: path.suffix.lower() == ".jsonl", _read, _write))
