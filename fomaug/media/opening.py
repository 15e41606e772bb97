"""Picture files from outside, opened by Pillow: regular files of the promised formats and nothing else.

Pillow tells a format by the content of a file and not by its name, and some of the formats it knows start other
programs: an EPS file called x.jpg would run Ghostscript. So it is told which formats there may be.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from PIL import Image, UnidentifiedImageError

from fomaug.files import PICTURE, open_regular

PICTURE_FORMATS: Final = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF")
"""Formats of the pictures of a dataset; Pillow counts MPO, in which some cameras write, among the JPEGs."""

FRAME_FORMATS: Final = (*PICTURE_FORMATS, "PPM")
"""Formats of the frames of a clip."""

MASK_FORMATS: Final = ("PNG",)
"""The format of masks."""


@contextmanager
def open_picture(path: Path, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """Open a picture file; nothing but its head is read.

    Args:
        path: of the file.
        formats: names that Pillow has for the formats it may be of.

    Raises:
        UnidentifiedImageError: it is of no such format, or damaged.
        UnsafeFileError: it is no regular file, or too large.
        OSError: it cannot be opened.
        Image.DecompressionBombError: it has more pixels than Pillow takes.
    """
    with open_regular(path, PICTURE) as file, identify(file, formats) as image:
        yield image


def identify(content: bytes | BinaryIO, formats: tuple[str, ...]) -> Image.Image:
    """Open the content of a picture file, see `open_picture`."""
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    try:
        return Image.open(file, formats=formats)
    except UnidentifiedImageError as error:
        raise UnidentifiedImageError(f"it is of no known kind ({', '.join(formats)}), or damaged") from error
