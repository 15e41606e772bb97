"""Formats of pictures and videos, read, written or only recognised; and the picture files of dataset folders."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from PIL import features

from fomaug.errors import ArgumentError, FomaugError, ResumeError, did_you_mean
from fomaug.files import SUMMARY, read_regular
from fomaug.untrusted import load_json

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


EXPAND_SUMMARY: Final = "expand.json"
"""Name of the summary in an expanded dataset."""


class FolderKeys(NamedTuple):
    """The picture files of a dataset folder.

    Attributes:
        keys: sorted paths below the folder, with slashes on every system.
        expanded: sorted folders that were left out because `fomaug expand` wrote them.
    """

    keys: list[str]
    expanded: list[str]


def list_pictures(folder: Path, suffixes: Collection[str], *, avoided: Collection[Path] = ()) -> FolderKeys:
    """List the pictures below a folder.

    Hidden files and folders and expanded datasets inside the folder are left out. Links to folders are not followed.

    Args:
        folder: dataset folder.
        suffixes: suffixes of pictures, in lower case.
        avoided: resolved paths of folders to leave out.
    """
    expanded: list[str] = []
    keys = sorted(_keys(folder, suffixes, avoided, expanded))
    return FolderKeys(keys, sorted(expanded))


def is_expanded(folder: Path) -> bool:
    """Return whether a folder has a summary of fomaug; other programs may use the same file name."""
    path = folder / EXPAND_SUMMARY
    try:
        summary = load_json(read_regular(path, SUMMARY), path, ResumeError)
    except (FomaugError, OSError):
        return False
    return isinstance(summary, dict) and "fomaug" in summary


def file_size(path: Path) -> int:
    """Return the size of a file in bytes; 0 for a broken link, which causes an error later, when it is loaded."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def digest_sizes(sizes: Iterable[tuple[str, int]]) -> str:
    """Return the sha256 of keys and sizes in bytes, to detect changes of a dataset."""
    digest = hashlib.sha256()
    for key, num_bytes in sizes:
        digest.update(f"{key}\0{num_bytes}\n".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _keys(dataset: Path, suffixes: Collection[str], avoided: Collection[Path], expanded: list[str]) -> Iterator[str]:
    """Yield the keys of all pictures; append the names of expanded datasets, which are not entered."""
    for folder, folders, files in os.walk(dataset):
        here = Path(folder)
        if here != dataset and is_expanded(here):
            expanded.append(here.relative_to(dataset).as_posix())
            folders.clear()
            continue
        folders[:] = [name for name in folders if not name.startswith(".") and (here / name).resolve() not in avoided]
        for name in files:
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                yield (here / name).relative_to(dataset).as_posix()
