"""Class masks as PNGs: a folder with a picture's path and stem for each; palettes are kept."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError

from fomaug._errors import LabelError
from fomaug._files import write_file
from fomaug.labels._flaws import OnFlaw, flaws_of
from fomaug.labels._formats import Annotations, Format, Row, by_stem, register
from fomaug.labels._pts import PICTURES
from fomaug.labels._values import FaceLabels

FOLDER = "masks"
_HIGHEST: Final = 65_535  # class number that a PNG can hold


def _claims(path: Path) -> bool:
    return path.is_dir() and next(path.rglob("*.png"), None) is not None


def _read(path: Path, root: Path, on_flaw: OnFlaw) -> Annotations:
    pictures = by_stem(root, PICTURES)
    found = {}
    for stem, name in by_stem(path, [".png"]).items():
        if stem in pictures:
            with flaws_of(str(path / name), on_flaw, pictures[stem]):
                found[pictures[stem]] = replace(_mask(path / name), origins=(str(path / name),))
    return found


def read_mask(path: Path) -> FaceLabels:
    """Read a mask of class numbers: palette, 8-bit or 16-bit grey; white pixels of a 1-bit mask are 255.

    Raises:
        LabelError: if it is no such picture.
    """
    try:
        return _mask(path)
    except LabelError as error:
        raise LabelError(f"{path}: {error}") from error


def _mask(path: Path) -> FaceLabels:
    try:
        with Image.open(path) as picture:
            mode = picture.mode
            palette = picture.getpalette() if mode == "P" else None
            values = np.asarray(picture.convert("L") if mode == "1" else picture)
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise LabelError(f"it cannot be read: {error}") from error
    if mode not in ("1", "L", "P", "I", "I;16"):
        raise LabelError(f"it is a colour picture ({mode}); a mask has one number a pixel")
    least, most = values.min(initial=0), values.max(initial=0)
    if least < 0 or most > _HIGHEST:
        raise LabelError(f"its class numbers go from {least} to {most}; those of a mask go from 0 to {_HIGHEST}")
    mask = values.astype(np.uint16 if most > 255 else np.uint8)
    return FaceLabels(mask=mask, palette=None if palette is None else tuple(palette))


def encode_mask(labels: FaceLabels) -> bytes:
    """Encode a mask as PNG, with its palette."""
    assert labels.mask is not None
    picture = Image.fromarray(labels.mask)
    if labels.palette is not None:
        picture = picture.convert("P") if picture.mode != "P" else picture
        picture.putpalette(list(labels.palette))
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


def _write(rows: Iterable[Row], out: Path, like: Path | None) -> list[Path]:
    for file, _, labels in rows:
        if labels.mask is not None:
            write_file(out / _file_of(file), encode_mask(labels))
    return [out / FOLDER]


def _file_of(file: str) -> str:
    return str(PurePosixPath(FOLDER, file).with_suffix(".png"))


FORMAT = register(Format("masks", _claims, _read, _write, _file_of))
