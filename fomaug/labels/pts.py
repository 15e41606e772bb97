"""Landmarks as in 300-W: a `.pts` file beside each picture. Invisible points are written as they were guessed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import LabelError, reason_of
from fomaug.files import POINTS, read_text, write_file
from fomaug.labels.formats import Annotations, Format, Row, by_stem, check_finite, register
from fomaug.labels.values import FaceLabels

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def _claims(path: Path) -> bool:
    return path.suffix.lower() == ".pts" or (path.is_dir() and next(path.rglob("*.pts"), None) is not None)


def _read(path: Path, root: Path) -> Annotations:
    folder = path if path.is_dir() else path.parent
    pictures = by_stem(root, PICTURES)
    found = {}
    for file in sorted(path.rglob("*.pts")) if path.is_dir() else [path]:
        stem = file.relative_to(folder).with_suffix("").as_posix()
        if stem in pictures:
            found[pictures[stem]] = FaceLabels(points=read_pts(file))
    return found


def read_pts(path: Path) -> NDArray[np.float64]:
    """Read the points (P, 2) of a `.pts` file.

    Raises:
        LabelError: names the line that is damaged.
    """
    try:
        lines = read_text(path, POINTS, encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LabelError(f"{path} cannot be read: {reason_of(error)}") from error
    points, inside, promised = [], False, None
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if text in ("{", "}"):
            inside = text == "{"
        elif inside and text:
            points.append(_point(path, number, text))
        elif text.lower().startswith("n_points:"):
            promised = text.partition(":")[2].strip()
    if not points:
        raise LabelError(f"{path} holds no points between braces")
    if promised not in (None, str(len(points))):
        raise LabelError(f"{path} promises {promised[:40]} points and holds {len(points)}")
    return np.array(points)


def _point(path: Path, number: int, text: str) -> tuple[float, float]:
    try:
        x, y = (float(word) for word in text.split())
        check_finite(np.array([x, y]))
    except ValueError as error:
        raise LabelError(f"{path}, line {number}: two numbers were expected, got {text[:40]!r}") from error
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
