"""A decoded picture, and what must be kept to write it back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fomaug.media.tensors import from_unit, to_array, to_unit


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture file, upright, with all that is needed to write it back.

    Attributes:
        pixels: (H, W, 1) grey or (H, W, 3) RGB, uint8 or uint16.
        alpha: (H, W, 1) of the same dtype, or None.
        icc_profile: colour profile of the file, if it has one that still holds.
        encode_format: format in which it is written back: jpeg, png, webp, tiff or bmp.
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
