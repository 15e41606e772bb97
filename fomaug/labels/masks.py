"""Class masks as PNGs in a folder, with the paths and stems of their pictures; palettes are kept.

Masks are written beside their pictures with the suffix `.mask`, because loaders of folders treat PNGs as pictures.
If a folder has such files, they are its masks, and its PNGs are pictures.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from PIL import Image

from fomaug.errors import LabelError, reason_of
from fomaug.files import write_file
from fomaug.labels.checks import OnFlaw, reporting_flaws
from fomaug.labels.faces import FaceLabels
from fomaug.labels.formats import Annotations, Format, Row, pictures_by_stem, register, stem_of
from fomaug.media import DAMAGE, MASK_FORMATS, open_picture

SUFFIX: Final = ".mask"
_MODES = ("1", "L", "P", "I", "I;16")


def _claims(path: Path) -> bool:
    return path.is_dir() and any(next(path.rglob(f"*{suffix}"), None) is not None for suffix in (SUFFIX, ".png"))


def _read(path: Path, root: Path, on_flaw: OnFlaw) -> Annotations:
    found = {}
    for file, picture in _pairs(path, root):
        with reporting_flaws(str(file), on_flaw, picture):
            found[picture] = replace(_mask(file), origins=(str(file),))
    return found


def _list(path: Path, root: Path, on_flaw: OnFlaw) -> Annotations:
    """Check all masks, and return labels without pixels; `_load` reads the pixels of one picture's labels."""
    found = {}
    for file, picture in _pairs(path, root):
        with reporting_flaws(str(file), on_flaw, picture):
            if not _is_whole(file):
                _mask(file)  # raises an error with the reason if the mask is unreadable
            found[picture] = FaceLabels(origins=(str(file),))
    return found


def _pairs(path: Path, root: Path) -> Iterator[tuple[Path, str]]:
    """Yield the masks of pictures in a folder, each with the path of its picture."""
    pictures = pictures_by_stem(root)
    suffix = SUFFIX if next(path.rglob(f"*{SUFFIX}"), None) is not None else ".png"
    for file in sorted(path.rglob("*")):
        picture = pictures.get(stem_of(file.relative_to(path).as_posix()))
        if picture is not None and file.suffix.lower() == suffix:
            yield file, picture


def _load(labels: FaceLabels) -> FaceLabels:
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


def encode_mask(labels: FaceLabels) -> bytes:
    """Encode a mask as a PNG with its palette."""
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
    return [out]


def _file_of(file: str) -> str:
    return str(PurePosixPath(file).with_suffix(SUFFIX))


FORMAT = register(Format("masks", _claims, _read, _write, _file_of, _list, _load))
