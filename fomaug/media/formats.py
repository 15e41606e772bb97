"""Formats of pictures and videos that are read, written, or recognised but not read."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from PIL import features

from fomaug.errors import ArgumentError, did_you_mean

# AVIF was added in Pillow 11.3, and some builds lack its library.
_HAS_AVIF: Final = importlib.util.find_spec("PIL.AvifImagePlugin") is not None and features.check("avif")

PICTURE_FORMATS: Final = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", *(("AVIF",) if _HAS_AVIF else ()))
"""Formats of the pictures of a dataset and of the frames of a clip, as Pillow names them.

Pillow's JPEG includes MPO, the format of some cameras, and its PPM includes PGM and PNM.
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
"""Suffixes of pictures that are not read, with the names of their formats."""


def why_unread(suffix: str) -> str | None:
    """Explain why a picture of this suffix cannot be read; return None if it can be, or is not a picture.

    >>> why_unread(".HEIC")
    'cannot be read: HEIC; convert it to PNG or JPEG'
    """
    name = unread_suffixes.get(suffix.lower())
    return f"cannot be read: {name}; convert it to PNG or JPEG" if name else None


def check_suffix(path: Path, known: Collection[str]) -> str:
    """Return a path's suffix in lower case.

    Raises:
        ArgumentError: the suffix is unknown; the message lists the known ones and suggests the nearest.
    """
    suffix = path.suffix.lower()
    if suffix not in known:
        hint = did_you_mean(suffix, known)
        raise ArgumentError(f"cannot write {path.name!r}: its suffix must be one of {', '.join(known)}{hint}")
    return suffix


@dataclass(frozen=True)
class Kind:
    """A kind of video that can be written.

    Attributes:
        container: FFmpeg's name of the container.
        codecs: encoders, of which the first that this build of FFmpeg has is used.
        pixels: FFmpeg's name of the pixel format that they encode.
        options: options of the container.
        codec_options: options of each encoder.
        tagged: whether colours are BT.709 in the limited range, with tags; WebP has no tags and implies BT.601.
    """

    container: str
    codecs: tuple[str, ...]
    pixels: str
    options: dict[str, str] = field(default_factory=dict)
    codec_options: dict[str, dict[str, str]] = field(default_factory=dict)
    tagged: bool = False


_KINDS: Final = {
    ".mp4": Kind(
        "mp4",
        ("libx264", "libopenh264", "mpeg4"),
        "yuv420p",
        {"movflags": "faststart"},
        {"libx264": {"crf": "18", "preset": "medium"}, "mpeg4": {"qscale": "3"}},
        tagged=True,
    ),
    ".gif": Kind("gif", ("gif",), "pal8", {"loop": "0"}),
    ".webp": Kind("webp", ("libwebp_anim",), "yuv420p", {"loop": "0"}, {"libwebp_anim": {"quality": "85"}}),
}


def kind_of(path: Path) -> Kind:
    """Return the kind of video that a path's suffix names."""
    return _KINDS[check_suffix(path, _KINDS)]
