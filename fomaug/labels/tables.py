"""Landmarks and boxes in tables with a row for each face: CSV files, and Hugging Face `metadata.jsonl`.

The columns of a CSV file are `file`, x0, y0, x1, y1, ... and any others; the column of the pictures may also be called
`file_name` or `path`, and is written as `file`. A row of `metadata.jsonl` has `file_name`, `objects.bbox` (x, y, width,
height), `points` and any other keys; the name may also be under `file` or `path`, and is written as `file_name`. In
both, several rows with the name of one picture describe several faces in it.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from fomaug import warp
from fomaug.errors import LabelError, reason_of, shortened
from fomaug.files import LABELS, open_text, read_text, write_file
from fomaug.labels.checks import (
    Array,
    Flaw,
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
from fomaug.labels.formats import CSV_FILES, JSON_FILES, Annotations, Format, Row, picture_path, register
from fomaug.untrusted import load_json, without_nan

_COORDINATE: Final = re.compile(r"[xy]\d+")


def _read_csv(path: Path, root: Path, on_flaw: OnFlaw) -> Annotations:
    found: dict[str, list[FaceLabels]] = {}
    try:
        with open_text(path, LABELS, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or [])
            pairs = _pairs(path, columns)
            named = next(name for name in CSV_FILES if name in columns)
            for row in _csv_rows(path, reader, on_flaw):
                with reporting_flaws(f"{path}, line {reader.line_num}", on_flaw) as origin:
                    origin.picture = picture_path(_picture_in_cells(row, named), path.parent, root)
                    labels = _labels_in_cells(row, pairs, named)
                    found.setdefault(origin.picture, []).append(labels)
    except (OSError, csv.Error) as error:
        raise LabelError(f"{path} cannot be read as CSV: {reason_of(error)}") from error
    return {key: join_rows(rows) for key, rows in found.items()}


def _csv_rows(path: Path, reader: csv.DictReader[str], on_flaw: OnFlaw) -> Iterator[dict[str, Any]]:
    """Yield the rows; a row that the csv module cannot read, such as one with an overlong cell, is a flaw."""
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            on_flaw(Flaw(f"{path}, line {reader.reader.line_num}", "", reason_of(error)))
            continue
        if row is None:
            return
        yield row


def _picture_in_cells(row: dict[str, Any], named: str) -> str:
    # The csv module uses None as the name of cells without a column, and as the value of columns without a cell.
    if None in row or not row[named]:
        raise LabelError("the row has more cells than columns, or no name of a picture")
    return str(row[named])


def _pairs(path: Path, columns: list[str]) -> int:
    if not set(CSV_FILES) & set(columns):
        raise LabelError(
            f"{path}, line 1: a column 'file' was expected, got the columns {', '.join(columns) or 'none'}"
        )
    pairs = 0
    while f"x{pairs}" in columns and f"y{pairs}" in columns:
        pairs += 1
    if not pairs:
        raise LabelError(f"{path}, line 1: columns x0 and y0 were expected, and at least one is missing")
    if beyond := [name for name in columns if _COORDINATE.fullmatch(name) and int(name[1:]) >= pairs]:
        raise LabelError(
            f"{path}, line 1: there is a column {beyond[0]}, but not both of x{pairs} and y{pairs}; points are "
            "numbered from 0 without gaps"
        )
    try:
        check_names(columns)
    except LabelError as error:
        raise LabelError(f"{path}, line 1: {error}") from error
    return pairs


def _labels_in_cells(row: dict[str, str], pairs: int, named: str) -> FaceLabels:
    points = np.array([[_number(row[f"{axis}{i}"]) for axis in "xy"] for i in range(pairs)])
    check_points(points)
    # With an empty cell, a point is visible if it has coordinates.
    flags = [row.get(f"v{i}") or "" for i in range(pairs)]
    given = np.array([flag.strip() != "" for flag in flags])
    visible = np.array([read_flag(flag or "1") > 0 for flag in map(str.strip, flags)])
    check_visible(points, visible & given)
    taken = {named, *(f"{axis}{i}" for axis in "xy" for i in range(pairs))}
    fields = {name: value for name, value in row.items() if name not in taken and not _is_visibility(name, pairs)}
    return FaceLabels(points=points, visible=FaceLabels(points, visible).points_seen, fields=fields)


def _number(cell: str | None) -> float:
    """Read a coordinate; an empty cell becomes NaN, which stands for a missing point."""
    if cell is None:
        raise LabelError("a coordinate is missing: the row has fewer cells than columns")
    try:
        return float(cell) if cell.strip() else math.nan
    except ValueError as error:
        raise LabelError(f"a coordinate is not a number: {cell[:40]!r}") from error


def _is_visibility(name: str, pairs: int) -> bool:
    return name[:1] == "v" and name[1:].isdigit() and int(name[1:]) < pairs


def _write_csv(rows: Iterable[Row], out: Path, like: Path | None) -> list[Path]:
    listed = [(file, part) for file, _, labels in rows for part in split_rows(labels)]
    others = list(dict.fromkeys(name for _, labels in listed for name in labels.fields))
    pairs = max((len(labels.points) for _, labels in listed if labels.points is not None), default=0)
    points = [f"{axis}{i}" for i in range(pairs) for axis in "xyv"]
    # Programs that read columns by their positions find them where the given table has them.
    columns = list(dict.fromkeys([*_columns_of(like), "file", *others, *points]))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for file, labels in listed:
        writer.writerow({**labels.fields, **_cells(labels), "file": file})
    target = out / (like.name if like is not None else "landmarks.csv")
    write_file(target, text.getvalue().encode("utf-8", "surrogateescape"))
    return [target]


def _columns_of(like: Path | None) -> list[str]:
    """Return the columns of a given table; the column of the pictures is called `file`."""
    if like is None or not like.is_file():
        return []
    with open_text(like, LABELS, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        columns = next(csv.reader(file), [])
    named = next((name for name in CSV_FILES if name in columns), "file")
    return ["file" if name == named else name for name in columns]


def _cells(labels: FaceLabels) -> dict[str, str]:
    if labels.points is None:
        return {}
    cells = {}
    for i, (xy, seen) in enumerate(zip(labels.points, labels.points_seen, strict=True)):
        for axis, value in zip("xy", xy, strict=True):
            cells[f"{axis}{i}"] = "" if math.isnan(value) else f"{value:.3f}"
        cells[f"v{i}"] = str(int(seen))
    return cells


CSV = register(Format("csv", lambda path: path.suffix.lower() == ".csv", _read_csv, _write_csv))


def _read_jsonl(path: Path, root: Path, on_flaw: OnFlaw) -> Annotations:
    found: dict[str, list[FaceLabels]] = {}
    try:
        # JSON strings may contain other line separators, at which splitlines would split them.
        lines = read_text(path, LABELS, encoding="utf-8-sig", errors="surrogateescape").split("\n")
    except OSError as error:
        raise LabelError(f"{path} cannot be read: {reason_of(error)}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            with reporting_flaws(f"{path}, line {number}", on_flaw) as origin:
                row = _json_row(line)
                named = next(name for name in JSON_FILES if name in row)
                origin.picture = picture_path(row.pop(named), path.parent, root)
                labels = _labels_in_row(row)
                found.setdefault(origin.picture, []).append(labels)
    return {key: join_rows(rows) for key, rows in found.items()}


def _json_row(line: str) -> dict[str, Any]:
    row: Any = load_json(line, "the row", LabelError, finite=False)
    names = [row[name] for name in JSON_FILES if name in row] if isinstance(row, dict) else []
    if not names or not isinstance(names[0], str):
        raise LabelError("a row must be a JSON object with a file_name, a string")
    found: dict[str, Any] = row
    return found


def _labels_in_row(row: dict[str, Any]) -> FaceLabels:
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


def _write_jsonl(rows: Iterable[Row], out: Path, like: Path | None) -> list[Path]:
    target = out / "metadata.jsonl"
    lines = [json.dumps(_json_values(file, part)) + "\n" for file, _, labels in rows for part in split_rows(labels)]
    write_file(target, "".join(lines).encode())
    return [target]


def _json_values(file: str, labels: FaceLabels) -> dict[str, Any]:
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


JSONL = register(Format("jsonl", lambda path: path.suffix.lower() == ".jsonl", _read_jsonl, _write_jsonl))
