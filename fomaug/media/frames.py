"""Convert Pillow's pictures of every mode to arrays: unchanged for writing back, or as 8-bit RGB frames."""

from __future__ import annotations

import io
from collections.abc import Sequence
from numbers import Rational
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps

from fomaug.errors import MediaError
from fomaug.media.opening import DAMAGE

_TAG: Final = 0x0112


def orientation_of(image: Image.Image) -> int:
    """Read the orientation, 1 to 8, that has yet to be applied to a picture's decoded pixels.

    Pillow applies the tag of a TIFF file during decoding, and then removes the tag. So the picture is decoded
    first. A tag that is missing, damaged or out of range counts as upright.
    """
    image.load()
    return tagged_orientation(image)


def tagged_orientation(image: Image.Image) -> int:
    """Read the orientation, 1 to 8, from the header of a picture that is not decoded yet, see `orientation_of`."""
    try:
        found = image.getexif().get(_TAG, 1)
    except DAMAGE:  # a damaged EXIF block has no effect on the pixels
        return 1
    return orientation_from(found)


def orientation_from(value: object) -> int:
    """Convert the value of an orientation tag to 1 to 8; any other value becomes 1.

    >>> [orientation_from(value) for value in (6, 9, "6", b"x", None)]
    [6, 1, 1, 1, 1]
    """
    try:
        number = int(float(value)) if isinstance(value, Rational) else 1
    except (ValueError, ZeroDivisionError, OverflowError):
        return 1  # the tag is a fraction with denominator 0
    return number if 1 <= number <= 8 else 1


def bytes_of(value: object) -> bytes | None:
    """Return the value of a tag of bytes; None if it is empty, or of another type in a damaged file.

    >>> [bytes_of(value) for value in (b"x", b"", "x", 3_000_000_000, (1, 2), None)]
    [b'x', None, None, None, None, None]
    """
    return value if isinstance(value, bytes) and value else None


def turn_upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn an array upright by its EXIF orientation, 1 to 8; other numbers count as upright."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def turn_by_matrix(array: NDArray[Any], matrix: Sequence[int]) -> NDArray[Any]:
    """Turn or mirror a frame by the display matrix of its video, to the nearest quarter turn.

    Args:
        array: frame (H, W, C).
        matrix: nine numbers a, b, u, c, d, v, x, y, w; a stored point (x, y) is shown at (ax + cy, bx + dy).
    """
    a, b, _, c, d = matrix[:5]
    if abs(b) + abs(c) > abs(a) + abs(d):
        array = array.swapaxes(0, 1)
        a, d = c, b
    if d < 0:
        array = array[::-1]
    return array[:, ::-1] if a < 0 else array


Frame = NDArray[np.uint8]
"""(H, W, 3) uint8 RGB, upright."""

MAX_PIXELS = 2**25
"""Largest number of pixels of a frame: 8K video has 33 million, and more is a mistake or an attack."""


def check_pixels(name: str, width: int, height: int) -> None:
    """Raise an error for a frame that is too large, before it is decoded."""
    if width * height > MAX_PIXELS:
        raise MediaError(
            f"{name}: a frame of {width} x {height} pixels is more than {MAX_PIXELS:,} pixels; scale the clip down"
        )


def to_rgb(image: Image.Image) -> Frame:
    """Convert a picture of any mode to RGB; 16 bits are scaled down, and transparent pixels become white.

    >>> to_rgb(Image.new("L", (4, 2), 7)).shape
    (2, 4, 3)
    """
    orientation = orientation_of(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = Image.fromarray(_eight_bits(np.asarray(image)))
    if _has_transparency(image):
        pixels = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", pixels.size, (255, 255, 255, 255)), pixels)
    return np.ascontiguousarray(turn_upright(np.array(image.convert("RGB")), orientation))


def over_white(array: NDArray[Any]) -> Frame:
    """Convert (H, W, 1 to 4) uint8 or uint16, grey or RGB with or without alpha, as `to_rgb` does.

    >>> over_white(np.array([[[65535, 0]]], np.uint16)).tolist()
    [[[255, 255, 255]]]
    """
    eight = array if array.dtype == np.uint8 else ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return to_rgb(Image.fromarray(eight[..., 0] if eight.shape[2] == 1 else eight))


def letterbox(picture: Frame, size: tuple[int, int]) -> Frame:
    """Scale a picture to fit into (H, W) without distortion, and pad it with black."""
    if picture.shape[:2] == size:
        return picture
    return np.array(ImageOps.pad(Image.fromarray(picture), (size[1], size[0])))


def pixels_of(image: Image.Image) -> tuple[NDArray[Any], bytes | None]:
    """Return the pixels of a decoded picture, and the profile of their colours.

    Palettes and CMYK become RGB (by the file's profile if it has one), bilevel pictures become grey, and alpha is kept.

    Returns:
        (H, W, 1 to 4) uint8, or uint16 for a grey picture that Pillow decodes as such; and the ICC profile, if any.

    Raises:
        MediaError: the picture has 32 bits per channel, or signed numbers.
    """
    profile = bytes_of(image.info.get("icc_profile"))
    if image.mode == "I" and image.format == "PPM":  # Pillow has no other mode for a PGM of 16 bits.
        return np.asarray(image).astype(np.uint16)[..., None], profile
    if image.mode in ("I", "F"):
        raise MediaError(
            f"has 32 bits per channel, or signed numbers (mode {image.mode}); convert it to 8 or 16 bits without a sign"
        )
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None], profile
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        image, profile = _convert_to_rgb(image, profile), None
    elif image.mode in ("P", "PA", "RGBa", "RGBX") or "transparency" in image.info:
        has_alpha = image.mode in ("PA", "RGBa") or "transparency" in image.info
        image = image.convert(("LA" if image.mode in ("1", "L") else "RGBA") if has_alpha else "RGB")
    elif image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("LA" if image.mode == "La" else "L")
    array = np.asarray(image)
    return (array[..., None] if array.ndim == 2 else array), profile


def _has_transparency(image: Image.Image) -> bool:
    try:
        return image.has_transparency_data
    except AssertionError as error:  # from Pillow, in a damaged GIF
        raise MediaError("a palette is missing") from error


def _eight_bits(values: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Scale wide greys to 8 bits; integers count as 16 bits, and floats as [0, 1] unless they are larger."""
    wide = values.astype(np.float64)
    top = 65535.0 if np.issubdtype(values.dtype, np.integer) else max(1.0, float(wide.max(initial=0.0)))
    return (wide.clip(0, top) * (255 / top)).round().astype(np.uint8)


def _convert_to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile and image.mode == "CMYK":
        try:
            made = ImageCms.profileToProfile(
                image, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            return made if made is not None else image.convert("RGB")
        except (ImageCms.PyCMSError, OSError):
            pass  # a picture with a broken profile is still used
    if image.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB") or image.convert("RGB")
    return image.convert("RGB")
