"""The one place where pictures and clips are opened: `imageio.v3.imopen` with fomaug's plugins.

imageio receives only open files and a plugin. So it never searches for a plugin, never interprets a name (as an
address, a member of an archive or a camera), and never downloads. Files must be regular and within the size limit of
their kind.

Pillow identifies a format by the content of a file and not by its name, and for some formats it starts other programs:
an EPS file named x.jpg would run Ghostscript. So the allowed formats are passed to Pillow.
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

if TYPE_CHECKING:  # importing imageio takes a tenth of a second, too long for `import fomaug`
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
"""Errors that the picture libraries raise for damaged files, as observed in practice."""


@contextmanager
def imopen(file: BinaryIO, mode: Literal["r", "w"], plugin: type[Plugin], **options: Any) -> Iterator[Plugin]:
    """Open a plugin on an open file through imageio; errors of the plugin are raised unchanged."""
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
        failure = error.__cause__ or error  # imageio's own message is "unknown error"
    else:
        assert isinstance(opened, plugin)
        return opened
    raise failure


@contextmanager
def open_picture(path: Path, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """Open a picture file; only its header is read.

    Args:
        path: path of the file.
        formats: Pillow's names of the allowed formats.

    Raises:
        UnidentifiedImageError: the file has none of these formats, or is damaged.
        UnsafeFileError: the file is not regular, or too large.
        OSError: the file cannot be opened.
        Image.DecompressionBombError: the picture exceeds Pillow's limit of pixels.
    """
    with open_regular(path, PICTURE) as file, identify(file, formats) as picture:
        yield picture.image


@contextmanager
def identify(
    content: bytes | BinaryIO, formats: tuple[str, ...], *, name: str = "the picture"
) -> Iterator[PicturePlugin]:
    """Open the content of a picture file, see `open_picture`; messages contain `name`."""
    from fomaug.media.picture_plugin import PicturePlugin

    file = io.BytesIO(content) if isinstance(content, bytes) else content
    with imopen(file, "r", PicturePlugin, formats=formats, name=name) as picture:
        yield picture
