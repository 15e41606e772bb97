"""The one place where pictures and clips are opened: paths, bytes and open files, by imageio with fomaug's plugins.

imageio receives only open files and a plugin. So it never searches for a plugin, never interprets a name (as an
address, a member of an archive or a camera), and never downloads. Files must be regular and within the size limit of
their kind.

Pillow identifies a format by the content of a file and not by its name, and for some formats it starts other programs:
an EPS file named x.jpg would run Ghostscript. So the allowed formats are passed to Pillow.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import re
import shutil
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, TypeVar

from PIL import Image

from fomaug.errors import ArgumentError, MediaError, UnsafeFileError, reason_of
from fomaug.files import CLIP, PICTURE, Kind, exists, open_regular

MediaInput = str | Path | bytes | BinaryIO
"""A path, the bytes of a file, or a file that is open for reading bytes and can seek."""

_BLOCK: Final = 1 << 20
_ADDRESS: Final = re.compile(r"(https?|ftps?|s3|gs|hf|file|rtsp|rtmp)://?", re.IGNORECASE)  # a Path has one slash
_PICTURE_STARTS: Final = (b"GIF8", b"\x89PNG", b"\xff\xd8", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
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


@dataclass(frozen=True)
class MediaFile:
    """A file of a picture or clip, which may be opened several times.

    Attributes:
        path: path of the file; for bytes and open files, their name in messages.
        content: bytes or open file; None for a file on the disk.
    """

    path: Path
    content: bytes | BinaryIO | None = None

    def __str__(self) -> str:
        return str(self.path)

    @property
    def is_dir(self) -> bool:
        """Return whether the path is a folder."""
        return self.content is None and self.path.is_dir()

    def open(self, kind: Kind) -> BinaryIO:
        """Open the file at its start.

        Raises:
            MediaError: the file is not regular, too large, or cannot be opened.
        """
        if self.content is None:
            try:
                return open_regular(self.path, kind)
            except UnsafeFileError as error:
                raise MediaError(str(error)) from error
            except OSError as error:
                raise MediaError(f"{self.path} cannot be read ({reason_of(error)})") from error
        size = len(self.content) if isinstance(self.content, bytes) else _end_of(self.content)
        if size > kind.most:
            raise MediaError(f"{self} has {size:,} bytes, more than the {kind.most:,} that {kind.name} may have")
        return io.BytesIO(self.content) if isinstance(self.content, bytes) else io.BufferedReader(_View(self.content))

    def hash(self, kind: Kind) -> str:
        """Return the sha256 of the bytes."""
        digest = hashlib.sha256()
        with self.open(kind) as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest()

    def starts_as_picture(self, kind: Kind) -> bool:
        """Return whether the first bytes are those of a picture or animated picture rather than a video."""
        with self.open(kind) as file:
            start = file.read(12)
        return start.startswith(_PICTURE_STARTS) or start[8:12] in (b"WEBP", b"avif", b"avis")


def media_file(given: MediaInput) -> MediaFile:
    """Wrap a path, bytes or an open file.

    Raises:
        ArgumentError: the input is something else, an empty path, or a file that yields no bytes or cannot seek.
        MediaError: the path is an address or contains a null character.
    """
    if isinstance(given, str | Path):
        _check_name(str(given))
        return MediaFile(Path(given))
    if isinstance(given, bytes):
        return MediaFile(Path("<bytes>"), given)
    _check_open(given)
    name = getattr(given, "name", None)
    return MediaFile(Path(name if isinstance(name, str) else "<file>"), given)


def _check_name(name: str) -> None:
    if not name:
        raise ArgumentError("the path is empty; give the path of a file or folder")
    if "\0" in name:
        raise MediaError(f"{name!r} is not a path, since it contains a null character")
    if _ADDRESS.match(name) and not exists(Path(name), unclear=MediaError):
        raise MediaError(f"{name} is an address, but only files are read; download it and give the path of the file")


def _check_open(given: object) -> None:
    if not all(hasattr(given, name) for name in ("read", "seek", "tell")) or isinstance(given, io.TextIOBase):
        raise ArgumentError(f"give a path, bytes or a file that is open for reading bytes, got {type(given).__name__}")
    file: Any = given
    if getattr(file, "closed", False):
        raise ArgumentError("the given file is closed; give an open file, its path or its bytes")
    if hasattr(file, "readable") and not file.readable():
        raise ArgumentError("the given file is open for writing only; open it for reading bytes")
    if not file.seekable():
        raise ArgumentError("an open file must be able to seek; read it, and give its bytes")


@contextmanager
def on_disk(given: MediaInput, stem: str) -> Iterator[Path]:
    """Provide the path of an input; bytes and open files are copied to a temporary file called `stem`."""
    file = media_file(given)
    if file.content is None:
        yield file.path
        return
    # The suffix selects the reader. Any suffix of a picture suffices, since its format is read from the content.
    suffix = ".png" if file.starts_as_picture(CLIP) else ".mp4"
    with TemporaryDirectory() as folder, file.open(CLIP) as content:
        path = Path(folder, f"{stem}{suffix}")
        with path.open("wb") as copy:
            shutil.copyfileobj(content, copy)
        yield path


class _View(io.RawIOBase):
    """A reader with its own position in a file that other readers share."""

    _lock: Final = threading.Lock()

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position}.get(whence)
        self._position = max(0, offset + (_end_of(self._file) if start is None else start))
        return self._position

    def readinto(self, buffer: Any) -> int:
        with self._lock:
            self._file.seek(self._position)
            block = self._file.read(len(buffer))
        buffer[: len(block)] = block
        self._position += len(block)
        return len(block)


def _end_of(file: BinaryIO) -> int:
    with _View._lock:
        return file.seek(0, io.SEEK_END)


if TYPE_CHECKING:  # importing imageio takes a tenth of a second, too long for `import fomaug`
    from imageio.core.v3_plugin_api import PluginV3

    from fomaug.media.picture_plugin import PicturePlugin

    Plugin = TypeVar("Plugin", bound=PluginV3)


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
