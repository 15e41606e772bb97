"""Labels in folders with a file for each picture: landmarks of 300-W (`.pts`), and class masks as PNGs.

The files have the paths and stems of their pictures. `.pts` files have no visibility, so all points are written. Masks
keep their palettes, and are written with the suffix `.mask`, because loaders of folders treat PNGs as pictures. If a
folder has such files, they are its masks, and its PNGs are pictures.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fomaug.errors import LabelError, reason_of
from fomaug.files import POINTS, read_text, write_file
from fomaug.labels.checks import OnFlaw, Origin, check_points, reporting_flaws
from fomaug.labels.faces import FaceLabels
from fomaug.labels.formats import Annotations, Format, Row, pictures_by_stem, register, stem_of
from fomaug.media import DAMAGE, MASK_FORMATS, open_picture

_SUFFIX: Final = ".mask"
_MODES: Final = ("1", "L", "P", "I", "I;16")


def _with_pictures(files: Iterable[Path], folder: Path, root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files of a folder that belong to pictures, sorted, each with the path of its picture."""
    pictures = pictures_by_stem(root)
    for file in sorted(files):
        picture = pictures.get(stem_of(file.relative_to(folder).as_posix()))
        if picture is not None:
            yield file, picture


def _claims_points(path: Path) -> bool:
    return path.suffix.lower() == ".pts" or (path.is_dir() and next(path.rglob("*.pts"), None) is not None)


def _read_points(path: Path, root: Path, on_flaw: OnFlaw) -> Annotations:
    folder, files = (path, path.rglob("*.pts")) if path.is_dir() else (path.parent, [path])
    found = {}
    for file, picture in _with_pictures(files, folder, root):
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


def _write_points(rows: Iterable[Row], out: Path, like: Path | None) -> list[Path]:
    for file, _, labels in rows:
        if labels.points is None:
            continue
        body = "\n".join(f"{x:.3f} {y:.3f}" for x, y in labels.points)
        text = f"version: 1\nn_points: {len(labels.points)}\n{{\n{body}\n}}\n"
        write_file(out / _points_file(file), text.encode())
    return [out]


def _points_file(file: str) -> str:
    return str(PurePosixPath(file).with_suffix(".pts"))


PTS = register(Format("pts", _claims_points, _read_points, _write_points, _points_file))


def _claims_masks(path: Path) -> bool:
    return path.is_dir() and any(next(path.rglob(f"*{suffix}"), None) is not None for suffix in (_SUFFIX, ".png"))


def _read_masks(path: Path, root: Path, on_flaw: OnFlaw) -> Annotations:
    found = {}
    for file, picture in _masks_of(path, root):
        with reporting_flaws(str(file), on_flaw, picture):
            found[picture] = replace(_mask(file), origins=(str(file),))
    return found


def _list_masks(path: Path, root: Path, on_flaw: OnFlaw) -> Annotations:
    """Check all masks, and return labels without pixels; `_load_mask` reads the pixels of one picture's labels."""
    found = {}
    for file, picture in _masks_of(path, root):
        with reporting_flaws(str(file), on_flaw, picture):
            if not _is_whole(file):
                _mask(file)  # raises an error with the reason if the mask is unreadable
            found[picture] = FaceLabels(origins=(str(file),))
    return found


def _masks_of(path: Path, root: Path) -> Iterator[tuple[Path, str]]:
    suffix = _SUFFIX if next(path.rglob(f"*{_SUFFIX}"), None) is not None else ".png"
    return _with_pictures((file for file in path.rglob("*") if file.suffix.lower() == suffix), path, root)


def _load_mask(labels: FaceLabels) -> FaceLabels:
    return replace(_mask(Path(labels.origins[0])), origins=labels.origins)


def _is_whole(path: Path) -> bool:
    """Return whether a file is a PNG with the right kind of pixels and checksums; the pixels are not decoded."""
    try:
        with open_picture(path, MASK_FORMATS) as picture:
            fits = picture.format == "PNG" and picture.mode in _MODES
            picture.verify()
    except DAMAGE:
        return False
    return fits


def _mask(path: Path) -> FaceLabels:
    """Read a mask of class numbers with a palette, or in 1, 8 or 16 bits of grey; white in 1 bit becomes 255."""
    try:
        with open_picture(path, MASK_FORMATS) as picture:
            mode = picture.mode
            if mode not in _MODES:
                raise LabelError(f"it is a colour picture ({mode}); a mask must have one number for each pixel")
            palette = picture.getpalette() if mode == "P" else None
            values = np.asarray(picture.convert("L") if mode == "1" else picture)
    except LabelError:
        raise
    except DAMAGE as error:
        raise LabelError(f"it cannot be read: {reason_of(error)}") from error
    mask = values.astype(np.uint16 if values.max(initial=0) > 255 else np.uint8)
    return FaceLabels(mask=mask, palette=None if palette is None else tuple(palette))


def _encode_mask(labels: FaceLabels) -> bytes:
    """Encode a mask as a PNG with its palette."""
    assert labels.mask is not None
    picture = Image.fromarray(labels.mask)
    if labels.palette is not None:
        picture = picture.convert("P") if picture.mode != "P" else picture
        picture.putpalette(list(labels.palette))
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def _write_masks(rows: Iterable[Row], out: Path, like: Path | None) -> list[Path]:
    for file, _, labels in rows:
        if labels.mask is not None:
            write_file(out / _mask_file(file), _encode_mask(labels))
    return [out]


def _mask_file(file: str) -> str:
    return str(PurePosixPath(file).with_suffix(_SUFFIX))


# After the points, since every folder with a PNG file is recognised as a folder of masks.
MASKS = register(Format("masks", _claims_masks, _read_masks, _write_masks, _mask_file, _list_masks, _load_mask))
