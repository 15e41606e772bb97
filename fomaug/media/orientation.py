"""Orientation tags of pictures and display matrices of videos, applied to arrays."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Rational
from typing import Any, Final

from numpy.typing import NDArray
from PIL import Image

from fomaug.media.opening import DAMAGE

_TAG: Final = 0x0112


def orientation_of(image: Image.Image) -> int:
    """Read the orientation, 1 to 8, that has yet to be applied to a picture's decoded pixels.

    Pillow applies the tag of a TIFF file while it decodes the file, and then removes the tag. So the picture is decoded
    first. A tag that is missing, damaged or out of range counts as upright.
    """
    image.load()
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
