"""Class masks as PNGs: a folder with a picture's path and stem for each; palettes are kept."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from fomaug.errors import LabelError, reason_of
from fomaug.files import write_file
from fomaug.labels.flaws import OnFlaw, flaws_of
from fomaug.labels.formats import Annotations, Format, Row, by_stem, register
from fomaug.labels.pts import PICTURES
from fomaug.labels.values import FaceLabels
from fomaug.media import MASK_FORMATS, open_picture
from fomaug.media.damage import DAMAGE

FOLDER = "masks"


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
        with open_picture(path, MASK_FORMATS) as picture:
            mode = picture.mode
            if mode not in ("1", "L", "P", "I", "I;16"):
                raise LabelError(f"it is a colour picture ({mode}); a mask has one number a pixel")
            palette = picture.getpalette() if mode == "P" else None
            values = np.asarray(picture.convert("L") if mode == "1" else picture)
    except LabelError:
        raise
    except DAMAGE as error:
        raise LabelError(f"it cannot be read: {reason_of(error)}") from error
    mask = values.astype(np.uint16 if values.max(initial=0) > 255 else np.uint8)
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
