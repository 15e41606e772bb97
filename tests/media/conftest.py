"""Picture files written byte by byte: an oracle without code of the libraries that read them."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # Adam7
_PNG_COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}


class RawFiles:
    """Writer of files from arrays (H, W, C), uint8 or uint16."""

    @staticmethod
    def exif(orientation: int) -> bytes:
        """Make an EXIF block with only an orientation."""
        return b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 274, 3, 1, orientation) + bytes(4)

    @staticmethod
    def png_chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    @classmethod
    def png(
        cls,
        array: np.ndarray,
        *,
        orientation: int = 1,
        interlaced: bool = False,
        extra: bytes = b"",
        depth: int | None = None,
    ) -> bytes:
        """A PNG; `depth` below 8 packs several grey pixels of uint8 into a byte."""
        height, width, channels = array.shape
        big = array.astype(array.dtype.newbyteorder(">"))
        passes = _PASSES if interlaced else ((0, 0, 1, 1),)
        rows = b"".join(
            b"\0" + (row.tobytes() if depth is None else _packed(row, depth))
            for x, y, dx, dy in passes
            for row in big[y::dy, x::dx]
            if array[y::dy, x::dx].size
        )
        bits = depth or array.itemsize * 8
        head = struct.pack(">IIBBBBB", width, height, bits, _PNG_COLOURS[channels], 0, 0, interlaced)
        if orientation != 1:
            extra += cls.png_chunk(b"eXIf", cls.exif(orientation))
        parts = (cls.png_chunk(b"IHDR", head), extra, cls.png_chunk(b"IDAT", zlib.compress(rows)))
        return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + cls.png_chunk(b"IEND", b"")

    @staticmethod
    def tiff(
        array: np.ndarray,
        *,
        orientation: int = 1,
        photometric: int | None = None,
        extra: int | None = 2,
        tile: int | None = None,
        planar: bool = False,
        compression: int = 1,
        order: str = "<",
    ) -> bytes:
        """Make a TIFF of one strip, of tiles, or of a strip for each channel; `extra` describes the last channel."""
        height, width, channels = array.shape
        array = array.astype(array.dtype.newbyteorder(order))
        if tile:
            padded = np.pad(array, ((0, -height % tile), (0, -width % tile), (0, 0)))
            rows, columns = (size // tile for size in padded.shape[:2])
            cut = padded.reshape(rows, tile, columns, tile, channels).swapaxes(1, 2)
            blocks = [cut[row, column].tobytes() for row in range(rows) for column in range(columns)]
        else:
            blocks = [array[..., [c]].tobytes() for c in range(channels)] if planar else [array.tobytes()]
        if compression == 8:
            blocks = [zlib.compress(block) for block in blocks]
        starts = np.cumsum([8, *map(len, blocks)])
        body = b"".join(blocks) + bytes(int(starts[-1]) % 2)
        grey = channels < 3
        tags: dict[int, tuple[str, tuple[int, ...]]] = {
            256: ("I", (width,)),
            257: ("I", (height,)),
            258: ("H", (array.itemsize * 8,) * channels),
            259: ("H", (compression,)),
            262: ("H", ((1 if grey else 2) if photometric is None else photometric,)),
            274: ("H", (orientation,)),
            277: ("H", (channels,)),
            284: ("H", (2 if planar else 1,)),
            324 if tile else 273: ("I", tuple(int(start) for start in starts[:-1])),
            325 if tile else 279: ("I", tuple(map(len, blocks))),
        }
        tags |= {322: ("H", (tile,)), 323: ("H", (tile,))} if tile else {278: ("I", (height,))}
        if channels in (2, 4) and extra is not None:
            tags[338] = ("H", (extra,))
        return _tiff(tags, body, order)


def _packed(row: np.ndarray, depth: int) -> bytes:
    return np.packbits(np.unpackbits(row.reshape(-1, 1), axis=1)[:, 8 - depth :]).tobytes()


def _tiff(tags: dict[int, tuple[str, tuple[int, ...]]], body: bytes, order: str) -> bytes:
    """Put a directory behind the data, and values that are longer than four bytes behind the directory."""
    start = 8 + len(body)
    behind = start + 2 + 12 * len(tags) + 4
    entries, values = struct.pack(f"{order}H", len(tags)), b""
    for tag, (kind, numbers) in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}{kind}", *numbers)
        if len(packed) > 4:
            field = struct.pack(f"{order}I", behind + len(values))
            values += packed + bytes(len(packed) % 2)
        else:
            field = packed.ljust(4, b"\0")
        entries += struct.pack(f"{order}HHI", tag, {"H": 3, "I": 4}[kind], len(numbers)) + field
    magic = b"II*\0" if order == "<" else b"MM\0*"
    return magic + struct.pack(f"{order}I", start) + body + entries + bytes(4) + values


@pytest.fixture
def raw() -> type[RawFiles]:
    return RawFiles
