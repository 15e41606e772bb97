"""Landmark schemes by name: their points, the pairs that a mirror swaps, and five points for alignment.

Left and right are those of the viewer. A scheme numbers points from 0, in the order of its publication: 21 points of
AFLW, 29 of COFW, 68 of iBUG and 300-W, 98 of WFLW, 106 of JD-landmark and LaPa, 478 of the MediaPipe face mesh with
irises. Some datasets number 106 points in another order, and a point count cannot distinguish them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import LabelError
from fomaug.files import ARRAYS, open_regular

Points = NDArray[np.float64]
Pairs = tuple[tuple[int, int], ...]

FIVE_NAMES: Final = ("left eye", "right eye", "nose tip", "left mouth corner", "right mouth corner")
"""Names of the five points for the alignment of faces, in their order."""


@dataclass(frozen=True)
class Scheme:
    """A landmark scheme.

    Attributes:
        name: name of the scheme, the number of its points.
        num_points: number of points of a face.
        pairs: pairs of points that a mirror swaps; all other points are on the middle line.
        five: points whose means are the five points of `FIVE_NAMES`.
    """

    name: str
    num_points: int
    pairs: Pairs
    five: tuple[tuple[int, ...], ...]

    @property
    def mirror(self) -> NDArray[np.int64]:
        """(P,) index of the mirrored counterpart of each point."""
        order = np.arange(self.num_points)
        for one, other in self.pairs:
            order[[one, other]] = other, one
        return order


def find_scheme(name: str | int) -> Scheme:
    """Find a scheme by its name or number of points.

    Raises:
        LabelError: there is no such scheme.

    >>> find_scheme(68).five[2]
    (30,)
    """
    schemes = _schemes()
    if str(name) not in schemes:
        raise LabelError(f"no landmark scheme has {name} points; the schemes are {', '.join(schemes)}")
    return schemes[str(name)]


def scheme_names() -> tuple[str, ...]:
    """Return the names of all schemes.

    >>> scheme_names()
    ('5', '21', '29', '68', '98', '106', '478')
    """
    return tuple(_schemes())


def five_points(points: Points, scheme: Scheme | None = None) -> Points:
    """Derive the five points for the alignment of a face.

    Args:
        points: (P, 2) landmarks of one face, in pixels.
        scheme: scheme of the landmarks; None finds it by their number.

    Returns:
        (5, 2), in the order of `FIVE_NAMES`; NaN where a point is missing.

    Raises:
        LabelError: no scheme has this number of points.
    """
    scheme = scheme or find_scheme(len(points))
    missing = ~np.isfinite(points).all(1) | (points == -1).all(1)
    present = np.where(missing[:, None], np.nan, points)
    return np.stack([present[list(part)].mean(0) for part in scheme.five])


def mirror_points(points: Points, scheme: Scheme | str | int, *, width: int) -> Points:
    """Mirror landmarks at the vertical middle line of their picture, and swap left and right.

    Args:
        points: (..., P, 2) landmarks in pixels; (0, 0) is the centre of the first pixel.
        scheme: scheme of the landmarks, or its name.
        width: width of the picture in pixels.

    Returns:
        (..., P, 2) landmarks of the mirrored picture in the order of the scheme; missing points stay missing.

    Raises:
        LabelError: the scheme is unknown, or has another number of points.
    """
    scheme = scheme if isinstance(scheme, Scheme) else find_scheme(scheme)
    if points.shape[-2:] != (scheme.num_points, 2):
        raise LabelError(f"points of scheme {scheme.name} must be (..., {scheme.num_points}, 2), got {points.shape}")
    swapped: Points = points[..., scheme.mirror, :]
    missing = (swapped == -1).all(-1)
    flipped = np.stack([width - 1 - swapped[..., 0], swapped[..., 1]], -1)
    return np.where(missing[..., None], swapped, flipped)


def mirror_order(counts: Iterable[int]) -> list[int]:
    """Return the index of the mirrored counterpart of each landmark of some faces, one face after another.

    Args:
        counts: number of landmarks of each face; those of a number that no scheme has stay in their order.

    >>> mirror_order([5, 2])
    [1, 0, 2, 4, 3, 5, 6]
    """
    order: list[int] = []
    for count in counts:
        known = _schemes().get(str(count))
        own = range(count) if known is None else known.mirror.tolist()
        order += [len(order) + index for index in own]
    return order


@cache
def _schemes() -> dict[str, Scheme]:
    every = (_five(), _aflw(), _cofw(), _ibug(), _wflw(), _jd(), _mesh())
    return {scheme.name: scheme for scheme in every}


def _scheme(pairs: Iterable[tuple[int, int]], num_points: int, *five: Iterable[int]) -> Scheme:
    return Scheme(str(num_points), num_points, tuple(sorted(pairs)), tuple(tuple(part) for part in five))


def _facing(first: int, last: int) -> list[tuple[int, int]]:
    """Pair the points of a row that runs from left to right: the first with the last, and so on."""
    return [(first + step, last - step) for step in range((last - first + 1) // 2)]


def _rows(left: Iterable[int], right: Iterable[int]) -> list[tuple[int, int]]:
    return list(zip(left, right, strict=True))


def _five() -> Scheme:
    return _scheme([(0, 1), (3, 4)], 5, [0], [1], [2], [3], [4])


def _aflw() -> Scheme:
    brows_and_eyes = _facing(0, 5) + _facing(6, 11)
    ears_nose_mouth = [(12, 16), (13, 15), (17, 19)]
    return _scheme(brows_and_eyes + ears_nose_mouth, 21, [7], [10], [14], [17], [19])


def _cofw() -> Scheme:
    brows = [(0, 1), (2, 3), (4, 6), (5, 7)]
    eyes = [(8, 9), (10, 11), (12, 14), (13, 15), (16, 17)]
    return _scheme([*brows, *eyes, (18, 19), (22, 23)], 29, [16], [17], [20], [22], [23])


def _ibug() -> Scheme:
    rows = [_facing(0, 16), _facing(17, 26), _facing(31, 35), _facing(48, 54), _facing(60, 64)]
    eyes = _rows([36, 37, 38, 39, 40, 41], [45, 44, 43, 42, 47, 46])
    below = [*_facing(55, 59), *_facing(65, 67)]
    pairs = [pair for row in rows for pair in row] + eyes + below
    return _scheme(pairs, 68, range(36, 42), range(42, 48), [30], [48], [54])


def _wflw() -> Scheme:
    brows = _rows(range(33, 42), [46, 45, 44, 43, 42, 50, 49, 48, 47])
    eyes = _rows(range(60, 68), [72, 71, 70, 69, 68, 75, 74, 73])
    lips = [*_facing(76, 82), *_facing(83, 87), *_facing(88, 92), *_facing(93, 95)]
    pairs = [*_facing(0, 32), *brows, *_facing(55, 59), *eyes, *lips, (96, 97)]
    return _scheme(pairs, 98, [96], [97], [54], [76], [82])


def _jd() -> Scheme:
    brows = _rows(range(33, 42), [46, 45, 44, 43, 42, 50, 49, 48, 47])
    eyes = _rows(range(66, 75), [79, 78, 77, 76, 75, 82, 81, 80, 83])
    lips = [*_facing(84, 90), *_facing(91, 95), *_facing(96, 100), *_facing(101, 103)]
    pairs = [*_facing(0, 32), *brows, *_facing(55, 65), *eyes, *lips, (104, 105)]
    return _scheme(pairs, 106, [104], [105], [54], [84], [90])


def _mesh() -> Scheme:
    """Make the scheme of the face mesh from the mean face in the package."""
    with (
        as_file(files("fomaug") / "assets" / "face.npz") as path,
        open_regular(path, ARRAYS) as file,
        np.load(file, allow_pickle=False) as data,
    ):
        order = data["mirror"].astype(int).tolist()
    pairs = [(one, other) for one, other in enumerate(order) if one < other]
    return _scheme(pairs, 478, [468], [473], [1], [61], [291])
