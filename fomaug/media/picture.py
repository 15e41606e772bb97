"""A decoded picture, and what must be kept to write it back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture, upright.

    Attributes:
        pixels: (H, W, 1) grey or (H, W, 3) RGB, uint8 or uint16.
        alpha: (H, W, 1) of the same type, or None.
        icc_profile: of the colours, if the file has one that still holds.
        encode_format: to write it back in: jpeg, png, webp, tiff or bmp.
    """

    pixels: NDArray[Any]
    alpha: NDArray[Any] | None = None
    icc_profile: bytes | None = None
    encode_format: str = "png"

    @property
    def whole(self) -> NDArray[Any]:
        """Pixels and alpha together: (H, W), (H, W, 3), or (H, W, 2 or 4) with alpha, as `save_image` takes it."""
        if self.alpha is not None:
            return np.concatenate([self.pixels, self.alpha], axis=2)
        return self.pixels[..., 0] if self.pixels.shape[2] == 1 else self.pixels

    @property
    def eight_bits(self) -> NDArray[np.uint8]:
        """The same as uint8, to look at."""
        array = self.whole
        return (array >> 8).astype(np.uint8) if array.dtype == np.uint16 else array.astype(np.uint8)

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.pixels.shape[0], self.pixels.shape[1]
