"""PNG pictures that hypothesis makes up: chunks with right check sums, so that what is in them is looked at."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence

from hypothesis import strategies as st
from media_parsers import animation_files, mask_files, picture_files

Chunk = tuple[bytes, bytes]  # type and content

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_NUMBERS = st.sampled_from([0, 1, 2, 3, 4, 7, 8, 15, 16, 127, 255])
_TYPES = [b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf", b"iCCP", b"iTXt", b"tEXt", b"zTXt", b"gAMA", b"acTL"]


def split_png(content: bytes) -> list[Chunk]:
    """Take a PNG file apart."""
    chunks, start = [], len(_SIGNATURE)
    while start < len(content):
        (length,) = struct.unpack(">I", content[start : start + 4])
        chunks.append((content[start + 4 : start + 8], content[start + 8 : start + 8 + length]))
        start += length + 12
    return chunks


def join_png(chunks: Sequence[Chunk]) -> bytes:
    """Put a PNG file together, with right lengths and check sums."""
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return _SIGNATURE + b"".join(parts)


@st.composite
def _bytes_changed(draw: st.DrawFn, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(draw(st.integers(1, 3)) if content else 0):
        changed[draw(st.integers(0, len(changed) - 1))] = draw(_NUMBERS)
    return bytes(changed[: draw(st.integers(0, len(changed)))] if draw(st.integers(0, 4)) == 0 else changed)


@st.composite
def _png(draw: st.DrawFn, files: Sequence[bytes]) -> bytes:
    """A good file one chunk of which is changed, or another chunk put in."""
    chunks = split_png(draw(st.sampled_from(files)))
    index = draw(st.integers(0, len(chunks) - 1))
    kind, data = chunks[index]
    way = draw(st.sampled_from(["bytes", "bytes", "pixels", "other", "twice"]))
    if way == "pixels" and kind == b"IDAT":
        chunks[index] = kind, zlib.compress(draw(_bytes_changed(_unpacked(data))))
    elif way == "other":
        chunks.insert(index, (draw(st.sampled_from(_TYPES)), draw(st.binary(max_size=40))))
    elif way == "twice":
        chunks.insert(index, (kind, data))
    else:
        chunks[index] = kind, draw(_bytes_changed(data))
    return join_png(chunks)


def _unpacked(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data)


def _of(files: Callable[[], Sequence[bytes]]) -> Callable[[], st.SearchStrategy[bytes]]:
    return lambda: _png([content for content in files() if content.startswith(_SIGNATURE)])


STRATEGIES = {
    "picture": _of(picture_files),
    "folder of masks": _of(mask_files),
    "animation": _of(lambda: animation_files("others")),
}
