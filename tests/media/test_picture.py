from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from fomaug.errors import MediaError
from fomaug.media import decode_picture, encode_image, read_picture, upright_size
from fomaug.media.frames import turn_upright


def ramp(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.linspace(0, np.iinfo(dtype).max, int(np.prod(shape))).reshape(shape).astype(dtype)


def saved(image: Image.Image, encode_format: str = "png", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, encode_format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_those_of_pillow(orientation: int) -> None:
    image = Image.fromarray(ramp(20, 30, 3))
    exif = image.getexif()
    exif[0x0112] = orientation
    content = saved(image, exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))))
    np.testing.assert_array_equal(decode_picture(content, ".png").pixels, expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_the_header_tells_the_size_of_the_upright_picture(suffix: str, orientation: int, tmp_path: Path) -> None:
    image = Image.fromarray(ramp(20, 30, 3))
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path := tmp_path / f"a.{suffix}", exif=exif)
    assert upright_size(path) == (read_picture(path).size, orientation != 1)


def test_a_damaged_header_has_no_size(tmp_path: Path) -> None:
    (path := tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(MediaError, match="cannot be read as a picture"):
        upright_size(path)


def test_unknown_orientations_change_nothing() -> None:
    array = ramp(3, 4, 1)
    for orientation in (0, 1, 9, 77):
        assert turn_upright(array, orientation) is array


@pytest.mark.parametrize("encode_format", ["png", "tiff"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_depth_and_channels_are_kept(encode_format: str, dtype: type, channels: int) -> None:
    array = ramp(17, 19, channels, dtype=dtype)
    content = encode_image(array[..., 0] if channels == 1 else array, encode_format)
    picture = decode_picture(content, f".{encode_format}")
    whole = picture.pixels if picture.alpha is None else np.concatenate([picture.pixels, picture.alpha], 2)
    if (channels, dtype, encode_format) == (2, np.uint16, "tiff"):
        whole = whole[..., [0, 3]]  # written as RGBA
    assert whole.dtype == dtype
    np.testing.assert_array_equal(whole, array)
    assert picture.encode_format == encode_format


@pytest.mark.parametrize(
    ("image", "channels", "has_alpha"),
    [
        (Image.new("1", (20, 20), 1), 1, False),
        (Image.new("L", (20, 20), 9), 1, False),
        (Image.new("P", (20, 20), 9), 3, False),
        (Image.new("LA", (20, 20), (9, 8)), 1, True),
        (Image.new("RGBA", (20, 20), "red"), 3, True),
    ],
)
def test_every_mode_becomes_grey_or_rgb(image: Image.Image, channels: int, has_alpha: bool) -> None:
    picture = decode_picture(saved(image), ".png")
    assert picture.pixels.shape == (20, 20, channels)
    assert (picture.alpha is not None) is has_alpha


def test_a_palette_with_transparency_has_alpha() -> None:
    image = Image.new("RGBA", (20, 20), (0, 0, 0, 0)).quantize()
    picture = decode_picture(saved(image), ".png")
    assert picture.alpha is not None
    assert (picture.alpha == 0).all()


def test_cmyk_becomes_rgb_without_its_profile() -> None:
    image = Image.new("CMYK", (20, 20), (0, 255, 255, 0))
    picture = decode_picture(saved(image, "jpeg", quality=95, icc_profile=b"broken"), ".jpg")
    assert picture.pixels.shape == (20, 20, 3)
    assert picture.icc_profile is None
    red, green, _ = picture.pixels[10, 10].tolist()
    assert red > 200 and green < 60


def test_a_profile_of_rgb_is_kept() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert decode_picture(saved(Image.new("RGB", (20, 20)), icc_profile=profile), ".png").icc_profile == profile


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read as a picture"),
        (b"hello", "cannot be read as a picture"),
        (saved(Image.fromarray(ramp(64, 64, 3)))[:300], "cannot be read as a picture"),
        (saved(Image.fromarray(ramp(64, 64, 3)), "jpeg")[:400], "cannot be read as a picture"),
        (saved(Image.new("RGB", (15, 40))), "has 15 x 40 pixels; at least 16"),
        (saved(Image.new("RGB", (200, 200))), "more than max_pixels=10000"),
        (saved(Image.new("F", (20, 20)), "tiff"), "32 bits per channel"),
    ],
)
def test_unusable_pictures_are_errors_with_a_reason(content: bytes, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        decode_picture(content, ".png", max_pixels=10_000)


def test_a_picture_of_another_kind_than_its_suffix_is_read() -> None:
    assert decode_picture(saved(Image.new("RGB", (20, 20)), "gif"), ".png").size == (20, 20)


def test_a_missing_file_is_reported_as_missing(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="No such file"):
        read_picture(tmp_path / "a.png")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("suffix", ["jpeg", "png", "tiff", "webp", "bmp"])
def test_damaged_files_never_raise_anything_else(suffix: str, rng: np.random.Generator) -> None:
    content = encode_image(rng.integers(0, 255, (24, 24, 3), np.uint8), suffix)
    for _ in range(60):
        damaged = bytearray(content)
        for index in rng.integers(0, min(len(content), 400), 6):
            damaged[index] = int(rng.integers(0, 256))
        try:
            decode_picture(bytes(damaged[: int(rng.integers(1, len(content)))]), f".{suffix}", max_pixels=10_000)
        except MediaError:
            continue
