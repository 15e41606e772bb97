"""AVIF pictures that OpenCV wrote and Pillow reads, with every rotation and mirror of the container."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from fomaug.media import decode_picture
from fomaug.media.formats import PICTURE_FORMATS

pytestmark = [
    pytest.mark.skipif("AVIF" not in PICTURE_FORMATS, reason="this Pillow has no AVIF"),
    pytest.mark.skipif(not cv2.haveImageWriter("x.avif"), reason="this OpenCV writes no AVIF"),
]


def noise(channels: int) -> np.ndarray:
    return np.random.default_rng(channels).integers(0, 256, (19, 37, channels), dtype=np.uint8)


def encoded(array: np.ndarray) -> bytes:
    swap = cv2.COLOR_RGB2BGR if array.shape[2] == 3 else cv2.COLOR_RGBA2BGRA
    done, content = cv2.imencode(".avif", cv2.cvtColor(array, swap), [cv2.IMWRITE_AVIF_QUALITY, 100])
    assert done
    return content.tobytes()


def whole(content: bytes) -> np.ndarray:
    picture = decode_picture(content, ".avif")
    assert picture.encode_format == "png"
    return picture.pixels if picture.alpha is None else np.concatenate([picture.pixels, picture.alpha], axis=2)


def boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Split boxes of ISO media into their kinds and contents."""
    while content:
        size = int.from_bytes(content[:4], "big")
        assert 8 <= size <= len(content)
        yield content[4:8], content[8:size]
        content = content[size:]


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


def with_properties(content: bytes, added: list[bytes]) -> bytes:
    """Add properties to all pictures of a file: the visible one, and its alpha channel."""
    parts = dict(boxes(content))
    assert list(parts)[-1] == b"mdat"
    meta = parts[b"meta"]
    changed = _meta(meta, added, 0)
    changed = _meta(meta, added, len(changed) - len(meta))  # The pixels move by the length of the properties.
    return b"".join(box(kind, changed if kind == b"meta" else part) for kind, part in parts.items())


def _meta(meta: bytes, added: list[bytes], shift: int) -> bytes:
    parts = dict(boxes(meta[4:]))  # The first four bytes are a version and flags.
    properties = dict(parts)[b"iprp"]
    inner = dict(boxes(properties))
    count = len(list(boxes(inner[b"ipco"])))
    inner[b"ipco"] += b"".join(added)
    inner[b"ipma"] = _associations(inner[b"ipma"], range(count + 1, count + 1 + len(added)))
    parts[b"iprp"] = b"".join(box(kind, part) for kind, part in inner.items())
    parts[b"iloc"] = _moved(parts[b"iloc"], shift)
    return meta[:4] + b"".join(box(kind, part) for kind, part in parts.items())


def _associations(ipma: bytes, numbers: range) -> bytes:
    """Associate essential properties with every item; version 0, and one byte for each property."""
    assert ipma[:4] == bytes(4)
    count, position = int.from_bytes(ipma[4:8], "big"), 8
    items = b""
    for _ in range(count):
        length = ipma[position + 2]
        own = ipma[position + 3 : position + 3 + length]
        own += bytes(0x80 | number for number in numbers)
        items += ipma[position : position + 2] + bytes([len(own)]) + own
        position += 3 + length
    assert position == len(ipma)
    return ipma[:8] + items


def _moved(iloc: bytes, shift: int) -> bytes:
    """Move the extents of all items; version 0, offsets and lengths of four bytes, no base."""
    assert (iloc[0], iloc[4], iloc[5] >> 4) == (0, 0x44, 0)
    changed, position = bytearray(iloc), 8
    for _ in range(int.from_bytes(iloc[6:8], "big")):
        extents, position = int.from_bytes(iloc[position + 4 : position + 6], "big"), position + 6
        for _ in range(extents):
            offset = int.from_bytes(iloc[position : position + 4], "big")
            changed[position : position + 4] = (offset + shift).to_bytes(4, "big")
            position += 8
    assert position == len(iloc)
    return bytes(changed)


@pytest.mark.parametrize("channels", [3, 4])
def test_an_upright_picture(channels: int) -> None:
    array = noise(channels)
    np.testing.assert_array_equal(whole(encoded(array)), array)


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
@pytest.mark.parametrize("mirror", ["none", "top and bottom", "left and right"])
def test_every_turn_and_mirror_of_the_container(channels: int, quarters: int, mirror: str) -> None:
    array = noise(channels)
    added = [box(b"irot", bytes([quarters]))] if quarters else []  # counterclockwise, before the mirror
    expected = np.rot90(array, quarters)
    if mirror == "top and bottom":
        added, expected = [*added, box(b"imir", b"\0")], expected[::-1]
    if mirror == "left and right":
        added, expected = [*added, box(b"imir", b"\1")], expected[:, ::-1]
    np.testing.assert_array_equal(whole(with_properties(encoded(array), added)), expected)
