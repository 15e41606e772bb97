"""Contact sheets: many pictures in one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fomaug.errors import ArgumentError

_PAPER = 255


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
