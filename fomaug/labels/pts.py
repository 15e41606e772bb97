"""Landmarks as in 300-W: a `.pts` file beside each picture. The format has no visibility, so all points are written."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import LabelError, reason_of
from fomaug.files import POINTS, read_text, write_file
from fomaug.labels.checks import OnFlaw, Origin, check_points, reporting_flaws
from fomaug.labels.faces import FaceLabels
from fomaug.labels.formats import Annotations, Format, Row, pictures_by_stem, register, stem_of


def _claims(path: Path) -> bool:
    return path.suffix.lower() == ".pts" or (path.is_dir() and next(path.rglob("*.pts"), None) is not None)


def _read(path: Path, root: Path, on_flaw: OnFlaw) -> Annotations:
    folder = path if path.is_dir() else path.parent
    pictures = pictures_by_stem(root)
    found = {}
    for file in sorted(path.rglob("*.pts")) if path.is_dir() else [path]:
        picture = pictures.get(stem_of(file.relative_to(folder).as_posix()))
        if picture is not None:
            with reporting_flaws(str(file), on_flaw, picture) as origin:
                found[picture] = FaceLabels(points=_points(file, origin))
    return found


def _points(path: Path, origin: Origin) -> NDArray[np.float64]:
    """Read points (P, 2); in case of an error, the origin has the line. NaN stands for a missing point."""
    try:
        lines = read_text(path, POINTS, encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"it cannot be read: {reason_of(error)}") from error
    rows, inside, stated = [], False, None
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text in ("{", "}"):
            inside = text == "{"
        elif inside and text:
            origin.where = f"{path}, line {number}"
            rows.append(_point(text))
        elif text.lower().startswith("n_points:"):
            stated = text.partition(":")[2].strip()
    origin.where = str(path)
    if not rows:
        raise LabelError("the file has no points between braces")
    if stated not in (None, str(len(rows))):
        raise LabelError(f"n_points is {stated[:40]}, and the file has {len(rows)} points")
    points = np.array(rows)
    check_points(points)
    return points


def _point(text: str) -> tuple[float, float]:
    try:
        x, y = map(float, text.split())
    except ValueError as error:
        raise LabelError(f"two numbers were expected, got {text[:40]!r}") from error
    if math.isinf(x) or math.isinf(y):
        raise LabelError(f"two numbers were expected, got {text[:40]!r}")
    return x, y


def _write(rows: Iterable[Row], out: Path, like: Path | None) -> list[Path]:
    for file, _, labels in rows:
        if labels.points is None:
            continue
        body = "\n".join(f"{x:.3f} {y:.3f}" for x, y in labels.points)
        text = f"version: 1\nn_points: {len(labels.points)}\n{{\n{body}\n}}\n"
        write_file(out / _file_of(file), text.encode())
    return [out]


def _file_of(file: str) -> str:
    return str(PurePosixPath(file).with_suffix(".pts"))


FORMAT = register(Format("pts", _claims, _read, _write, _file_of))
