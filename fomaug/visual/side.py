"""Pictures side by side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fomaug.errors import ArgumentError


def side_by_side(*pictures: NDArray[np.uint8], gap: int = 4, height: int | None = None) -> NDArray[np.uint8]:
    """Put pictures next to one another, scaled to one height, on white.

    Args:
        pictures: (H, W, 3) uint8 each.
        gap: pixels between them.
        height: of the result; None takes that of the first.

    Returns:
        (height, W, 3) uint8.

    >>> side_by_side(np.zeros((8, 8, 3), np.uint8), np.zeros((4, 2, 3), np.uint8), gap=2).shape
    (8, 14, 3)
    """
    if not pictures:
        raise ArgumentError("side_by_side needs at least one picture")
    height = height or pictures[0].shape[0]
    white = np.full((height, gap, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (_to_height(picture, height), white)]
    return np.concatenate(parts[:-1], axis=1)


def _to_height(picture: NDArray[np.uint8], height: int) -> NDArray[np.uint8]:
    if picture.shape[0] == height:
        return picture
    width = max(1, round(picture.shape[1] * height / picture.shape[0]))
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.LANCZOS))
