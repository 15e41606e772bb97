"""Pillow's modes as plain arrays: grey or RGB, with or without alpha."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from fomaug.errors import MediaError


def pixels_of(image: Image.Image) -> tuple[NDArray[Any], bytes | None]:
    """Return the pixels of a decoded picture, and the profile that belongs to them.

    Palettes and CMYK become RGB (by the file's profile if it has one), bits grey; alpha stays.

    Returns:
        (H, W, 1 to 4) uint8, or uint16 for a grey picture that Pillow decodes so; and the ICC profile, if any.

    Raises:
        MediaError: it has 32 bits per channel.
    """
    profile = image.info.get("icc_profile")
    if image.mode == "I" and image.format == "PPM":  # Pillow has no other mode for a PGM of 16 bits.
        return np.asarray(image).astype(np.uint16)[..., None], profile
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
