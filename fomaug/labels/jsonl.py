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
from fomaug.errors import LabelError, reason_of
from fomaug.files import LABELS, read_text, write_file
from fomaug.labels.formats import Annotations, Format, Row, check_finite, picture_key, register
from fomaug.labels.rows import join_rows, split_rows
from fomaug.labels.values import FaceLabels


def _read(path: Path, root: Path) -> Annotations:
    found: dict[str, list[FaceLabels]] = {}
    try:
        # Not splitlines: JSON strings may hold other line separators as they are.
        lines = read_text(path, LABELS, encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{path} cannot be read: {reason_of(error)}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            name, labels = _row(path, number, line)
            found.setdefault(picture_key(name, path.parent, root), []).append(labels)
    return {key: join_rows(rows) for key, rows in found.items()}


def _row(path: Path, number: int, line: str) -> tuple[str, FaceLabels]:
    try:
        row = json.loads(line)
        name = str(row.pop("file_name"))
        points, objects = row.pop("points", None), row.pop("objects", None)
        boxes = None if not objects or "bbox" not in objects else np.array(objects["bbox"], float).reshape(-1, 4)
        if boxes is not None:
            edges = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
            boxes = warp.edges_to_centres(torch.from_numpy(edges)).numpy()
        rest = {} if objects is None else {key: value for key, value in objects.items() if key != "bbox"}
        pairs = None if points is None else np.array(points, float).reshape(-1, 2)
        check_finite(boxes, pairs)
        seen = _flags(row.pop("points_visible", None), pairs)
        boxes_seen = _flags(rest.pop("visible", None) if boxes is not None else None, boxes)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LabelError(f"{path}, line {number}: {type(error).__name__} {error}") from error
    fields = {**row, **({"objects": rest} if rest else {})}
    return name, FaceLabels(points=pairs, visible=seen, boxes=boxes, box_visible=boxes_seen, fields=fields)


def _flags(values: list[bool] | None, like: NDArray[np.float64] | None) -> NDArray[np.bool_] | None:
    """Visibility as `_values` wrote it."""
    if values is None:
        return None
    if like is None or len(values) != len(like):
        raise ValueError("there is not one flag of visibility for each point or box")
    return np.array(values, bool)


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
        values["points"] = labels.points.round(3).tolist()
        if labels.visible is not None:
            values["points_visible"] = labels.visible.tolist()
    return values


FORMAT = register(Format("jsonl", lambda path: path.suffix.lower() == ".jsonl", _read, _write))
