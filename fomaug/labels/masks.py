"""Class masks as PNGs: a folder with a picture's path and stem for each; palettes are kept."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from fomaug.errors import LabelError, reason_of
from fomaug.files import write_file
from fomaug.labels.formats import Annotations, Format, Row, by_stem, register
from fomaug.labels.pts import PICTURES
from fomaug.labels.values import FaceLabels
from fomaug.media import MASK_FORMATS, open_picture

FOLDER = "masks"


def _claims(path: Path) -> bool:
    return path.is_dir() and next(path.rglob("*.png"), None) is not None


def _read(path: Path, root: Path) -> Annotations:
    pictures = by_stem(root, PICTURES)
    masks = by_stem(path, [".png"])
    return {pictures[stem]: read_mask(path / name) for stem, name in masks.items() if stem in pictures}


def read_mask(path: Path) -> FaceLabels:
    """Read a mask of class numbers: palette, 8-bit or 16-bit grey.

    Raises:
        LabelError: if it is no such picture.
    """
    try:
        with open_picture(path, MASK_FORMATS) as picture:
            if picture.mode not in ("1", "L", "P", "I", "I;16"):
                raise LabelError(f"{path} is a colour picture ({picture.mode}); a mask has one number a pixel")
            palette = picture.getpalette() if picture.mode == "P" else None
            values = np.asarray(picture)
    except (OSError, Image.DecompressionBombError) as error:
        raise LabelError(f"{path} cannot be read: {reason_of(error)}") from error
    mask = values.astype(
        np.uint8 if values.dtype == np.bool_ else np.uint16 if values.max(initial=0) > 255 else np.uint8
    )
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
