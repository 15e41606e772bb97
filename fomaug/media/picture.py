"""Picture files of every common kind, decoded so that they can be written back, as arrays or as tensors."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from PIL import UnidentifiedImageError
from torch import Tensor

from fomaug.errors import MediaError, ShapeError, reason_of
from fomaug.files import PICTURE, open_regular, read_regular
from fomaug.media.formats import PICTURE_FORMATS, why_unread
from fomaug.media.opening import DAMAGE, MediaInput, identify, media_file
from fomaug.media.writing import suffix_formats

MIN_SIDE: Final = 16
_MOST_PIXELS: Final = 1 << 30


def to_tensor(pixels: NDArray[Any]) -> Tensor:
    """Turn (..., H, W, C) pixels into a tensor (..., C, H, W) of the same dtype; memory is shared where possible.

    >>> to_tensor(np.zeros((8, 6, 3), np.uint8)).shape
    torch.Size([3, 8, 6])
    """
    if not (pixels.flags.writeable and pixels.dtype.isnative):
        pixels = np.array(pixels, dtype=pixels.dtype.newbyteorder("="))  # torch accepts no others
    return torch.from_numpy(np.ascontiguousarray(pixels)).movedim(-1, -3)


def check_mode(mode: str) -> None:
    """Raise `ShapeError` unless the mode of a PIL picture is RGB or L; the message describes the conversion."""
    if mode not in ("RGB", "L"):
        deep = "scale its values to 0 to 255 and make an L picture of them, because picture.convert clips them"
        remedy = deep if mode.startswith(("I", "F")) else "use picture.convert('RGB')"
        raise ShapeError(f"a PIL picture must be RGB or L, got {mode}; {remedy}")


def to_array(image: Tensor) -> NDArray[Any]:
    """Turn a tensor (..., C, H, W) into contiguous pixels (..., H, W, C) of the same dtype.

    >>> to_array(torch.zeros(2, 3, 8, 6)).shape
    (2, 8, 6, 3)
    """
    pixels: NDArray[Any] = np.ascontiguousarray(image.detach().cpu().movedim(-3, -1).numpy())
    return pixels


def like_array(image: Tensor, pixels: NDArray[Any]) -> NDArray[Any]:
    """Turn a tensor (..., C, H, W) into an array of the shape and dtype of the pixels that it was made from.

    >>> like_array(torch.zeros(1, 8, 6), np.zeros((8, 6), np.uint8)).dtype
    dtype('uint8')
    """
    return to_array(image).reshape(pixels.shape).astype(pixels.dtype, copy=False)


def to_unit(pixels: NDArray[Any]) -> Tensor:
    """Turn (..., H, W, C) uint8 or uint16 pixels into a tensor (..., C, H, W), float32 in [0, 1].

    >>> to_unit(np.full((1, 2, 1), 255, np.uint8)).tolist()
    [[[1.0, 1.0]]]
    """
    return to_tensor(pixels.astype(np.float32)) / float(np.iinfo(pixels.dtype).max)


def from_unit(image: Tensor, dtype: DTypeLike = np.uint8) -> NDArray[Any]:
    """Turn a tensor (..., C, H, W), float in [0, 1], into contiguous pixels (..., H, W, C).

    Args:
        image: tensor, whose values outside of the range are clipped. Levels of 16 bits need float64,
            since float32 rounds some levels to their neighbours.
        dtype: dtype of the pixels, uint8 or uint16.

    >>> from_unit(torch.tensor([0.0, 0.5, 2.0]).view(1, 1, 3))[0, :, 0].tolist()
    [0, 128, 255]
    """
    top = float(np.iinfo(dtype).max)
    return to_array((image * top).round().clamp(0, top)).astype(dtype)


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture file, upright, with all data that writing it back needs.

    Attributes:
        pixels: pixels (H, W, 1) grey or (H, W, 3) RGB, uint8 or uint16.
        alpha: alpha channel (H, W, 1) of the same dtype, or None.
        icc_profile: colour profile of the file, if there is one that still applies.
        encode_format: format for writing the picture back: jpeg, png, webp, tiff or bmp.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    icc_profile: bytes | None = None
    encode_format: str = "png"

    @property
    def size(self) -> tuple[int, int]:
        """Size (H, W)."""
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

    def to_tensor(self) -> Tensor:
        """Return all channels, (C, H, W) of the picture's dtype; alpha is the last."""
        return to_tensor(self.pixels if self.alpha is None else self.whole)

    def with_tensor(self, image: Tensor) -> Picture:
        """Return a picture of the same kind with the channels of an image as from `to_tensor`."""
        pixels, alpha = _split(to_array(image))
        return replace(self, pixels=pixels, alpha=alpha)

    def with_image(self, image: Tensor, alpha: Tensor | None = None) -> Picture:
        """Return a picture of the same kind and depth with other contents.

        Args:
            image: pixels (C, H, W), uint8, or float in [0, 1].
            alpha: alpha channel (1, H, W), float in [0, 1], or None.
        """
        dtype = self.pixels.dtype
        pixels = from_unit(image.double(), dtype) if image.is_floating_point() else to_array(image)
        return replace(self, pixels=pixels, alpha=None if alpha is None else from_unit(alpha.double(), dtype))


def read_picture(picture: MediaInput, *, max_pixels: int = _MOST_PIXELS, least_side: int | None = None) -> Picture:
    """Read a picture and turn it upright; of several frames or pages the first is read.

    Palettes and CMYK become RGB (by the file's profile if it has one), bilevel pictures become grey, and 16 bits and
    alpha are kept.

    Args:
        picture: path, bytes, or a file that is open for reading bytes.
        max_pixels: largest number of pixels that is accepted.
        least_side: longer side in pixels that is enough; a larger JPEG is reduced by 2, 4 or 8 while it is decoded, as
            far as it stays that long, in a fraction of the time and memory. None decodes every picture at full size.

    Raises:
        MediaError: the file is damaged, of another kind, too large or too small; the message does not name the file.
    """
    file = media_file(picture)
    if file.content is None:
        return decode_picture(_read_bytes(file.path), file.path.suffix, max_pixels=max_pixels, least_side=least_side)
    with file.open(PICTURE) as content:
        return decode_picture(content.read(), file.path.suffix, max_pixels=max_pixels, least_side=least_side)


def decode_picture(
    content: bytes, suffix: str, *, max_pixels: int = _MOST_PIXELS, least_side: int | None = None
) -> Picture:
    """Decode the bytes of a picture file, see `read_picture`."""
    try:
        with identify(content, PICTURE_FORMATS) as picture:
            _check_size(picture.size, max_pixels)
            encode_format = _encode_format(suffix, picture.format)
            if least_side is not None:
                picture.reduce(least_side)
            array, profile = picture.read_with_profile()
    except UnidentifiedImageError as cause:
        raise MediaError(why_unread(suffix) or f"cannot be read as a picture: {cause}") from cause
    except DAMAGE as cause:
        raise MediaError(f"cannot be read as a picture: {reason_of(cause)}") from cause
    return Picture(*_split(array), profile, encode_format)


def upright_size(picture: Path | bytes, suffix: str = "") -> tuple[tuple[int, int], bool]:
    """Read the size of a picture from the header of its file.

    Args:
        picture: path of the file, or its bytes.
        suffix: suffix of the name that bytes have.

    Returns:
        (H, W) of the upright picture; and whether the EXIF orientation turns the stored one.

    Raises:
        MediaError: the file is damaged, or of another kind; the message does not name the file.
    """
    try:
        with (
            io.BytesIO(picture) if isinstance(picture, bytes) else open_regular(picture, PICTURE) as file,
            identify(file, PICTURE_FORMATS) as found,
        ):
            (width, height), orientation = found.size, found.orientation
    except UnidentifiedImageError as cause:
        suffix = suffix if isinstance(picture, bytes) else picture.suffix
        raise MediaError(why_unread(suffix) or f"cannot be read as a picture: {cause}") from cause
    except DAMAGE as cause:
        raise MediaError(f"cannot be read as a picture: {reason_of(cause)}") from cause
    return ((width, height) if orientation >= 5 else (height, width)), orientation != 1


def written_format(suffix: str) -> str:
    """Return the format in which a picture with a suffix is written back.

    >>> written_format(".JPEG"), written_format(".jfif"), written_format(".gif")
    ('jpeg', 'jpeg', 'png')
    """
    return _encode_format(suffix, "jpeg" if suffix.lower() in (".jfif", ".jpe") else "")


def _split(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Divide the channels (H, W, C) of a picture into colours and alpha."""
    return (array[..., :-1], array[..., -1:]) if array.shape[2] in (2, 4) else (array, None)


def _encode_format(suffix: str, file_format: str) -> str:
    """Choose the format for writing a picture back: its own, or PNG where its own cannot be written."""
    own = suffix_formats.get(suffix.lower(), "jpeg" if file_format == "MPO" else file_format.lower())
    return own if own in suffix_formats.values() else "png"


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


def _eight_bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    return (array >> 8).astype(np.uint8) if array.dtype == np.uint16 else array.astype(np.uint8)
