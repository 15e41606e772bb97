"""Landmarks as in 300-W: a `.pts` file beside each picture. Invisible points are written as they were guessed."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import LabelError, reason_of
from fomaug.files import POINTS, read_text, write_file
from fomaug.labels.checks import check_points
from fomaug.labels.flaws import OnFlaw, Place, flaws_of
from fomaug.labels.formats import Annotations, Format, Row, by_stem, register
from fomaug.labels.values import FaceLabels

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def _claims(path: Path) -> bool:
    return path.suffix.lower() == ".pts" or (path.is_dir() and next(path.rglob("*.pts"), None) is not None)


def _read(path: Path, root: Path, on_flaw: OnFlaw) -> Annotations:
    folder = path if path.is_dir() else path.parent
    pictures = by_stem(root, PICTURES)
    found = {}
    for file in sorted(path.rglob("*.pts")) if path.is_dir() else [path]:
        stem = file.relative_to(folder).with_suffix("").as_posix()
        if stem in pictures:
            with flaws_of(str(file), on_flaw, pictures[stem]) as place:
                found[pictures[stem]] = FaceLabels(points=_points(file, place))
    return found


def read_pts(path: Path) -> NDArray[np.float64]:
    """Read the points (P, 2) of a `.pts` file; NaN is a missing point.

    Raises:
        LabelError: names the line that is damaged.
    """
    place = Place(str(path))
    try:
        return _points(path, place)
    except LabelError as error:
        raise LabelError(f"{place.where}: {error}") from error


def _points(path: Path, place: Place) -> NDArray[np.float64]:
    try:
        lines = read_text(path, POINTS, encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"it cannot be read: {reason_of(error)}") from error
    rows, inside, promised = [], False, None
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text in ("{", "}"):
            inside = text == "{"
        elif inside and text:
            place.where = f"{path}, line {number}"
            rows.append(_point(text))
        elif text.lower().startswith("n_points:"):
            promised = text.partition(":")[2].strip()
    place.where = str(path)
    if not rows:
        raise LabelError("it holds no points between braces")
    if promised not in (None, str(len(rows))):
        raise LabelError(f"it promises {promised[:40]} points and holds {len(rows)}")
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
