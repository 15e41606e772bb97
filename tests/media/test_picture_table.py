"""Every format, depth, orientation and alpha, written by another library than the one that reads."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from importlib.util import find_spec

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from fomaug.errors import MediaError
from fomaug.media import DamagedClipWarning, decode_picture, read_clip, read_frame

UPRIGHT: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: np.rot90(a, 2),
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}
"""What a stored picture looks like, by its orientation tag."""

LAYOUTS = {
    "png": {},
    "png-interlaced": {"interlaced": True},
    "tiff": {},
    "tiff-tiled": {"tile": 16},
    "tiff-planar": {"planar": True},
    "tiff-deflate": {"compression": 8},
    "tiff-big-endian": {"order": ">"},
}


def noise(channels: int, dtype: type = np.uint16, size: tuple[int, int] = (19, 37)) -> np.ndarray:
    rng = np.random.default_rng(channels)
    return rng.integers(0, np.iinfo(dtype).max + 1, (*size, channels), dtype=dtype)


def whole(content: bytes, suffix: str) -> np.ndarray:
    picture = decode_picture(content, suffix)
    return picture.pixels if picture.alpha is None else np.concatenate([picture.pixels, picture.alpha], axis=2)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_png_and_tiff(layout: str, dtype: type, channels: int, orientation: int, raw) -> None:
    array, options, suffix = noise(channels, dtype), LAYOUTS[layout], layout.partition("-")[0]
    content = getattr(raw, suffix)(array, orientation=orientation, **options)
    np.testing.assert_array_equal(whole(content, f".{suffix}"), UPRIGHT[orientation](array))


@pytest.mark.parametrize("size", [(112, 112), (178, 218), (256, 256), (17, 16)])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_interlaced_sixteen_bits_of_any_size(size: tuple[int, int], channels: int, raw) -> None:
    array = noise(channels, np.uint16, size)
    np.testing.assert_array_equal(whole(raw.png(array, interlaced=True), ".png"), array)


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("channels", [3, 4])
def test_webp(channels: int, orientation: int, raw) -> None:
    array = noise(channels, np.uint8)
    array[..., 3:] |= 1  # colours of fully transparent pixels are not kept
    encoded = cv2.imencode(".webp", array[..., [2, 1, 0, 3][:channels]], [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    content = with_webp_exif(encoded, array.shape, raw.exif(orientation))
    np.testing.assert_array_equal(whole(content, ".webp"), UPRIGHT[orientation](array))


def with_webp_exif(content: bytes, shape: tuple[int, ...], exif: bytes) -> bytes:
    """Insert the extended header before the chunk of pixels, and EXIF after it."""
    start = content.index(b"VP8L")
    size = struct.unpack("<I", content[start + 4 : start + 8])[0]
    pixels = content[start : start + 8 + size + size % 2]
    flags = 0x08 | (0x10 if shape[2] == 4 else 0)
    head = bytes([flags, 0, 0, 0]) + (shape[1] - 1).to_bytes(3, "little") + (shape[0] - 1).to_bytes(3, "little")
    body = b"WEBPVP8X" + struct.pack("<I", 10) + head + pixels + b"EXIF" + struct.pack("<I", len(exif)) + exif
    return b"RIFF" + struct.pack("<I", len(body)) + body


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_plain_grey_maps(dtype: type) -> None:
    array, most = noise(1, dtype), np.iinfo(dtype).max
    head = f"P5 {array.shape[1]} {array.shape[0]} {most}\n".encode()
    picture = decode_picture(head + array.astype(array.dtype.newbyteorder(">")).tobytes(), ".pgm")
    assert (picture.pixels.dtype, picture.encode_format) == (dtype, "png")
    assert np.array_equal(picture.pixels, array)


def test_plain_colour_maps() -> None:
    array = noise(3, np.uint8)
    head = f"P6 {array.shape[1]} {array.shape[0]} 255\n".encode()
    for suffix in (".ppm", ".pnm"):
        assert np.array_equal(whole(head + array.tobytes(), suffix), array)


@pytest.mark.parametrize("white", [65535, 1023])
def test_colour_maps_of_sixteen_bits(white: int) -> None:
    array = np.minimum(noise(3), white)
    shares = array.astype(float) / white
    head = f"%s {array.shape[1]} {array.shape[0]} {white}\n"
    plain = (head % "P3" + " ".join(map(str, array.flat)) + "\n").encode()
    for content in ((head % "P6").encode() + array.astype(">u2").tobytes(), plain):
        picture = decode_picture(content, ".ppm")
        np.testing.assert_array_equal(picture.pixels, np.round(shares * 65535).astype(np.uint16))
        np.testing.assert_array_equal(read_frame(content), np.round(shares * 255).astype(np.uint8))
    with pytest.raises(MediaError, match="its data is damaged or ends too early"):
        decode_picture((head % "P6").encode() + bytes(30), ".ppm")


def test_maps_of_floats_are_refused() -> None:
    with pytest.raises(MediaError, match="32 bits per channel"):
        decode_picture(b"Pf 20 20 -1.0\n" + np.zeros((20, 20), "<f4").tobytes(), ".pnm")


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("suffix", [".jpg", ".jfif", ".jpe", ".png"])
def test_jpeg_of_any_suffix(suffix: str, orientation: int, raw) -> None:
    array = np.kron(noise(3, np.uint8, (4, 5)), np.ones((8, 8, 1), np.uint8))
    encoded = cv2.imencode(".jpg", array[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    seen = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    block = b"Exif\0\0" + raw.exif(orientation)
    content = encoded[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + encoded[2:]
    picture = decode_picture(content, suffix)
    assert np.abs(picture.pixels.astype(int) - UPRIGHT[orientation](seen)).max() <= 1
    assert picture.encode_format == ("png" if suffix == ".png" else "jpeg")


@pytest.mark.parametrize("channels", [1, 3])
def test_bmp(channels: int) -> None:
    array = noise(channels, np.uint8)
    content = cv2.imencode(".bmp", array[..., ::-1])[1].tobytes()
    np.testing.assert_array_equal(whole(content, ".bmp"), array)


def test_the_first_frame_of_a_gif_is_a_picture_and_is_written_as_png() -> None:
    buffer = io.BytesIO()
    first, second = (Image.fromarray(np.full((20, 30, 3), value, np.uint8)) for value in (40, 200))
    first.save(buffer, "GIF", save_all=True, append_images=[second])
    picture = decode_picture(buffer.getvalue(), ".gif")
    assert (picture.pixels == 40).all()
    assert picture.encode_format == "png"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_is_zero_in_some_tiffs(dtype: type, raw) -> None:
    array = noise(1, dtype)
    top = np.iinfo(dtype).max
    np.testing.assert_array_equal(whole(raw.tiff(array, photometric=0), ".tif"), top - array)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_premultiplied_alpha_becomes_straight(dtype: type, raw) -> None:
    top = np.iinfo(dtype).max
    straight = noise(4, dtype)
    straight[..., 3] = np.maximum(straight[..., 3], top // 2)
    stored = straight.copy()
    stored[..., :3] = np.round(straight[..., :3] * (straight[..., 3:] / top))
    found = whole(raw.tiff(stored, extra=1), ".tif").astype(int)
    assert np.abs(found - straight).max() <= 2
    np.testing.assert_array_equal(found[..., 3], straight[..., 3])


def test_extra_channels_that_are_no_alpha_are_left_out(raw) -> None:
    array = noise(4)
    np.testing.assert_array_equal(whole(raw.tiff(array, extra=0), ".tif"), array[..., :3])
    np.testing.assert_array_equal(
        whole(raw.tiff(array, extra=None), ".tif"), array
    )  # most writers that omit it mean alpha


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("compression", [5, 32773])
def test_sixteen_bits_of_common_compressions(compression: int, orientation: int) -> None:
    array = noise(3)
    content = cv2.imencode(".tif", array[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, compression])[1].tobytes()
    content = with_orientation(content, orientation)
    np.testing.assert_array_equal(whole(content, ".tif"), UPRIGHT[orientation](array))


@pytest.mark.parametrize("compression", [1, 5, 8])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_page_of_a_tiff_is_a_frame(dtype: type, compression: int) -> None:
    pages = [np.roll(noise(3, dtype, (24, 36)), shift, axis=1) for shift in range(3)]
    bgr, options = [page[..., ::-1] for page in pages], [cv2.IMWRITE_TIFF_COMPRESSION, compression]
    content = cv2.imencodemulti(".tif", bgr, options)[1].tobytes()
    frames = list(read_clip(content))
    expected = pages if dtype == np.uint8 else [np.round(page / 257).astype(np.uint8) for page in pages]
    np.testing.assert_array_equal(frames, expected)
    assert len(list(read_clip(content, max_frames=2))) == 2
    np.testing.assert_array_equal(whole(content, ".tif"), pages[0])


def test_a_page_of_another_kind_than_the_first_is_reported() -> None:
    pages = [noise(3, np.uint16), noise(3, np.uint16), noise(3, np.uint16).astype(np.float32)]
    content = cv2.imencodemulti(".tif", pages, [cv2.IMWRITE_TIFF_COMPRESSION, 1])[1].tobytes()
    with pytest.warns(DamagedClipWarning, match=r"damaged after 2 frames \(page 3 is of another kind than the first\)"):
        assert len(list(read_clip(content))) == 2


def with_orientation(content: bytes, orientation: int) -> bytes:
    """Replace the tag of the planar configuration, which has its default value, by an orientation."""
    offset = content.index(struct.pack("<HHIH", 284, 3, 1, 1))
    assert (offset - struct.unpack("<I", content[4:8])[0] - 2) % 12 == 0, "an entry of the directory"
    return content[:offset] + struct.pack("<HHIH", 274, 3, 1, orientation) + content[offset + 10 :]


@pytest.mark.parametrize(
    ("dtype", "channels", "reason"),
    [
        ("float32", 3, r"it is a TIFF file of 3 channels of 32 bits \(float32\), which is not read; convert it"),
        ("float16", 1, r"it is a TIFF file of 1 channels of 16 bits \(float16\), which is not read"),
        ("float32", 1, "has 32 bits per channel"),
        ("int16", 1, "or signed numbers"),
    ],
)
def test_an_unread_layout_of_a_tiff_is_named(dtype: str, channels: int, reason: str) -> None:
    buffer = io.BytesIO()
    array = noise(channels, np.uint8).astype(dtype).squeeze()
    tifffile.imwrite(buffer, array, photometric="rgb" if channels == 3 else "minisblack")
    with pytest.raises(MediaError, match=reason):
        decode_picture(buffer.getvalue(), ".tif")


def test_data_that_grows_beyond_its_picture_is_refused(raw, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zlib.compress(bytes(1 << 24))
    monkeypatch.setattr(zlib, "compress", lambda *_: bomb)
    content = raw.tiff(noise(3), compression=8)
    with pytest.raises(MediaError, match="holds more data than pixels"):
        decode_picture(content, ".tif")


@pytest.mark.skipif(find_spec("imagecodecs") is not None, reason="imagecodecs is installed")
def test_a_compression_that_needs_another_package_is_named(raw) -> None:
    content = raw.tiff(noise(3), compression=50000)
    with pytest.raises(MediaError, match=r"its compression ZSTD needs the package imagecodecs; run: pip install"):
        decode_picture(content, ".tif")


def test_big_tiff_of_sixteen_bits() -> None:
    array = noise(3)
    entries = [
        (256, 3, 1, 37),
        (257, 3, 1, 19),
        (258, 3, 3, int.from_bytes(struct.pack("<3H", 16, 16, 16), "little")),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 16, 1, 16),
        (277, 3, 1, 3),
        (278, 3, 1, 19),
        (279, 16, 1, array.nbytes),
    ]
    directory = struct.pack("<Q", len(entries)) + b"".join(struct.pack("<HHQQ", *entry) for entry in entries) + bytes(8)
    content = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16 + array.nbytes) + array.astype("<u2").tobytes() + directory
    np.testing.assert_array_equal(whole(content, ".tif"), array)


def test_a_transparent_colour_of_sixteen_bits_is_alpha(raw) -> None:
    grey = noise(1)
    grey[:5] = 300
    found = whole(raw.png(grey, extra=raw.png_chunk(b"tRNS", struct.pack(">H", 300))), ".png")
    np.testing.assert_array_equal(found[..., 0], grey[..., 0])
    np.testing.assert_array_equal(found[..., 1] == 0, grey[..., 0] == 300)
    colours = noise(3)
    colours[:5] = (1, 300, 70)
    found = whole(raw.png(colours, extra=raw.png_chunk(b"tRNS", struct.pack(">3H", 1, 300, 70))), ".png")
    np.testing.assert_array_equal(found[..., 3] == 0, (colours == (1, 300, 70)).all(axis=2))


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_a_transparent_grey_of_few_bits_is_alpha(depth: int, *, interlaced: bool, raw) -> None:
    levels = np.random.default_rng(depth).integers(0, 2**depth, (24, 40, 1), np.uint8)
    transparent = raw.png_chunk(b"tRNS", struct.pack(">H", 1))
    found = whole(raw.png(levels, depth=depth, interlaced=interlaced, extra=transparent), ".png")
    np.testing.assert_array_equal(found[..., :1], levels * (255 // (2**depth - 1)))
    np.testing.assert_array_equal(found[..., 1:], np.where(levels == 1, 0, 255))


@pytest.mark.parametrize(
    "exif",
    [
        b"junk",
        b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHI4s", 274, 2, 4, b"up\0\0") + bytes(4),
        b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 274, 5, 1, 26) + bytes(4) + struct.pack("<II", 6, 0),
        b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 274, 3, 1, 99) + bytes(4),
        b"II*\0\xff\xff\xff\x7f",
    ],
    ids=["junk", "text", "n/0", "99", "nowhere"],
)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_broken_exif_leaves_the_picture_as_it_is(exif: bytes, dtype: type, raw) -> None:
    array = noise(3, dtype)
    content = raw.png(array, extra=raw.png_chunk(b"eXIf", exif))
    np.testing.assert_array_equal(whole(content, ".png"), array)


def test_an_animated_png_of_sixteen_bits_has_all_its_frames(raw) -> None:
    frames = [np.full((20, 30, 3), value * 257, np.uint16) for value in (40, 200)]
    controls = [
        raw.png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, 30, 20, 0, 0, 1, 25, 0, 0)) for number in (0, 1)
    ]
    start = raw.png(frames[0], extra=raw.png_chunk(b"acTL", struct.pack(">II", 2, 0)) + controls[0])[:-12]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in frames[1])
    second = raw.png_chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress(rows))
    content = start + controls[1] + second + raw.png_chunk(b"IEND", b"")
    assert [round(float(frame.mean())) for frame in read_clip(content)] == [40, 200]
    assert (decode_picture(content, ".png").pixels == 40 * 257).all()


def test_a_damaged_png_of_sixteen_bits_is_reported(raw) -> None:
    content = raw.png(noise(3))
    with pytest.raises(MediaError, match="cannot be read as a picture: its data is damaged or ends too early"):
        decode_picture(content[: len(content) // 2], ".png")


@pytest.mark.parametrize("layout", ["png", "tiff", "tiff-tiled"])
def test_a_frame_of_sixteen_bits_is_rounded_to_eight(layout: str, tmp_path, raw) -> None:
    array = noise(3)
    suffix = layout.partition("-")[0]
    (tmp_path / f"a.{suffix}").write_bytes(getattr(raw, suffix)(array, orientation=6, **LAYOUTS[layout]))
    expected = UPRIGHT[6](np.round(array / 257).astype(np.uint8))
    np.testing.assert_array_equal(read_frame(tmp_path / f"a.{suffix}"), expected)


def test_files_that_were_once_read_wrongly(shared) -> None:
    faults = shared / "faults"
    shown = np.zeros((60, 40, 3), np.uint8)
    shown[:20] = (255, 0, 0)
    for name in ("side.jpg", "side.tif"):
        pixels = decode_picture((faults / "tiff_orientation" / name).read_bytes(), name[-4:]).pixels
        assert pixels.shape == shown.shape
        assert np.abs(pixels.astype(int) - shown).mean() < 8
    rows, columns = np.mgrid[:128, :96]
    ramp = np.stack([columns * 600, rows * 500, columns * 0 + 30000], 2)
    for name in ("strip.tif", "tile.tif"):
        found = decode_picture((faults / "tiff16_tiled" / name).read_bytes(), ".tif").pixels
        np.testing.assert_array_equal(found, ramp.astype(np.uint16))
    for path in (faults / "broken_exif").iterdir():
        if path.suffix != ".py":
            assert decode_picture(path.read_bytes(), path.suffix).size == (120, 96)
