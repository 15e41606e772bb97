"""Formats of pictures and videos: those that are read, those that are written, and those that are only recognised."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from PIL import features

from fomaug.errors import ArgumentError, did_you_mean

# Pillow 11.3 brought AVIF; some builds come without the library for it.
_HAS_AVIF: Final = importlib.util.find_spec("PIL.AvifImagePlugin") is not None and features.check("avif")

PICTURE_FORMATS: Final = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", *(("AVIF",) if _HAS_AVIF else ()))
"""Formats of the pictures of a dataset; Pillow counts MPO, in which some cameras write, among the JPEGs."""

FRAME_FORMATS: Final = (*PICTURE_FORMATS, "PPM")
"""Formats of the frames of a clip."""

MASK_FORMATS: Final = ("PNG",)
"""The format of masks."""

read_suffixes: Final = (
    *(".jpg", ".jpeg", ".jfif", ".jpe", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *((".avif",) if _HAS_AVIF else ()),
)
"""Suffixes of the pictures of a dataset."""

unread_suffixes: Final[dict[str, str]] = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC"),
    **dict.fromkeys((".jp2", ".j2k", ".jpf", ".jpx", ".jpm"), "JPEG 2000"),
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"), "a camera's raw format"),
    **dict.fromkeys((".ppm", ".pgm", ".pnm"), "PNM"),
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


def check_suffix(path: Path, known: Collection[str]) -> str:
    """Return a path's suffix in small letters.

    Raises:
        ArgumentError: it is none of the known ones; says which they are, and the nearest.
    """
    suffix = path.suffix.lower()
    if suffix not in known:
        hint = did_you_mean(suffix, known)
        raise ArgumentError(f"cannot write {path.name!r}: its suffix must be one of {', '.join(known)}{hint}")
    return suffix


@dataclass(frozen=True)
class Kind:
    """A kind of video.

    Attributes:
        container: FFmpeg's name of it.
        codecs: encoders; the first that this build of FFmpeg has is taken.
        pixels: FFmpeg's name of the layout that they encode.
        options: of the container.
        codec_options: of each encoder.
        tagged: colours are BT.709 in the limited range, and the file says so. WebP has no tags; it means BT.601.
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
    """Look up how a path's suffix is written."""
    return _KINDS[check_suffix(path, _KINDS)]
