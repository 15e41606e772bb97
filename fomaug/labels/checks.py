"""Check the values in annotations, and report flawed annotations, in the same way for every reader."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import LabelError, shortened
from fomaug.untrusted import check_finite, without_nan

MOST_POINTS: Final = 65_536  # Most points or boxes of one annotation; dense face models have up to 53,490.
_FARTHEST: Final = 100_000  # Largest coordinate in pixels; hardly any picture has a longer side.
_WORDS: Final = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Flaw:
    """An annotation that cannot be used.

    Attributes:
        where: file of the annotation, and its row or number there.
        picture: path of its picture below the dataset folder, with slashes; empty if it is unknown.
        reason: sentence about the flaw.
    """

    where: str
    picture: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.described}"

    @property
    def described(self) -> str:
        """The reason, followed by the picture if it is known."""
        return f"{self.reason} (picture {self.picture})" if self.picture else self.reason


OnFlaw = Callable[[Flaw], object]


def refuse(flaw: Flaw) -> None:
    """Raise `LabelError`; readers do so by default."""
    raise LabelError(str(flaw))


@dataclass
class Origin:
    """The origin of one annotation; a reader adds the picture as soon as it is known.

    Attributes:
        where: see `Flaw`.
        picture: see `Flaw`.
    """

    where: str
    picture: str = ""


@contextmanager
def reporting_flaws(where: str, on_flaw: OnFlaw, picture: str = "") -> Iterator[Origin]:
    """Report any error in one annotation as a flaw; execution continues after the block.

    Args:
        where: file and row of the annotation.
        on_flaw: function that is called with the flaw; it may raise.
        picture: path of its picture, see `Flaw`; the block may set it later.
    """
    origin = Origin(where, picture)
    try:
        yield origin
    except (LabelError, KeyError, ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        on_flaw(Flaw(origin.where, origin.picture, _reason(error)))


def _reason(error: Exception) -> str:
    if isinstance(error, LabelError):
        return str(error)
    return f"{error} is missing" if isinstance(error, KeyError) else f"{type(error).__name__} {error}"


def read_table(values: Any, name: str, columns: Sequence[int]) -> Array:
    """Turn rows of numbers into an array; null becomes NaN.

    Args:
        values: nested lists.
        name: name of the values in error messages.
        columns: allowed lengths of a row.

    Returns:
        (N, one of `columns`); (0, `columns[0]`) for an empty list.

    Raises:
        LabelError: the values are not numbers, or the rows have another length.
    """
    expected = f"rows of {' or '.join(map(str, columns))} numbers"
    table = _to_array(values, name, expected)
    if table.shape == (0,):
        return np.zeros((0, columns[0]))
    if table.ndim != 2 or table.shape[1] not in columns:
        raise LabelError(f"{name} must be {expected}, got {shortened(values)} of shape {table.shape}")
    return table


def read_numbers(values: Any, name: str) -> Array:
    """Turn a list of numbers into an array (N,); null becomes NaN.

    Raises:
        LabelError: the value is not a list of numbers.
    """
    numbers = _to_array(values, name, "a list of numbers")
    if numbers.ndim != 1:
        raise LabelError(f"{name} must be a list of numbers, got {shortened(values)}")
    return numbers


def _to_array(values: Any, name: str, expected: str) -> Array:
    try:
        return np.array(values, float)
    except (TypeError, ValueError, OverflowError) as error:
        raise LabelError(f"{name} must be {expected}, got {shortened(values)}") from error


def check_points(points: Array, flags: Array | None = None) -> None:
    """Check the points of an annotation. NaN stands for a missing point, which cannot be visible.

    Args:
        points: (P, 2) in pixels.
        flags: (P,) visibility of each point.

    Raises:
        LabelError: the message quotes the first bad point.
    """
    _check_count(points, "points")
    missing = np.isnan(points)
    # Comparisons with NaN are false.
    if bad := _first((np.abs(points) > _FARTHEST).any(1) | (missing.any(1) & ~missing.all(1)), points):
        raise LabelError(f"a coordinate is missing, not finite or beyond {_FARTHEST} pixels: {bad}")
    if flags is None:
        return
    if bad := _first(~np.isin(flags, (0, 1, 2)), flags):
        raise LabelError(f"visibility must be 0, 1 or 2, got {bad}")
    check_visible(points, flags > 0)


def check_visible(points: Array, visible: NDArray[np.bool_]) -> None:
    """Raise `LabelError` if a visible point (of (P, 2)) has no coordinates."""
    if (np.isnan(points).any(1) & visible).any():
        raise LabelError("a visible point has no coordinates; give its coordinates, or the visibility 0")


def check_boxes(boxes: Array) -> None:
    """Check boxes (M, 4) of x, y, width and height.

    Raises:
        LabelError: the message quotes the first bad box.
    """
    _check_count(boxes, "boxes")
    if bad := _first(~(np.abs(boxes) <= _FARTHEST).all(1), boxes):
        raise LabelError(f"a box has a number that is missing, not finite or beyond {_FARTHEST} pixels: {bad}")
    if bad := _first((boxes[:, 2:] <= 0).any(1), boxes):
        raise LabelError(f"a box x, y, width, height must have a width and a height of more than 0, got {bad}")


def _check_count(values: Array, name: str) -> None:
    if len(values) > MOST_POINTS:
        raise LabelError(f"an annotation may have up to {MOST_POINTS} {name}, got {len(values)}")


def read_flag(value: Any) -> float:
    """Read one visibility, a number or a word: 0, 1 or 2.

    Raises:
        LabelError: the value is another number or word.

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


def read_fields(value: Any) -> Any:
    """Check the other fields of an annotation, and return them with null for NaN.

    Raises:
        LabelError: a number is infinite or too long to be written again.
    """
    try:
        check_finite(value, nan=True)
    except ValueError as error:
        raise LabelError(str(error)) from error
    return without_nan(value)


def _first(bad: Any, values: Array) -> str:
    """Describe the first bad row; the text is empty if there is none."""
    rows = np.flatnonzero(bad)
    return f"{values[rows[0]].tolist()} (number {rows[0]})" if len(rows) else ""
