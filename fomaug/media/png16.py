"""PNG files with 16 bits per channel, which Pillow reduces to 8: OpenCV decodes and encodes them.

OpenCV writes no metadata and no grey with alpha, so a few bytes of the encoded file are changed for both.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import MediaError

_HEAD: Final = 33  # bytes of the signature and the chunk IHDR
_DEPTH, _COLOUR = 24, 25  # offsets of the bits per channel and of the colour type in IHDR
_GREY_ALPHA: Final = 4
_TOP: Final = 65535


def is_png16(content: bytes) -> bool:
    """Return whether a file is a PNG with 16 bits per channel."""
    return content[:8] == b"\x89PNG\r\n\x1a\n" and content[12:16] == b"IHDR" and content[_DEPTH : _DEPTH + 1] == b"\x10"


def decode_png16(content: bytes, transparent: Any = None) -> NDArray[np.uint16]:
    """Decode a PNG file with 16 bits per channel.

    Args:
        content: bytes of the file.
        transparent: grey value that counts as transparent, if the file names one.

    Returns:
        (H, W, 1 to 4) uint16: grey or RGB, with or without alpha.

    Raises:
        MediaError: the file is damaged.
    """
    import cv2

    try:
        found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as cause:
        raise MediaError(str(cause.err or cause)) from cause
    if found is None or found.dtype != np.uint16:
        raise MediaError("its data is damaged or ends too early")
    array: NDArray[np.uint16] = np.atleast_3d(found).astype(np.uint16, copy=False)
    if array.shape[2] >= 3:
        array = array[..., [2, 1, 0, 3][: array.shape[2]]]
    if content[_COLOUR] == _GREY_ALPHA:
        return array[..., [0, 3]]  # OpenCV repeats the grey
    if array.shape[2] == 1 and isinstance(transparent, int):
        return np.concatenate([array, np.where(array == transparent, 0, _TOP).astype(np.uint16)], axis=2)
    return array


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
