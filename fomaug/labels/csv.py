"""Landmarks in a CSV file with a row for each face; its columns are `file`, x0, y0, x1, y1, ... and any others.

The column of the pictures may also be called `file_name` or `path`; it is written as `file`.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fomaug.errors import LabelError, reason_of
from fomaug.files import LABELS, open_text, write_file
from fomaug.labels.checks import Flaw, OnFlaw, check_points, check_visible, read_flag, reporting_flaws
from fomaug.labels.faces import FaceLabels, check_names, join_rows, split_rows
from fomaug.labels.formats import CSV_FILES, Annotations, Format, Row, picture_path, register


def _read(path: Path, root: Path, on_flaw: OnFlaw) -> Annotations:
    found: dict[str, list[FaceLabels]] = {}
    try:
        with open_text(path, LABELS, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or [])
            pairs = _pairs(path, columns)
            named = next(name for name in CSV_FILES if name in columns)
            for row in _rows(path, reader, on_flaw):
                with reporting_flaws(f"{path}, line {reader.line_num}", on_flaw) as origin:
                    origin.picture = picture_path(_file(row, named), path.parent, root)
                    labels = _labels(row, pairs, named)
                    found.setdefault(origin.picture, []).append(labels)
    except (OSError, csv.Error) as error:
        raise LabelError(f"{path} cannot be read as CSV: {reason_of(error)}") from error
    return {key: join_rows(rows) for key, rows in found.items()}


def _rows(path: Path, reader: csv.DictReader[str], on_flaw: OnFlaw) -> Iterator[dict[str, Any]]:
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


def _file(row: dict[str, Any], named: str) -> str:
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
    try:
        check_names(columns)
    except LabelError as error:
        raise LabelError(f"{path}, line 1: {error}") from error
    return pairs


def _labels(row: dict[str, str], pairs: int, named: str) -> FaceLabels:
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


def _write(rows: Iterable[Row], out: Path, like: Path | None) -> list[Path]:
    listed = [(file, size, part) for file, size, labels in rows for part in split_rows(labels)]
    others = list(dict.fromkeys(name for _, _, labels in listed for name in labels.fields))
    pairs = max((len(labels.points) for _, _, labels in listed if labels.points is not None), default=0)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", *others, *(f"{axis}{i}" for i in range(pairs) for axis in "xyv")])
    for file, _, labels in listed:
        cells = [] if labels.points is None else _cells(labels)
        writer.writerow([file, *(labels.fields.get(name, "") for name in others), *cells])
    target = out / (like.name if like is not None else "landmarks.csv")
    write_file(target, text.getvalue().encode("utf-8", "surrogateescape"))
    return [target]


def _cells(labels: FaceLabels) -> list[str]:
    assert labels.points is not None
    return [
        cell
        for xy, seen in zip(labels.points, labels.points_seen, strict=True)
        for cell in (*("" if math.isnan(value) else f"{value:.3f}" for value in xy), str(int(seen)))
    ]


FORMAT = register(Format("csv", lambda path: path.suffix.lower() == ".csv", _read, _write))
