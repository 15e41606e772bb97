"""Picture files of every common kind, read for writing back."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PIL import UnidentifiedImageError

from fomaug.errors import MediaError, reason_of
from fomaug.files import PICTURE, read_regular
from fomaug.media.damage import DAMAGE
from fomaug.media.formats import PICTURE_FORMATS, why_unread
from fomaug.media.images import suffix_formats
from fomaug.media.inputs import MediaInput, media_file
from fomaug.media.opening import identify
from fomaug.media.picture import Picture

MIN_SIDE: Final = 16
_MOST_PIXELS: Final = 1 << 30


def read_picture(picture: MediaInput, *, max_pixels: int = _MOST_PIXELS) -> Picture:
    """Read a picture: the first of several frames or pages, turned upright.

    Palettes and CMYK become RGB (by the file's profile if it has one), bits grey; 16 bits and alpha stay.

    Args:
        picture: path, bytes, or a file that is open for reading bytes.
        max_pixels: refuse a picture that has more.

    Raises:
        MediaError: if the file is damaged, of another kind, too large or too small; it is named by the caller.
    """
    file = media_file(picture)
    if file.content is None:
        return decode_picture(_read_bytes(file.path), file.path.suffix, max_pixels=max_pixels)
    with file.open(PICTURE) as content:
        return decode_picture(content.read(), file.path.suffix, max_pixels=max_pixels)


def decode_picture(content: bytes, suffix: str, *, max_pixels: int = _MOST_PIXELS) -> Picture:
    """Decode the bytes of a picture file, see `read_picture`."""
    try:
        with identify(content, PICTURE_FORMATS) as picture:
            _check_size(picture.size, max_pixels)
            encode_format = _encode_format(suffix, picture.format)
            array, profile = picture.read_with_profile()
    except UnidentifiedImageError as cause:
        raise MediaError(why_unread(suffix) or f"cannot be read as a picture: {cause}") from cause
    except DAMAGE as cause:
        raise MediaError(f"cannot be read as a picture: {reason_of(cause)}") from cause
    pixels, alpha = (array[..., :-1], array[..., -1:]) if array.shape[2] in (2, 4) else (array, None)
    return Picture(pixels, alpha, profile, encode_format)


def _encode_format(suffix: str, file_format: str) -> str:
    """Choose what a picture is written back in: its own format, or PNG where that is none of those that are written."""
    own = suffix_formats.get(suffix.lower(), "jpeg" if file_format == "MPO" else file_format.lower())
    return own if own in suffix_formats.values() else "png"


def _read_bytes(path: Path) -> bytes:
    try:
        return read_regular(path, PICTURE)
    except OSError as cause:
        raise MediaError(f"cannot be read: {reason_of(cause)}") from cause


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise MediaError(f"has {width} x {height} pixels, more than max_pixels={max_pixels}")
    if min(width, height) < MIN_SIDE:
        raise MediaError(f"has {width} x {height} pixels; at least {MIN_SIDE} are needed on each side")
