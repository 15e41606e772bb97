"""Write pictures, contact sheets and videos, each with a provenance mark inside and only as a whole file."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, TiffImagePlugin

from fomaug.errors import ArgumentError, FomaugError, MediaError, ShapeError, check_choice, reason_of
from fomaug.files import replacing, write_file
from fomaug.media.clips import Sound
from fomaug.media.formats import check_suffix, kind_of
from fomaug.media.opening import imopen
from fomaug.media.provenance import Provenance, mark_gif, mark_iso_media, mark_webp, sidecar_of

if TYPE_CHECKING:
    from fomaug.media.encoder_plugin import EncoderPlugin


Pixels = NDArray[np.uint8] | NDArray[np.uint16]

suffix_formats: Final[dict[str, str]] = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".png": "png",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".bmp": "bmp",
}
"""Image format of each supported file suffix."""

_XMP_TAG: Final = 700
_NO_ALPHA: Final = ("jpeg", "bmp")
_SIXTEEN: Final = ("png", "tiff")
_PAPER = 255


def save_image(
    path: str | Path,
    array: Pixels,
    *,
    provenance: Provenance | None = None,
    quality: int = 95,
    icc_profile: bytes | None = None,
) -> Path:
    """Write a picture atomically; the suffix of the path determines the format.

    BMP files cannot contain the mark, which is written to a file of the same name with `.xmp` appended.

    Args:
        path: path with the suffix `.jpg`, `.png`, `.webp`, `.tif` or `.bmp`.
        array: pixels (H, W), (H, W, 3) RGB, or (H, W, 2 or 4) with alpha; uint8, or uint16 for PNG and TIFF.
        provenance: content of the mark; None writes no mark.
        quality: quality of JPEG and WebP, 1 to 100.
        icc_profile: ICC profile of the picture's colours.

    Returns:
        The path.
    """
    path = Path(path)
    content = encode_image(array, format_of(path), provenance=provenance, quality=quality, icc_profile=icc_profile)
    if provenance is not None and format_of(path) == "bmp":
        write_file(sidecar_of(path), provenance.to_xmp())
    write_file(path, content)
    return path


def encode_image(
    array: Pixels,
    encode_format: str,
    *,
    provenance: Provenance | None = None,
    quality: int = 95,
    icc_profile: bytes | None = None,
) -> bytes:
    """Encode a picture as the bytes of a file; equal arguments result in equal bytes.

    Args:
        array: pixels as for `save_image`; a format without 16 bits rounds them to 8, and one without alpha drops it.
        encode_format: format, one of `jpeg`, `png`, `webp`, `tiff` and `bmp`.
        provenance: content of the mark; None writes no mark.
        quality: quality of JPEG and WebP, 1 to 100.
        icc_profile: ICC profile of the picture's colours.
    """
    check_choice("image format", encode_format, sorted(set(suffix_formats.values())))
    if not 1 <= quality <= 100:
        raise ArgumentError(f"quality must be 1 to 100, got {quality}")
    _check_pixels(array)
    xmp = provenance.to_xmp() if provenance is not None else None
    options: dict[str, Any] = {"xmp": xmp, "icc_profile": icc_profile}
    if array.dtype == np.uint8 or encode_format not in _SIXTEEN:
        array, options = _eight_bits(_fitting(array, encode_format)), _options(encode_format, xmp, quality, icc_profile)
    return _encoded(array, encode_format, options)


def _encoded(array: Pixels, encode_format: str, options: dict[str, Any]) -> bytes:
    from fomaug.media.picture_plugin import PicturePlugin

    buffer = io.BytesIO()
    with imopen(buffer, "w", PicturePlugin) as picture:
        picture.write(array, encode_format=encode_format, **options)
    return buffer.getvalue()


def format_of(path: Path) -> str:
    """Return the image format of a path's suffix."""
    return suffix_formats[check_suffix(path, suffix_formats)]


def _check_pixels(array: Pixels) -> None:
    shape_fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (2, 3, 4))
    if not shape_fits or array.dtype not in (np.uint8, np.uint16) or not array.size:
        raise ShapeError(
            f"a picture must be (H, W), (H, W, 3), or (H, W, 2 or 4) with alpha, uint8 or uint16; "
            f"got {array.shape} {array.dtype}"
        )


def _fitting(array: Pixels, encode_format: str) -> Pixels:
    has_alpha = array.ndim == 3 and array.shape[2] in (2, 4)
    if not has_alpha or encode_format not in _NO_ALPHA:
        return array
    return array[..., 0] if array.shape[2] == 2 else array[..., :3]


def _eight_bits(array: Pixels) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array, dtype=np.uint8)
    return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _options(encode_format: str, xmp: bytes | None, quality: int, icc_profile: bytes | None) -> dict[str, Any]:
    options: dict[str, Any] = {"icc_profile": icc_profile} if icc_profile and encode_format != "bmp" else {}
    if encode_format == "jpeg":
        options |= {"quality": quality, "subsampling": 0}
    elif encode_format == "webp":
        options |= {"quality": quality, "method": 4}
    elif encode_format == "tiff":
        options |= {"compression": "tiff_adobe_deflate"}
    if xmp is not None:
        options |= _xmp_option(encode_format, xmp)
    return options


def _xmp_option(encode_format: str, xmp: bytes) -> dict[str, Any]:
    if encode_format == "png":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        return {"pnginfo": text}
    if encode_format == "tiff":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags.tagtype[_XMP_TAG] = 1  # bytes
        tags[_XMP_TAG] = xmp
        return {"tiffinfo": tags}
    return {"xmp": xmp} if encode_format in ("jpeg", "webp") else {}


def contact_sheet(
    rows: Sequence[Sequence[NDArray[np.uint8]]], *, cell: int = 128, gap: int = 4, lead_gap: int = 8
) -> NDArray[np.uint8]:
    """Arrange pictures in rows on white; each is scaled to its square cell, and rows may differ in length.

    Args:
        rows: rows of pictures (H, W), (H, W, 3), or (H, W, 2 or 4) with alpha, uint8; the first of a row is its source.
        cell: side of a cell in pixels.
        gap: pixels between cells and around the sheet.
        lead_gap: additional pixels between the first column and the others.

    Returns:
        (H, W, 3) uint8.

    >>> picture = np.zeros((40, 20, 3), np.uint8)
    >>> contact_sheet([[picture, picture], [picture]], cell=32, gap=2, lead_gap=0).shape
    (70, 70, 3)
    """
    if not rows or not any(rows):
        raise ArgumentError("a contact sheet needs at least one picture")
    columns = max(len(row) for row in rows)
    lead = lead_gap if columns > 1 else 0
    height, width = (count * (cell + gap) + gap for count in (len(rows), columns))
    sheet = np.full((height, width + lead, 3), _PAPER, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            small = thumbnail(picture, cell)
            top = gap + i * (cell + gap) + (cell - small.shape[0]) // 2
            left = gap + j * (cell + gap) + (lead if j else 0) + (cell - small.shape[1]) // 2
            sheet[top : top + small.shape[0], left : left + small.shape[1]] = small
    return sheet


def thumbnail(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Scale a picture to a longer side of `side` pixels, and return (h, w, 3) RGB on white."""
    image = Image.fromarray(picture)
    if image.mode in ("LA", "RGBA"):
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))


_MARKS: Final = {".mp4": mark_iso_media, ".gif": mark_gif, ".webp": mark_webp}


class VideoWriter:
    """A video that is written frame by frame; use `open_video` to create one.

    Attributes:
        num_frames: number of frames written so far.
    """

    def __init__(self, encoder: EncoderPlugin) -> None:
        self._encoder = encoder
        self._size = (0, 0)
        self.num_frames = 0

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Append a frame, (H, W, 3) uint8 RGB; all must have the size of the first."""
        if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
            raise ShapeError(f"a video frame must be (H, W, 3) uint8, got {frame.shape} {frame.dtype}")
        if not self.num_frames:
            self._size = (frame.shape[0], frame.shape[1])
        if frame.shape[:2] != self._size:
            raise ShapeError(f"frame {self.num_frames} is {frame.shape[:2]}, the first one was {self._size}")
        self._encoder.write_frame(frame)
        self.num_frames += 1

    def finish(self) -> None:
        """Write the frames that the encoder has buffered."""
        if not self.num_frames:
            raise ArgumentError("a video needs at least one frame")
        self._encoder.finish()


@contextmanager
def open_video(
    path: str | Path, fps: float, *, provenance: Provenance | None = None, sound: Sound | None = None
) -> Iterator[VideoWriter]:
    """Open a video for writing; the complete and marked file appears when the block ends without an error.

    Args:
        path: path with the suffix `.mp4` (H.264, or MPEG-4 where FFmpeg has no H.264; BT.709 in the limited range),
            `.gif` or `.webp`; odd sizes are padded to even ones except in GIF.
        fps: frames per second.
        provenance: content of the mark; None writes no mark.
        sound: sound of a clip, see `fomaug.media.clip_sound`, which is cut to the length of the frames. Only MP4 has
            sound. AAC, MP3, Opus and the like are copied; codecs that MP4 players lack are converted to AAC.

    Raises:
        ArgumentError: the suffix is unknown, or no frame was written.
        MediaError: the encoder does not support frames of this size, or the disk is full.
    """
    from fomaug.media.encoder_plugin import EncoderPlugin

    path = Path(path)
    kind = kind_of(path)
    with _explained(path), replacing(path) as temporary:
        # FFmpeg reads the written file again to move the header of an MP4 before its pictures, so the file is
        # unbuffered. The name is absolute, since the start of a relative one could be taken for a protocol.
        with (
            temporary.absolute().open("wb", buffering=0) as file,
            imopen(file, "w", EncoderPlugin, extension=path.suffix, kind=kind, fps=fps, sound=sound) as encoder,
        ):
            writer = VideoWriter(encoder)
            yield writer
            writer.finish()
        if provenance is not None:
            _MARKS[path.suffix.lower()](temporary, provenance.to_xmp())


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    import av

    try:
        yield
    except FomaugError:
        raise
    except (av.error.FFmpegError, OSError) as error:
        # PyAV raises an error of its own in place of that of the file, such as a full disk.
        cause = error.__context__ if isinstance(error, av.error.PyAVCallbackError) else None
        raise MediaError(f"{path} cannot be written ({reason_of(cause or error)})") from error
