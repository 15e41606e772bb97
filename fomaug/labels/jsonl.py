"""Hugging Face `metadata.jsonl`: `file_name`, `objects.bbox` (x, y, width, height), `points`; others are carried.

Several rows about a picture are several faces of it.
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
from fomaug.labels.checks import Array, check_boxes, check_carried, check_points, check_seen, read_flag, read_table
from fomaug.labels.flaws import OnFlaw, flaws_of
from fomaug.labels.formats import Annotations, Format, Row, picture_key, register
from fomaug.labels.rows import check_names, join_rows, split_rows
from fomaug.labels.values import FaceLabels
from fomaug.strict_json import load_json, without_nan


def _read(path: Path, root: Path, on_flaw: OnFlaw) -> Annotations:
    found: dict[str, list[FaceLabels]] = {}
    try:
        # Not splitlines: JSON strings may hold other line separators as they are.
        lines = read_text(path, LABELS, encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{path} cannot be read: {reason_of(error)}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            with flaws_of(f"{path}, line {number}", on_flaw) as place:
                row = _row(line)
                place.picture = picture_key(row.pop("file_name"), path.parent, root)
                labels = _labels(row)
                found.setdefault(place.picture, []).append(labels)
    return {key: join_rows(rows) for key, rows in found.items()}


def _row(line: str) -> dict[str, Any]:
    row = load_json(line, "the row", LabelError, finite=False)
    if not isinstance(row, dict) or not isinstance(row.get("file_name"), str):
        raise LabelError("a row must be a JSON object with a file_name, a text")
    return row


def _labels(row: dict[str, Any]) -> FaceLabels:
    """Read the labels of a row without its `file_name`."""
    points, visible = _points(row.pop("points", None), row.pop("points_visible", None))
    objects = row.pop("objects", None)
    if not isinstance(objects, dict | None):
        raise LabelError(f"objects must be a JSON object, got {shortened(objects)}")
    rest = dict(objects or {})
    boxes = _boxes(rest.pop("bbox", None))
    seen = None if boxes is None else _flags(rest.pop("visible", None), boxes)
    check_names(row)
    fields = check_carried({**row, **({"objects": rest} if rest else {})})
    return FaceLabels(points=points, visible=visible, boxes=boxes, box_visible=seen, fields=fields)


def _points(values: Any, flags: Any) -> tuple[Array | None, NDArray[np.bool_] | None]:
    """Read points [[x, y], ...] or [[x, y, visibility], ...], and flags that stand apart from them."""
    if values is None:
        if flags is not None:
            raise LabelError("points_visible is there, and points are not")
        return None, None
    table = read_table(values, "points", (2, 3))
    points, inner = table[:, :2], table[:, 2] if table.shape[1] == 3 else None
    check_points(points, inner)
    if inner is not None and flags is not None:
        raise LabelError("visibility is given twice: as a third number of each point, and as points_visible")
    seen = _flags(flags, points) if inner is None else inner > 0
    if seen is not None:
        check_seen(points, seen)
    return points, seen


def _boxes(values: Any) -> Array | None:
    if values is None:
        return None
    boxes = read_table(values, "objects.bbox", (4,))
    check_boxes(boxes)
    edges = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    centres: Array = warp.edges_to_centres(torch.from_numpy(edges)).numpy()
    return centres


def _flags(values: Any, like: Array) -> NDArray[np.bool_] | None:
    """Visibility as `_values` wrote it."""
    if values is None:
        return None
    if not isinstance(values, list) or len(values) != len(like):
        raise LabelError(f"there must be one flag of visibility for each point or box, got {shortened(values)}")
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
