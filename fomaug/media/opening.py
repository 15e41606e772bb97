"""The front door: every picture and clip is opened by `imageio.v3.imopen`, with a plugin of ours.

imageio is handed open files only. So it never searches for a plugin, never reads a name that stands for something else
(an address, a member of an archive, a camera), and never downloads. The files are opened here: they must be regular and
not larger than their kind.

Pillow tells a format by the content of a file and not by its name, and some of the formats it knows start other
programs: an EPS file called x.jpg would run Ghostscript. So it is told which formats there may be.
"""

from __future__ import annotations

import io
import lzma
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, TypeVar

from PIL import Image

from fomaug.files import PICTURE, open_regular

if TYPE_CHECKING:  # imageio opens in a tenth of a second, too long for everyone who imports fomaug
    from imageio.core.v3_plugin_api import PluginV3

    from fomaug.media.picture_plugin import PicturePlugin

    Plugin = TypeVar("Plugin", bound=PluginV3)

DAMAGE: Final = (
    OSError,
    EOFError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,  # where warnings are errors
)
"""Errors that the libraries which read pictures raise over damaged files, as met in practice."""


@contextmanager
def imopen(file: BinaryIO, mode: Literal["r", "w"], plugin: type[Plugin], **options: Any) -> Iterator[Plugin]:
    """Open, through imageio, a file that is open; the errors of the plugin come out as they are."""
    opened = _opened(file, mode, plugin, options)
    try:
        yield opened
    finally:
        opened.close()


def _opened(file: BinaryIO, mode: Literal["r", "w"], plugin: type[Plugin], options: dict[str, Any]) -> Plugin:
    from imageio.v3 import imopen as imageio_imopen

    try:
        opened: Any = imageio_imopen(file, mode, plugin=plugin, **options)
    except OSError as error:
        failure = error.__cause__ or error  # imageio says no more than that an unknown error has occurred
    else:
        assert isinstance(opened, plugin)
        return opened
    raise failure


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
    with open_regular(path, PICTURE) as file, identify(file, formats) as picture:
        yield picture.image


@contextmanager
def identify(
    content: bytes | BinaryIO, formats: tuple[str, ...], *, name: str = "the picture"
) -> Iterator[PicturePlugin]:
    """Open the content of a picture file, see `open_picture`; `name` is what messages call it."""
    from fomaug.media.picture_plugin import PicturePlugin

    file = io.BytesIO(content) if isinstance(content, bytes) else content
    with imopen(file, "r", PicturePlugin, formats=formats, name=name) as picture:
        yield picture
