"""Align faces for recognition models by the similarity transform that maps five points to a template.

The template is the one that ArcFace and later models use for crops of 112 x 112 pixels.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import LabelError, ShapeError

Points = NDArray[np.float64]
Matrix = NDArray[np.float64]

_SIDE: Final = 112
_TEMPLATE: Final = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
_LEAST_SPREAD: Final = 1e-6  # in squared pixels; points that all coincide have no size or direction


def template(side: int = _SIDE, *, margin: float = 0.0) -> Points:
    """Return the five points of an aligned face: left eye, right eye, nose tip, left and right corner of the mouth.

    Args:
        side: side of the crop in pixels.
        margin: width added at each edge, as a share of the crop's side without a margin.

    Returns:
        (5, 2) in pixels of the crop; left is the viewer's.

    >>> template(112)[0].round(2).tolist(), template(224)[0].round(2).tolist()
    ([38.29, 51.7], [76.59, 103.39])
    """
    scale = side / (_SIDE * (1 + 2 * margin))
    return (np.array(_TEMPLATE) + margin * _SIDE) * scale


def similarity(points: Points, target: Points) -> Matrix:
    """Estimate the similarity transform that maps points to their targets with the least sum of squared distances.

    It rotates, scales and translates, and does not mirror (Umeyama 1991). In the plane, with points as complex
    numbers, the estimate is a linear regression.

    Args:
        points: (P, 2), two or more.
        target: (P, 2).

    Returns:
        (2, 3) matrix of x, y, 1.

    Raises:
        ShapeError: the arrays have other shapes.
        LabelError: a point is missing, or all points coincide.

    >>> similarity(np.array([[0.0, 0], [1, 0]]), np.array([[5.0, 5], [5, 7]])).round(6).tolist()
    [[0.0, -2.0, 5.0], [2.0, 0.0, 5.0]]
    """
    if points.shape != target.shape or points.ndim != 2 or points.shape[1] != 2 or len(points) < 2:
        raise ShapeError(f"points and target must be (P, 2) with P of 2 or more, got {points.shape} and {target.shape}")
    if not (np.isfinite(points).all() and np.isfinite(target).all()):
        raise LabelError("one of the five points for the alignment is missing")
    one, other = (array[:, 0] + 1j * array[:, 1] for array in (points, target))
    centred = one - one.mean()
    spread = float((np.abs(centred) ** 2).sum())
    if spread < _LEAST_SPREAD:
        raise LabelError("the five points for the alignment coincide")
    turn = (centred.conj() * (other - other.mean())).sum() / spread
    shift = other.mean() - turn * one.mean()
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def carry(points: Points, matrix: Matrix) -> Points:
    """Map points (..., 2) by a (2, 3) matrix."""
    carried: Points = points @ matrix[:, :2].T + matrix[:, 2]
    return carried


def invert(matrix: Matrix) -> Matrix:
    """Invert a (2, 3) matrix."""
    inverse = np.linalg.inv(matrix[:, :2])
    return np.concatenate([inverse, -inverse @ matrix[:, 2:]], axis=1)
