"""Pictures with 16 bits per channel, which Pillow reduces to 8: OpenCV for PNG and PPM, and tifffile for TIFF.

tifffile reads every layout (tiles, separate planes, BigTIFF) and the compressions deflate and LZMA; for others it
needs the package imagecodecs. Without it, OpenCV decodes the common ones. tifffile also decodes grey and alpha of 8
bits in separate planes, which Pillow does not support.
"""

from __future__ import annotations

import io
import lzma
import math
import struct
import zlib
from importlib.util import find_spec
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import MediaError, reason_of
from fomaug.media.frames import bytes_of, orientation_from
from fomaug.media.opening import DAMAGE

_HEAD: Final = 33  # bytes of the signature and the chunk IHDR
_DEPTH, _COLOUR = 24, 25  # offsets of the bits per channel and of the colour type in IHDR
_GREY_ALPHA: Final = 4


def is_png16(content: bytes) -> bool:
    """Return whether a file is a PNG with 16 bits per channel."""
    return content[:8] == b"\x89PNG\r\n\x1a\n" and content[12:16] == b"IHDR" and content[_DEPTH : _DEPTH + 1] == b"\x10"


def decode_png16(content: bytes, transparent: Any = None) -> NDArray[np.uint16]:
    """Decode a PNG file with 16 bits per channel.

    Args:
        content: bytes of the file.
        transparent: grey value that counts as transparent, if the file has one.

    Returns:
        (H, W, 1 to 4) uint16: grey or RGB, with or without alpha.

    Raises:
        MediaError: the file is damaged.
    """
    array = _decode16(content)
    if content[_COLOUR] == _GREY_ALPHA:
        return array[..., [0, 3]]  # OpenCV repeats the grey
    if array.shape[2] == 1 and isinstance(transparent, int):
        return np.concatenate([array, np.where(array == transparent, 0, _TOP).astype(np.uint16)], axis=2)
    return array


def decode_ppm16(content: bytes, white: int) -> NDArray[np.uint16]:
    """Decode a PPM file with 16 bits per channel, whose largest value is `white`; return (H, W, 3) uint16 RGB."""
    array = np.minimum(_decode16(content), white).astype(np.uint32)
    return ((array * _TOP + white // 2) // white).astype(np.uint16)


def _decode16(content: bytes) -> NDArray[np.uint16]:
    import cv2

    try:
        found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as cause:
        raise MediaError(str(cause.err or cause)) from cause
    if found is None or found.dtype != np.uint16:
        raise MediaError("its data is damaged or ends too early")
    array: NDArray[np.uint16] = np.atleast_3d(found).astype(np.uint16, copy=False)
    return array[..., [2, 1, 0, 3][: array.shape[2]]] if array.shape[2] >= 3 else array


def encode_png16(array: NDArray[np.uint16], xmp: bytes | None, icc_profile: bytes | None) -> bytes:
    """Encode (H, W) or (H, W, C) uint16, with 1 to 4 channels, as a PNG file."""
    import cv2

    channels = np.atleast_3d(array).shape[2]
    if channels == 2:
        # A pixel of grey and alpha in 16 bits has four bytes, as RGBA in 8 bits has. They differ only in the header.
        array = np.ascontiguousarray(array, ">u2").view(np.uint8)
    if channels > 1:
        array = array[..., [2, 1, 0, 3][: array.shape[2]]]
    done, content = cv2.imencode(".png", array, [cv2.IMWRITE_PNG_COMPRESSION, 6])
    assert done, "OpenCV encodes every array of these shapes"
    encoded = content.tobytes()
    head = encoded[16:29]
    if channels == 2:
        head = head[:8] + bytes([16, _GREY_ALPHA]) + head[10:]
    added = _chunk(b"iCCP", b"profile\0\0" + zlib.compress(icc_profile)) if icc_profile else b""
    if xmp is not None:
        added += _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    return encoded[:8] + _chunk(b"IHDR", head) + added + encoded[_HEAD:]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


_ORIENTATION, _XMP, _ICC = 274, 700, 34675
_BYTE, _UNDEFINED = 1, 7  # types of tags
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE = 0, 1, 2, 3
_UNKNOWN, _PREMULTIPLIED = 0, 1  # kinds of extra channels
_DECOMPRESSORS: Final[dict[int, Any]] = {
    8: zlib.decompressobj,
    32946: zlib.decompressobj,  # the older number of deflate
    34925: lzma.LZMADecompressor,
}
_TIFFFILE_DECODES: Final = (1, *_DECOMPRESSORS)  # without another package
_OPENCV_DECODES: Final = (1, 5, 8, 32773, 32946)  # none, LZW, deflate, PackBits, the older number of deflate
_MOST_CHANNELS: Final = 8
_TOP: Final = 65535


def is_tiff(start: bytes) -> bool:
    """Return whether a file is a TIFF or BigTIFF by its first bytes."""
    return start[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


class TiffPage:
    """A page of a TIFF file with 16 bits per channel, or with 8 in a layout that Pillow does not support.

    Attributes:
        size: size (W, H) as stored.
        orientation: orientation of EXIF, 1 to 8.
        icc_profile: ICC profile of the colours, if the file has one.
        xmp: XMP packet of the file, empty if it has none.
    """

    def __init__(self, file: BinaryIO, page: Any) -> None:
        self._file = file
        self._page = page
        self.size = (int(page.imagewidth), int(page.imagelength))
        self.orientation = orientation_from(_tag(page, _ORIENTATION))
        self.icc_profile = bytes_of(_tag(page, _ICC))
        self.xmp = bytes_of(_tag(page, _XMP)) or b""

    def decode(self) -> NDArray[Any]:
        """Decode the page.

        Returns:
            (H, W, 1 to 4) uint16 or uint8, as stored: grey with 0 black, or RGB, with or without straight alpha.

        Raises:
            MediaError: the page is damaged, or its compression needs imagecodecs.
        """
        samples, photometric = self._samples(), int(self._page.photometric)
        extra = self._page.extrasamples
        count = 3 if photometric == _RGB else 1
        colours = samples[..., :count]
        if photometric == _WHITE_IS_ZERO:
            colours = np.iinfo(colours.dtype).max - colours
        if photometric == _PALETTE:
            colours = np.moveaxis(np.asarray(self._page.colormap, np.uint16)[:, colours[..., 0]], 0, 2)
        if samples.shape[2] == count or (extra and extra[0] == _UNKNOWN):
            return np.ascontiguousarray(colours)
        alpha = samples[..., count : count + 1]
        if extra and extra[0] == _PREMULTIPLIED:
            colours = _straight(colours, alpha)
        return np.concatenate([colours, alpha], axis=2)

    def _samples(self) -> NDArray[Any]:
        """Return (H, W, channels) as stored."""
        try:
            self._check_inflation()
            found = self._page.asarray(squeeze=False)  # (planes, 1, H, W, channels of a plane)
        except (ImportError, *DAMAGE) as cause:
            if self._page.compression not in _TIFFFILE_DECODES and find_spec("imagecodecs") is None:
                return self._by_opencv(cause)
            raise MediaError(reason_of(cause)) from cause
        planes = np.moveaxis(np.asarray(found)[:, 0], 0, 2)  # (H, W, planes, channels of a plane)
        planes = planes.astype(planes.dtype.newbyteorder("="), copy=False)
        return planes.reshape(*planes.shape[:2], -1)

    def _check_inflation(self) -> None:
        """Raise an error for strips and tiles that inflate beyond their size; tifffile sets no limit."""
        new_decompressor = _DECOMPRESSORS.get(int(self._page.compression))
        if new_decompressor is None:
            return
        most = math.prod(self._page.chunks) * int(self._page.bitspersample) // 8
        for start, size in zip(self._page.dataoffsets, self._page.databytecounts, strict=True):
            self._file.seek(start)
            if len(new_decompressor().decompress(self._file.read(size), most + 1)) > most:
                raise MediaError("holds more data than pixels")

    def _by_opencv(self, cause: Exception) -> NDArray[np.uint16]:
        import cv2

        page, found = self._page, None
        if page.planarconfig == 1 and page.samplesperpixel in (1, 3, 4) and page.compression in _OPENCV_DECODES:
            content = np.frombuffer(self._upright_content(), np.uint8)
            only = (int(page.index), int(page.index) + 1)
            found = next(iter(cv2.imdecodemulti(content, cv2.IMREAD_UNCHANGED, range=only)[1]), None)
        shape = (self.size[1], self.size[0], page.samplesperpixel)
        if found is None or found.dtype != np.uint16 or np.atleast_3d(found).shape != shape:
            name = getattr(page.compression, "name", page.compression)
            raise MediaError(
                f"its compression {name} needs the package imagecodecs; "
                "run: pip install 'fomaug[tiff]', or save the picture with deflate"
            ) from cause
        order = [2, 1, 0, 3][: shape[2]] if shape[2] > 1 else [0]
        return np.atleast_3d(np.asarray(found, np.uint16))[..., order]

    def _upright_content(self) -> bytes:
        """Return the file with an orientation of 1, since OpenCV would apply another one."""
        self._file.seek(0)
        content, tag = self._file.read(), self._page.tags.get(_ORIENTATION)
        if tag is None:
            return content
        upright = (1).to_bytes(2, "little" if self._page.parent.byteorder == "<" else "big")
        return content[: tag.valueoffset] + upright + content[tag.valueoffset + 2 :]


class TiffPages:
    """The pages of a TIFF file.

    Args:
        file: open file.
        pages: pages of the library tifffile.
    """

    def __init__(self, file: BinaryIO, pages: Any) -> None:
        self._file = file
        self._pages = pages

    def __len__(self) -> int:
        return len(self._pages)

    def __getitem__(self, index: int) -> TiffPage:
        """Read the tags of a page.

        Raises:
            IndexError: there is no such page.
            MediaError: the page has another layout than those that `open_tiff_pages` supports.
        """
        page = self._pages[index]
        if not _is_supported(page):
            raise MediaError(f"page {index + 1} is of another kind than the first")
        return TiffPage(self._file, page)


def open_tiff_pages(file: BinaryIO) -> TiffPages | None:
    """Open a TIFF file; return None if its first page is left to Pillow, since its depth or layout is not supported."""
    import tifffile

    try:
        pages: Any = tifffile.TiffFile(file, name="picture.tif").pages  # named, since an open file may lack a name
        return TiffPages(file, pages) if _is_supported(pages[0]) else None
    except DAMAGE:  # Pillow reports the damage
        return None
    finally:
        file.seek(0)


def _is_supported(page: Any) -> bool:
    is_unknown_to_pillow = page.bitspersample == 8 and page.samplesperpixel == 2 and page.planarconfig == 2
    return bool(
        (page.bitspersample == 16 or is_unknown_to_pillow)
        and page.sampleformat == 1
        and page.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE)
        and page.imagedepth == 1
        and page.samplesperpixel <= _MOST_CHANNELS
    )


def encode_tiff16(array: NDArray[np.uint16], xmp: bytes | None, icc_profile: bytes | None) -> bytes:
    """Encode (H, W) or (H, W, C) uint16 as a deflated TIFF file; grey with alpha becomes RGBA."""
    import tifffile

    if array.ndim == 3 and array.shape[2] == 2:
        array = array[..., [0, 0, 0, 1]]  # few readers support grey with alpha in 16 bits
    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer,
        array,
        photometric="minisblack" if array.ndim == 2 else "rgb",
        extrasamples=["unassalpha"] if array.ndim == 3 and array.shape[2] == 4 else None,
        compression="zlib",
        metadata=None,
        software=False,
        iccprofile=icc_profile or None,
        extratags=[(_XMP, _BYTE, len(xmp), xmp, True)] if xmp is not None else [],
    )
    return buffer.getvalue()


def _straight(colours: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Divide premultiplied colours by their alpha; fully transparent pixels are kept."""
    share, top = alpha.astype(np.uint64), np.iinfo(colours.dtype).max
    divided = (colours.astype(np.uint64) * top + share // 2) // np.maximum(share, 1)
    return np.where(share > 0, np.minimum(divided, top), colours).astype(colours.dtype)


def _tag(page: Any, code: int) -> Any:
    tag = page.tags.get(code)
    return None if tag is None else tag.value
