"""Pictures: of every kind that is read, and what is none or should not be read."""

from __future__ import annotations

import os
import random
import socket
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from item import Item, bad, good
from media_parsers import encoded, smooth
from PIL import Image

SUFFIXES = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "TIFF": "tif", "BMP": "bmp"}
_NAMES = (
    *("with space.png", "täglich.png", "日本.png", "UPPER.PNG", "-dash.png", "a" * 200 + ".png", "two\nlines.png"),
    *(
        "$(touch ran).png",
        "`touch ran`.png",
        "; touch ran.png",
        "%s%n.png",
        "'quote\".png",
        "a.b.c.png",
        "\u202egnp.png",
    ),
    *("CON.png", "a\\b.png", "<b>.png", "{0}.png", os.fsdecode(b"caf\xe9.png")),
)


def pictures(seed: int) -> list[Item]:
    """Make all pictures of the corpus."""
    rng = random.Random(seed)
    return [*_modes(), *_turned(), *_names(), *_cut(), *_junk(rng), *_other_kinds(), *_sizes(), *_no_files()]


def _image(height: int = 40, width: int = 48, channels: int = 3) -> Image.Image:
    return Image.fromarray(smooth(height, width, channels))


def _png() -> bytes:
    return encoded(_image(), "PNG")


def _modes() -> list[Item]:
    modes = {
        "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
        "JPEG": ("L", "RGB", "CMYK"),
        "WEBP": ("RGB", "RGBA"),
        "TIFF": ("1", "L", "P", "RGB", "RGBA", "CMYK", "I;16"),
        "BMP": ("1", "L", "P", "RGB"),
    }
    return [
        good(f"mode/{mode.replace(';', '')}.{SUFFIXES[form]}", encoded(_in_mode(mode), form))
        for form, wanted in modes.items()
        for mode in wanted
    ]


def _in_mode(mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(smooth(40, 48, 1, dtype=np.uint16))
    return _image().convert(mode)


def _turned() -> list[Item]:
    items = []
    for orientation in range(10):  # 0 and 9 are none, and count as upright
        exif = Image.Exif()
        exif[0x0112] = orientation
        items.append(good(f"turned/{orientation}.jpg", encoded(_image(), "JPEG", exif=exif)))
    return items


def _names() -> list[Item]:
    return [good(f"names/{name}", _png()) for name in _NAMES] + [
        good("other suffix/webp.jpg", encoded(_image(), "WEBP")),
        good("other suffix/gif.png", encoded(_image(), "GIF")),
        good("other suffix/mpo.jpg", encoded(_image(), "MPO")),
        good("other suffix/ppm.png", encoded(_image(), "PPM")),
        good("progressive.jpg", encoded(_image(), "JPEG", progressive=True)),
    ]


def _cut() -> list[Item]:
    items = []
    for form, suffix in SUFFIXES.items():
        content = encoded(_image(), form)
        items += [bad(f"cut/{share}.{suffix}", content[: len(content) * share // 100]) for share in (1, 5, 20, 40, 60)]
    return items


def _junk(rng: random.Random) -> list[Item]:
    items = []
    for suffix in SUFFIXES.values():
        kinds = {
            "empty": b"",
            "zeros": bytes(500),
            "random": rng.randbytes(500),
            "text": b"not a picture\n" * 20,
            "page": b"<!DOCTYPE html><title>404</title>",
            "signature": {"png": b"\x89PNG\r\n\x1a\n", "jpg": b"\xff\xd8\xff\xe0"}.get(suffix, b"RIFFxxxxWEBP")
            + bytes(40),
        }
        items += [bad(f"junk/{name}.{suffix}", content) for name, content in kinds.items()]
    return items


def _other_kinds() -> list[Item]:
    kinds = {
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n",
        "pdf": b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\n%%EOF\n",
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
        "mvg": b"push graphic-context\nimage over 0,0 0,0 'https://example.invalid/x'\npop graphic-context\n",
        "script": b"#!/bin/sh\ntouch ran\n",
        "zip": b"PK\x03\x04" + bytes(60),
        "program": b"\x7fELF\x02\x01\x01" + bytes(60),
        "pickle": b"\x80\x02cos\nsystem\nX\x09\x00\x00\x00touch ran\x85R.",
        "photoshop": b"8BPS\x00\x01" + bytes(60),
        "video": b"\0\0\0\x18ftypisom\0\0\0\0" + bytes(60),
    }
    items = [bad(f"kind/{name}.{suffix}", content) for name, content in kinds.items() for suffix in ("jpg", "png")]
    return items + [bad(f"kind/{form.lower()}.png", encoded(_image(), form)) for form in ("PCX", "TGA", "ICO")]


def _claimed(width: int, height: int) -> bytes:
    """A PNG that says it is of a size, and holds next to nothing."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b""))
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _sizes() -> list[Item]:
    claims = [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (0, 40), (40, 0), (30_000, 30_000), (1900, 2000)]
    items = [bad(f"size/claimed {width} {height}.png", _claimed(width, height)) for width, height in claims]
    gif = bytearray(encoded(_image(), "GIF"))
    gif[6:10] = struct.pack("<HH", 65_535, 65_535)
    bmp = bytearray(encoded(_image(), "BMP"))
    bmp[18:26] = struct.pack("<ii", 100_000, 100_000)
    items += [bad("size/gif.png", bytes(gif)), bad("size/bmp.bmp", bytes(bmp))]
    small = [(1, 1), (15, 40), (40, 15), (2001, 2000), (60_000, 80)]
    items += [bad(f"size/{height} {width}.png", encoded(_flat(height, width), "PNG")) for height, width in small]
    wide = Image.fromarray(smooth(40, 48, 1).astype(np.int32))
    items += [bad("size/32 bits.tif", encoded(wide, "TIFF")), bad("size/float.tif", encoded(wide.convert("F"), "TIFF"))]
    fitting = [(16, 16), (16, 20_000), (20_000, 16), (1999, 2000)]
    return items + [
        good(f"size/{height} {width}.png", encoded(_flat(height, width), "PNG")) for height, width in fitting
    ]


def _flat(height: int, width: int) -> Image.Image:
    return Image.new("RGB", (width, height), (90, 120, 150))


def _no_files() -> list[Item]:
    def sparse(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(20 << 30)

    def make_socket(path: Path) -> None:
        with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as made:
            made.bind(f"{folder}/s")  # the name of a socket may have a hundred bytes
            os.rename(f"{folder}/s", path)  # noqa: PTH104

    def copied(path: Path) -> None:
        path.with_suffix(".kept").write_bytes(_png())
        path.symlink_to(path.with_suffix(".kept"))

    makers: dict[str, Any] = {
        "pipe": os.mkfifo,
        "socket": make_socket,
        "device": lambda path: path.symlink_to("/dev/zero"),
        "sparse": sparse,
        "nowhere": lambda path: path.symlink_to("nowhere"),
        "loop": lambda path: path.symlink_to(path.name),
        "text": lambda path: path.symlink_to("/etc/hostname"),
    }
    return [bad(f"no file/{name}.png", make) for name, make in makers.items()] + [good("no file/link.png", copied)]
