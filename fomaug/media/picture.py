"""Pictures of every common kind to plain arrays, and what must be kept to write them back."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError
from torch import Tensor

from fomaug.errors import MediaError, reason_of
from fomaug.files import PICTURE, read_regular
from fomaug.media.images import suffix_formats
from fomaug.media.opening import PICTURE_FORMATS, identify
from fomaug.media.tensors import from_unit, to_array, to_unit

MIN_SIDE: Final = 16
_MOST_PIXELS: Final = 1 << 30

# What Pillow and its codecs raise over damaged files, as met in practice.
_DAMAGE: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    struct.error,
    zlib.error,
    OverflowError,
    Image.DecompressionBombError,
    av.error.FFmpegError,
)


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture file, upright, with all that is needed to write it back.

    Attributes:
        pixels: (H, W, 1) grey or (H, W, 3) RGB, uint8 or uint16.
        alpha: (H, W, 1) of the same dtype, or None.
        icc_profile: colour profile of the file, if it has one that still holds.
        encode_format: format of the file: jpeg, png, webp, tiff or bmp.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    icc_profile: bytes | None = None
    encode_format: str = "png"

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.pixels.shape[0], self.pixels.shape[1]

    @property
    def whole(self) -> NDArray[Any]:
        """Pixels and alpha together: (H, W), (H, W, 3), or (H, W, 2 or 4) with alpha, as `save_image` takes it."""
        if self.alpha is not None:
            return np.concatenate([self.pixels, self.alpha], axis=2)
        return self.pixels[..., 0] if self.pixels.shape[2] == 1 else self.pixels

    @property
    def eight_bits(self) -> NDArray[np.uint8]:
        """The same array as uint8, for display."""
        return _eight_bits(self.whole)

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB without alpha."""
        pixels = _eight_bits(self.pixels)
        return np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels

    @property
    def on_white(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB on a white background."""
        if self.alpha is None:
            return self.rgb
        share = _eight_bits(self.alpha).astype(np.float32) / 255
        mixed = (_eight_bits(self.pixels) * share + 255 * (1 - share)).round().astype(np.uint8)
        return np.repeat(mixed, 3, axis=2) if mixed.shape[2] == 1 else mixed

    def to_unit(self) -> Tensor:
        """Return the pixels as RGB: (1, 3, H, W) float32 in [0, 1]."""
        return to_unit(self.pixels)[None].expand(-1, 3, -1, -1)

    def with_image(self, image: Tensor, alpha: Tensor | None = None) -> Picture:
        """Return a picture of the same kind and depth with other contents.

        Args:
            image: (C, H, W) uint8, or float in [0, 1].
            alpha: (1, H, W) float in [0, 1], or None.
        """
        dtype = self.pixels.dtype
        pixels = from_unit(image.double(), dtype) if image.is_floating_point() else to_array(image)
        return replace(self, pixels=pixels, alpha=None if alpha is None else from_unit(alpha.double(), dtype))


def _eight_bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    return (array >> 8).astype(np.uint8) if array.dtype == np.uint16 else array.astype(np.uint8)


def read_picture(path: Path, *, max_pixels: int = _MOST_PIXELS) -> Picture:
    """Read a picture file: the first of several frames or pages, turned upright.

    Palettes and CMYK become RGB (by the file's profile if it has one), bits grey; 16 bits and alpha stay.

    Raises:
        MediaError: if the file is damaged, of another kind, too large or too small; it is named by the caller.
    """
    return decode_picture(_read_bytes(path), path.suffix, max_pixels=max_pixels)


def decode_picture(content: bytes, suffix: str, *, max_pixels: int = _MOST_PIXELS) -> Picture:
    """Decode the bytes of a picture file, see `read_picture`."""
    try:
        with identify(content, PICTURE_FORMATS) as image:
            _check_size(image.size, max_pixels)
            encode_format = suffix_formats.get(suffix.lower(), (image.format or "png").lower())
            wide = _wide_layout(image)  # before EXIF is read: that decodes the picture and forgets its layout
            orientation = int(image.getexif().get(0x0112, 1) or 1)
            if wide:
                array, profile = _decode_wide(content, image, wide), image.info.get("icc_profile")
            else:
                array, profile = _to_array(image)
    except UnidentifiedImageError as cause:
        raise MediaError(f"cannot be read as a picture: {cause}") from cause
    except _DAMAGE as cause:
        raise MediaError(f"cannot be read as a picture: {reason_of(cause)}") from cause
    array = np.ascontiguousarray(turn_upright(array, orientation))
    pixels, alpha = (array[..., :-1], array[..., -1:]) if array.shape[2] in (2, 4) else (array, None)
    return Picture(pixels, alpha, profile, encode_format)


def turn_upright(array: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Undo the orientation that EXIF names, 1 to 8; unknown ones count as upright."""
    if orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        array = array[::-1]
    if orientation in (2, 3, 6, 7):
        array = array[:, ::-1]
    return array


def _read_bytes(path: Path) -> bytes:
    try:
        return read_regular(path, PICTURE)
    except OSError as cause:
        raise MediaError(f"cannot be read: {reason_of(cause)}") from cause


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    if width * height > max_pixels:
        raise MediaError(f"has {width} x {height} pixels, more than max_pixels={max_pixels}")
    if min(width, height) < MIN_SIDE:
        raise MediaError(f"has {width} x {height} pixels; at least {MIN_SIDE} are needed on each side")


def _to_array(image: Image.Image) -> tuple[NDArray[Any], bytes | None]:
    """Return (H, W, 1 to 4) uint8 or uint16, and the profile that belongs to it."""
    profile = image.info.get("icc_profile")
    if image.mode in ("I", "F"):
        raise MediaError(f"has 32 bits per channel (mode {image.mode}); convert it to 8 or 16 first")
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None], profile
    if image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        image, profile = _to_rgb(image, profile), None
    elif image.mode in ("P", "PA", "RGBa", "RGBX") or "transparency" in image.info:
        has_alpha = image.mode in ("PA", "RGBa") or "transparency" in image.info
        image = image.convert(("LA" if image.mode == "L" else "RGBA") if has_alpha else "RGB")
    elif image.mode not in ("L", "LA", "RGB", "RGBA"):
        image = image.convert("LA" if image.mode == "La" else "L")
    array = np.asarray(image)
    return (array[..., None] if array.ndim == 2 else array), profile


def _to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if profile and image.mode == "CMYK":
        try:
            made = ImageCms.profileToProfile(
                image, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            return made if made is not None else image.convert("RGB")
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken profile is no reason to lose the picture
    if image.mode == "LAB":
        lab, rgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB") or image.convert("RGB")
    return image.convert("RGB")


def _wide_layout(image: Image.Image) -> str:
    """Name the layout of colours in 16 bits, half of which Pillow would drop; empty for all others."""
    if image.format not in ("PNG", "TIFF") or image.mode not in ("RGB", "RGBA", "LA"):
        return ""
    layouts = (str(tile[3] if isinstance(tile[3], str) else tile[3][0]) for tile in getattr(image, "tile", ()))
    return next((layout.partition(";")[0] for layout in layouts if ";16" in layout), "")


def _decode_wide(content: bytes, image: Image.Image, layout: str) -> NDArray[np.uint16]:
    demuxer = "png_pipe" if image.format == "PNG" else "tiff_pipe"
    with av.open(io.BytesIO(content), "r", format=demuxer) as container:
        frame = next(container.decode(video=0))
    array = frame.to_ndarray(format="rgb48le" if layout == "RGB" else "rgba64le").astype(np.uint16)
    return array[..., [0, 3]] if layout == "LA" else array
