"""Landmarks in a CSV file: a column `file`, columns x0, y0, x1, y1, ..., any others carried along; a row a face."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from fomaug.errors import LabelError, reason_of
from fomaug.files import LABELS, open_text, write_file
from fomaug.labels.formats import Annotations, Format, Row, check_finite, picture_key, register
from fomaug.labels.rows import join_rows, split_rows
from fomaug.labels.values import FaceLabels


def _read(path: Path, root: Path) -> Annotations:
    try:
        with open_text(path, LABELS, newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or [])
            pairs = _pairs(path, columns)
            found: dict[str, list[FaceLabels]] = {}
            for row in reader:
                key = picture_key(_file(path, reader.line_num, row), path.parent, root)
                found.setdefault(key, []).append(_labels(path, reader.line_num, row, pairs))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise LabelError(f"{path} cannot be read as CSV: {reason_of(error)}") from error
    return {key: join_rows(rows) for key, rows in found.items()}


def _file(path: Path, line: int, row: dict[str, Any]) -> str:
    # csv gives None as the name of cells without a column, and as the value of columns without a cell.
    if None in row or not row["file"]:
        raise LabelError(f"{path}, line {line}: there are more cells than columns, or no name of a picture")
    return str(row["file"])


def _pairs(path: Path, columns: list[str]) -> int:
    if "file" not in columns:
        raise LabelError(f"{path}, line 1: there is no column 'file'; its columns are {', '.join(columns) or 'none'}")
    pairs = 0
    while f"x{pairs}" in columns and f"y{pairs}" in columns:
        pairs += 1
    if not pairs:
        raise LabelError(f"{path}, line 1: there are no columns x0 and y0")
    return pairs


def _labels(path: Path, line: int, row: dict[str, str], pairs: int) -> FaceLabels:
    try:
        points = np.array([[float(row[f"x{i}"]), float(row[f"y{i}"])] for i in range(pairs)])
        check_finite(points)
    except (TypeError, ValueError) as error:
        raise LabelError(f"{path}, line {line}: a coordinate is missing or no number") from error
    taken = {"file", *(f"{axis}{i}" for axis in "xy" for i in range(pairs))}
    seen = np.array([row.get(f"v{i}", "1") not in ("0", "False", "false") for i in range(pairs)])
    fields = {name: value for name, value in row.items() if name not in taken and not _is_visibility(name, pairs)}
    return FaceLabels(points=points, visible=seen, fields=fields)


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
    write_file(target, text.getvalue().encode())
    return [target]


def _cells(labels: FaceLabels) -> list[str]:
    assert labels.points is not None
    seen = np.ones(len(labels.points), bool) if labels.visible is None else labels.visible
    return [
        cell for (x, y), v in zip(labels.points, seen, strict=True) for cell in (f"{x:.3f}", f"{y:.3f}", str(int(v)))
    ]


FORMAT = register(Format("csv", lambda path: path.suffix.lower() == ".csv", _read, _write))
