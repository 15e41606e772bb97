"""Which picture files are read, and which are only known by their names."""

from __future__ import annotations

import importlib.util
from typing import Final

from PIL import features

# Pillow 11.3 brought AVIF; some builds come without the library for it.
_HAS_AVIF: Final = importlib.util.find_spec("PIL.AvifImagePlugin") is not None and features.check("avif")

PICTURE_FORMATS: Final = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", *(("AVIF",) if _HAS_AVIF else ()))
"""Formats of the pictures of a dataset and of the frames of a clip, as Pillow names them.

Pillow counts MPO, in which some cameras write, among the JPEGs, and PGM and PNM among the PPMs.
"""

MASK_FORMATS: Final = ("PNG",)
"""The format of masks."""

read_suffixes: Final = (
    *(".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".ppm", ".pgm", ".pnm"),
    *((".avif",) if _HAS_AVIF else ()),
)
"""Suffixes of the pictures of a dataset."""

unread_suffixes: Final[dict[str, str]] = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC"),
    **dict.fromkeys((".jp2", ".j2k", ".jpf", ".jpx", ".jpm"), "JPEG 2000"),
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"), "a camera's raw format"),
    **dict.fromkeys((".psd", ".psb"), "Photoshop"),
    **dict.fromkeys((".eps", ".ps"), "PostScript"),
    **dict.fromkeys((".exr", ".hdr"), "a format of high dynamic range"),
    **({} if _HAS_AVIF else {".avif": "AVIF, which needs a newer Pillow"}),
    ".jxl": "JPEG XL",
    ".jxr": "JPEG XR",
    ".tga": "TGA",
    ".svg": "SVG",
}
"""Suffixes of pictures that are not read, and what they are."""


def why_unread(suffix: str) -> str | None:
    """Say why a picture of this suffix cannot be read; None if it can, or is no picture.

    >>> why_unread(".HEIC")
    'cannot be read: HEIC; convert it to PNG or JPEG'
    """
    name = unread_suffixes.get(suffix.lower())
    return f"cannot be read: {name}; convert it to PNG or JPEG" if name else None
