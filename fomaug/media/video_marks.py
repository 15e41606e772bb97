"""The XMP packet in video files: put in after the encoder has finished, found again without decoding anything."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO, Final

_BOX_ID: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")  # the box that XMP has in ISO media files
_GIF_HEAD: Final = b"\x21\xff\x0bXMP DataXMP"
_GIF_TAIL: Final = b"\x01" + bytes(range(255, -1, -1)) + b"\0"  # leads readers that skip by length bytes out again
_PACKET_LIMIT: Final = 1 << 20


def mark_iso_media(path: Path, xmp: bytes) -> None:
    """Append the packet to an MP4 or MOV file as a box of its own."""
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", 24 + len(xmp), b"uuid") + _BOX_ID + xmp)


def find_in_iso_media(file: BinaryIO) -> bytes:
    """Walk over the outermost boxes, reading nothing but their heads; empty if there is no packet."""
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        read = 8
        if size == 1:
            size, read = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))[0], 16
        if kind == b"uuid" and file.read(16) == _BOX_ID:
            return file.read(min(size - read - 16, _PACKET_LIMIT + 1)) if size else file.read(_PACKET_LIMIT + 1)
        read += 16 if kind == b"uuid" else 0
        if size < read:  # 0: to the end of the file; less than its own head: damaged
            break
        file.seek(size - read, 1)
    return b""


def mark_gif(path: Path, xmp: bytes) -> None:
    """Put the packet before the last byte of a GIF file."""
    with path.open("r+b") as file:
        file.seek(-1, 2)
        trailer = file.read(1)
        assert trailer == b"\x3b"
        file.seek(-1, 2)
        file.write(_GIF_HEAD + xmp + _GIF_TAIL + trailer)


def find_in_gif(file: BinaryIO) -> bytes:
    """Find the packet near the end of a GIF file; empty if there is none."""
    file.seek(0, 2)
    file.seek(max(0, file.tell() - _PACKET_LIMIT))
    before, found, after = file.read().rpartition(_GIF_HEAD)
    del before
    return after.partition(_GIF_TAIL)[0] if found else b""


def mark_webp(path: Path, xmp: bytes) -> None:
    """Append the packet as a chunk of an animated WebP file and announce it in the head."""
    with path.open("r+b") as file:
        head = file.read(21)
        assert head[12:16] == b"VP8X", "an animation always has the extended head"
        file.seek(0, 2)
        file.write(b"XMP " + struct.pack("<I", len(xmp)) + xmp + b"\0" * (len(xmp) % 2))
        size = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", size))
        file.seek(20)
        file.write(bytes([head[20] | 0x04]))
