"""PNG and TIFF files with 16 bits a channel, which Pillow writes for grey pictures only."""

from __future__ import annotations

import struct
import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

_PNG_COLOUR: Final = {1: 0, 2: 4, 3: 2, 4: 6}  # channels to PNG's colour type
_SHORT, _LONG, _BYTE, _UNDEFINED = 3, 4, 1, 7  # field types of TIFF


def encode_png16(array: NDArray[np.uint16], xmp: bytes | None, icc_profile: bytes | None) -> bytes:
    """Make a PNG file of (H, W) or (H, W, C) uint16."""
    height, width, channels = np.atleast_3d(array).shape
    rows = array.astype(">u2").reshape(height, -1).view(np.uint8)
    # Filter 2 of PNG: each row as its difference from the row above.
    up = rows - np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    lines = np.hstack([np.full((height, 1), 2, np.uint8), up])
    parts = [
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, _PNG_COLOUR[channels], 0, 0, 0)),
    ]
    if icc_profile:
        parts.append(_chunk(b"iCCP", b"profile\0\0" + zlib.compress(icc_profile)))
    if xmp is not None:
        parts.append(_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
    return b"".join([*parts, _chunk(b"IDAT", zlib.compress(lines.tobytes(), 6)), _chunk(b"IEND", b"")])


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def encode_tiff16(array: NDArray[np.uint16], xmp: bytes | None, icc_profile: bytes | None) -> bytes:
    """Make a TIFF file of (H, W) or (H, W, C) uint16: one strip, deflated; grey with alpha becomes RGBA."""
    if array.ndim == 3 and array.shape[2] == 2:
        array = array[..., [0, 0, 0, 1]]  # hardly any reader knows grey with alpha in 16 bits
    height, width, channels = np.atleast_3d(array).shape
    strip = zlib.compress(array.astype("<u2").tobytes(), 6)
    fields: dict[int, tuple[int, int, bytes]] = {
        256: _numbers(_LONG, width),
        257: _numbers(_LONG, height),
        258: _numbers(_SHORT, *[16] * channels),
        259: _numbers(_SHORT, 8),  # compression: Adobe deflate
        262: _numbers(_SHORT, 2 if channels > 2 else 1),  # RGB, or grey with 0 black
        273: _numbers(_LONG, 8),  # the strip follows the head
        277: _numbers(_SHORT, channels),
        278: _numbers(_LONG, height),
        279: _numbers(_LONG, len(strip)),
    }
    if channels == 4:
        fields[338] = _numbers(_SHORT, 2)  # the extra channel is alpha, not multiplied in
    if xmp is not None:
        fields[700] = (_BYTE, len(xmp), xmp)
    if icc_profile:
        fields[34675] = (_UNDEFINED, len(icc_profile), icc_profile)
    body = strip + b"\0" * (len(strip) % 2)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + _directory(fields, 8 + len(body))


def _numbers(kind: int, *values: int) -> tuple[int, int, bytes]:
    return kind, len(values), struct.pack(f"<{len(values)}{'H' if kind == _SHORT else 'I'}", *values)


def _directory(fields: dict[int, tuple[int, int, bytes]], start: int) -> bytes:
    """Lay out a directory that begins at byte `start`; values over four bytes stand behind it."""
    behind = start + 2 + 12 * len(fields) + 4
    entries, values = struct.pack("<H", len(fields)), b""
    for tag, (kind, count, value) in sorted(fields.items()):
        place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", behind + len(values))
        entries += struct.pack("<HHI", tag, kind, count) + place
        values += value + b"\0" * (len(value) % 2) if len(value) > 4 else b""
    return entries + struct.pack("<I", 0) + values
