"""Write image files from arrays, with a provenance mark inside, and put many pictures on one contact sheet."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, TiffImagePlugin

from fomaug.errors import ArgumentError, ShapeError, check_choice
from fomaug.files import write_file
from fomaug.media.formats import check_suffix
from fomaug.media.opening import imopen
from fomaug.media.provenance import Provenance, sidecar_of

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

suffix_formats: Final[dict[str, str]] = {
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".png": "png",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".bmp": "bmp",
}
"""Image format of each supported file suffix."""

_XMP_TAG: Final = 700
_NO_ALPHA: Final = ("jpeg", "bmp")
_SIXTEEN: Final = ("png", "tiff")
_PAPER = 255


def save_image(
    path: str | Path,
    array: Pixels,
    *,
    provenance: Provenance | None = None,
    quality: int = 95,
    icc_profile: bytes | None = None,
) -> Path:
    """Write a picture atomically; the suffix of the path determines the format.

    BMP files cannot contain the mark, which is written to a file of the same name with `.xmp` appended.

    Args:
        path: path with the suffix `.jpg`, `.png`, `.webp`, `.tif` or `.bmp`.
        array: pixels (H, W), (H, W, 3) RGB, or (H, W, 2 or 4) with alpha; uint8, or uint16 for PNG and TIFF.
        provenance: content of the mark; None writes no mark.
        quality: quality of JPEG and WebP, 1 to 100.
        icc_profile: ICC profile of the picture's colours.

    Returns:
        The path.
    """
    path = Path(path)
    content = encode_image(array, format_of(path), provenance=provenance, quality=quality, icc_profile=icc_profile)
    if provenance is not None and format_of(path) == "bmp":
        write_file(sidecar_of(path), provenance.to_xmp())
    write_file(path, content)
    return path


def encode_image(
    array: Pixels,
    encode_format: str,
    *,
    provenance: Provenance | None = None,
    quality: int = 95,
    icc_profile: bytes | None = None,
) -> bytes:
    """Encode a picture as the bytes of a file; equal arguments result in equal bytes.

    Args:
        array: pixels as for `save_image`; a format without 16 bits rounds them to 8, and one without alpha drops it.
        encode_format: format, one of `jpeg`, `png`, `webp`, `tiff` and `bmp`.
        provenance: content of the mark; None writes no mark.
        quality: quality of JPEG and WebP, 1 to 100.
        icc_profile: ICC profile of the picture's colours.
    """
    check_choice("image format", encode_format, sorted(set(suffix_formats.values())))
    if not 1 <= quality <= 100:
        raise ArgumentError(f"quality must be 1 to 100, got {quality}")
    _check_pixels(array)
    xmp = provenance.to_xmp() if provenance is not None else None
    options: dict[str, Any] = {"xmp": xmp, "icc_profile": icc_profile}
    if array.dtype == np.uint8 or encode_format not in _SIXTEEN:
        array, options = _eight_bits(_fitting(array, encode_format)), _options(encode_format, xmp, quality, icc_profile)
    return _encoded(array, encode_format, options)


def _encoded(array: Pixels, encode_format: str, options: dict[str, Any]) -> bytes:
    from fomaug.media.picture_plugin import PicturePlugin

    buffer = io.BytesIO()
    with imopen(buffer, "w", PicturePlugin) as picture:
        picture.write(array, encode_format=encode_format, **options)
    return buffer.getvalue()


def format_of(path: Path) -> str:
    """Return the image format of a path's suffix."""
    return suffix_formats[check_suffix(path, suffix_formats)]


def _check_pixels(array: Pixels) -> None:
    shape_fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (2, 3, 4))
    if not shape_fits or array.dtype not in (np.uint8, np.uint16) or not array.size:
        raise ShapeError(
            f"a picture must be (H, W), (H, W, 3), or (H, W, 2 or 4) with alpha, uint8 or uint16; "
            f"got {array.shape} {array.dtype}"
        )


def _fitting(array: Pixels, encode_format: str) -> Pixels:
    has_alpha = array.ndim == 3 and array.shape[2] in (2, 4)
    if not has_alpha or encode_format not in _NO_ALPHA:
        return array
    return array[..., 0] if array.shape[2] == 2 else array[..., :3]


def _eight_bits(array: Pixels) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array, dtype=np.uint8)
    return ((array.astype(np.uint32) + 128) // 257).astype(np.uint8)


def _options(encode_format: str, xmp: bytes | None, quality: int, icc_profile: bytes | None) -> dict[str, Any]:
    options: dict[str, Any] = {"icc_profile": icc_profile} if icc_profile and encode_format != "bmp" else {}
    if encode_format == "jpeg":
        options |= {"quality": quality, "subsampling": 0}
    elif encode_format == "webp":
        options |= {"quality": quality, "method": 4}
    elif encode_format == "tiff":
        options |= {"compression": "tiff_adobe_deflate"}
    if xmp is not None:
        options |= _xmp_option(encode_format, xmp)
    return options


def _xmp_option(encode_format: str, xmp: bytes) -> dict[str, Any]:
    if encode_format == "png":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        return {"pnginfo": text}
    if encode_format == "tiff":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags.tagtype[_XMP_TAG] = 1  # bytes
        tags[_XMP_TAG] = xmp
        return {"tiffinfo": tags}
    return {"xmp": xmp} if encode_format in ("jpeg", "webp") else {}


def contact_sheet(
    rows: Sequence[Sequence[NDArray[np.uint8]]], *, cell: int = 128, gap: int = 4, lead_gap: int = 8
) -> NDArray[np.uint8]:
    """Arrange pictures in rows on white; each is scaled to its square cell, and rows may differ in length.

    Args:
        rows: rows of pictures (H, W), (H, W, 3), or (H, W, 2 or 4) with alpha, uint8; the first of a row is its source.
        cell: side of a cell in pixels.
        gap: pixels between cells and around the sheet.
        lead_gap: additional pixels between the first column and the others.

    Returns:
        (H, W, 3) uint8.

    >>> picture = np.zeros((40, 20, 3), np.uint8)
    >>> contact_sheet([[picture, picture], [picture]], cell=32, gap=2, lead_gap=0).shape
    (70, 70, 3)
    """
    if not rows or not any(rows):
        raise ArgumentError("a contact sheet needs at least one picture")
    columns = max(len(row) for row in rows)
    lead = lead_gap if columns > 1 else 0
    height, width = (count * (cell + gap) + gap for count in (len(rows), columns))
    sheet = np.full((height, width + lead, 3), _PAPER, np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            small = thumbnail(picture, cell)
            top = gap + i * (cell + gap) + (cell - small.shape[0]) // 2
            left = gap + j * (cell + gap) + (lead if j else 0) + (cell - small.shape[1]) // 2
            sheet[top : top + small.shape[0], left : left + small.shape[1]] = small
    return sheet


def thumbnail(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Scale a picture to a longer side of `side` pixels, and return (h, w, 3) RGB on white."""
    image = Image.fromarray(picture)
    if image.mode in ("LA", "RGBA"):
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))
