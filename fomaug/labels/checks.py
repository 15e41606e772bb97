"""What coordinates, boxes and visibility from a file must be; every reader checks by these."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import LabelError, shortened
from fomaug.strict_json import check_finite, without_nan

MOST_POINTS: Final = 65_536  # of one annotation; dense models of faces have up to 53,490
_FARTHEST: Final = 100_000  # pixels from the picture's corner; hardly a picture has a longer side
_WORDS: Final = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}

Array = NDArray[np.float64]


def read_table(values: Any, name: str, columns: Sequence[int]) -> Array:
    """Turn rows of numbers into an array; null becomes NaN.

    Args:
        values: nested lists.
        name: noun for the error.
        columns: allowed lengths of a row.

    Returns:
        (N, one of `columns`); (0, the first of them) for an empty list.

    Raises:
        LabelError: the values are no numbers, or lists of other shapes.
    """
    expected = " or ".join(map(str, columns))
    try:
        table = np.array(values, float)
    except (TypeError, ValueError, OverflowError) as error:
        raise LabelError(f"{name} must be rows of {expected} numbers, got {shortened(values)}") from error
    if table.shape == (0,):
        return np.zeros((0, columns[0]))
    if table.ndim != 2 or table.shape[1] not in columns:
        raise LabelError(f"{name} must be rows of {expected} numbers, got {shortened(values)} of shape {table.shape}")
    return table


def read_numbers(values: Any, name: str) -> Array:
    """Turn a list of numbers into an array (N,); null becomes NaN.

    Raises:
        LabelError: it is anything else.
    """
    try:
        numbers = np.array(values, float)
    except (TypeError, ValueError, OverflowError) as error:
        raise LabelError(f"{name} must be a list of numbers, got {shortened(values)}") from error
    if numbers.ndim != 1:
        raise LabelError(f"{name} must be a list of numbers, got {shortened(values)}")
    return numbers


def check_points(points: Array, flags: Array | None = None) -> None:
    """Check points (P, 2) and their visibility (P,): NaN stands for a missing point, which cannot be visible.

    Raises:
        LabelError: says what is wrong with the first bad point.
    """
    if len(points) > MOST_POINTS:
        raise LabelError(f"there are {len(points)} points, and an annotation may have {MOST_POINTS}")
    gone = np.isnan(points)
    # Comparisons with NaN are false.
    if bad := _first((np.abs(points) > _FARTHEST).any(1) | (gone.any(1) & ~gone.all(1)), points):
        raise LabelError(f"a coordinate is missing, not finite or beyond {_FARTHEST} pixels: {bad}")
    if flags is None:
        return
    if bad := _first(~np.isin(flags, (0, 1, 2)), flags):
        raise LabelError(f"visibility must be 0, 1 or 2, got {bad}")
    check_seen(points, flags > 0)


def check_seen(points: Array, seen: NDArray[np.bool_]) -> None:
    """Raise `LabelError` if a visible point (of (P, 2)) has no place."""
    if (np.isnan(points).any(1) & seen).any():
        raise LabelError("a coordinate is missing of a point that is said to be visible")


def check_boxes(boxes: Array) -> None:
    """Check boxes (M, 4) of x, y, width and height.

    Raises:
        LabelError: says what is wrong with the first bad box.
    """
    if len(boxes) > MOST_POINTS:
        raise LabelError(f"there are {len(boxes)} boxes, and an annotation may have {MOST_POINTS}")
    if bad := _first(~(np.abs(boxes) <= _FARTHEST).all(1), boxes):
        raise LabelError(f"a box has a number that is missing, not finite or beyond {_FARTHEST} pixels: {bad}")
    if bad := _first((boxes[:, 2:] <= 0).any(1), boxes):
        raise LabelError(f"a box x, y, width, height must have a width and a height of more than 0, got {bad}")


def read_flag(value: Any) -> float:
    """Read one visibility, a number or a word: 0, 1 or 2.

    Raises:
        LabelError: it is another number or word.

    >>> read_flag("FALSE"), read_flag("0.0"), read_flag(True), read_flag("2")
    (0.0, 0.0, 1.0, 2.0)
    """
    word = value.strip().lower() if isinstance(value, str) else value
    try:
        flag = _WORDS[word] if word in _WORDS else float(word)
    except (TypeError, ValueError, OverflowError):
        flag = -1.0
    if flag not in (0, 1, 2):
        raise LabelError(f"visibility must be 0, 1, 2, true or false, got {shortened(value)}")
    return flag


def check_carried(value: Any) -> Any:
    """Return what an annotation says besides its labels, with null for NaN.

    Raises:
        LabelError: a number is infinite or too long to be written again.
    """
    try:
        check_finite(value, nan=True)
    except ValueError as error:
        raise LabelError(str(error)) from error
    return without_nan(value)


def _first(bad: Any, values: Array) -> str:
    """Show the first bad row; empty if there is none."""
    rows = np.flatnonzero(bad)
    return f"{values[rows[0]].tolist()} (number {rows[0]})" if len(rows) else ""
