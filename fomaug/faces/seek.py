"""Looking for the face of a clip with the model's own keypoints: no other detector is needed.

A detector of face points answers every picture with points in the shape of a face. Three things tell a true answer:
looked at closer, the face stays where it is; the points lie as those of a face do; and each stays where it is in a
mirror. How often that is right stands in docs/decisions/0005-face-detector.md. Faces below a fifth of the frame's
shorter side are missed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fomaug.animator import Animator
from fomaug.faces.canonical import mean_mesh, mesh_keypoints
from fomaug.faces.square import FACE_SHARE, Box, cut, square_at, to_batch
from fomaug.faces.steady import is_steady
from fomaug.geometry import normalise
from fomaug.media import Frame

_WINDOWS: Final = (0.65, 0.4)  # sides of the squares searched after the whole frame, in shorter sides of the frame
_BEST: Final = 3  # squares that are looked at closer
_ROUNDS: Final = 6
_SETTLED: Final = 0.85  # overlap of a face's box with the one found before, from a little farther away
_ODD: Final = 0.15  # distance from the mean face's pose, in face sizes; real clips reach 0.15, most stay below 0.1
_SMALL: Final = 0.03  # oddness that a face of half the size must make up for
_AT_ONCE: Final = 16


FaceBox = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels."""


class Guess(NamedTuple):
    """What the points of one square of a frame say.

    Attributes:
        box: around the points, in the frame's pixels.
        window: the square.
        score: how little that looks like a face.
    """

    box: FaceBox
    window: Box
    score: float


class Sight(NamedTuple):
    """What was found by looking closer.

    Attributes:
        box: around the points, in the frame's pixels.
        window: a square around it.
        oddness: distance from the mean face's pose, in face sizes.
        is_face: whether it passed all checks.
    """

    box: FaceBox
    window: Box
    oddness: float
    is_face: bool


class FaceSeeker:
    """Finds the face of one frame after the other of a clip, starting where it was last.

    Args:
        model: whose keypoints are known points of the face.
    """

    def __init__(self, model: Animator) -> None:
        self.model = model
        self._window: Box | None = None

    def __call__(self, picture: Frame) -> list[FaceBox]:
        """Find the face.

        Args:
            picture: (H, W, 3) uint8 RGB.

        Returns:
            One box (left, top, right, bottom) in pixels, or none.
        """
        sight = self.closer(picture, self._window) if self._window else None
        if sight is None or not sight.is_face:
            sight = self._search(picture)
        self._window = sight.window if sight.is_face else None
        return [sight.box] if sight.is_face else []

    def guesses(self, picture: Frame) -> list[Guess]:
        """Look at the whole frame and at squares all over it; what looks most like a face comes first."""
        windows = list(_windows(picture.shape[0], picture.shape[1]))
        guesses: list[Guess] = []
        for start in range(0, len(windows), _AT_ONCE):
            some = windows[start : start + _AT_ONCE]
            points = self._points([cut(picture, window) for window in some])
            for row, (window, oddness) in enumerate(zip(some, _oddness(points), strict=True)):
                box = _box(points[row : row + 1], cut(picture, window), window)
                guesses.append(Guess(box, window, oddness + _cost(window)))
        return sorted(guesses, key=lambda guess: guess.score)

    def _search(self, picture: Frame) -> Sight:
        """Look closer where the frame looks most like a face."""
        sights = [self.closer(picture, guess.window) for guess in self.guesses(picture)[:_BEST]]
        return min(sights, key=lambda sight: (not sight.is_face, sight.oddness + _cost(sight.window)))

    def closer(self, picture: Frame, window: Box | None) -> Sight:
        """Centre the view on what was found, again and again, until it stays."""
        box: FaceBox | None = None
        settled = False
        for _ in range(_ROUNDS):
            part = cut(picture, window)
            points = self._points([part])
            before, box = box, _box(points, part, window)
            window = square_at(box, FACE_SHARE, picture.shape[:2])
            settled = before is not None and overlap(before, box) >= _SETTLED
            if settled:
                break
        assert box is not None
        assert window is not None
        oddness = _oddness(points)[0]
        looks_it = settled and oddness <= _ODD
        return Sight(box, window, oddness, looks_it and is_steady(self.model, cut(picture, window)))

    def _points(self, parts: Sequence[Frame]) -> Tensor:
        """Keypoints (B, K, 2) of pictures of any size, each in its own padded square."""
        side = self.model.size
        squares = [part if len(parts) == 1 else np.array(Image.fromarray(part).resize((side, side))) for part in parts]
        return self.model.detect(to_batch(squares)).value.float().cpu()


def _windows(height: int, width: int) -> Iterator[Box]:
    """The middle square and smaller ones, each half over the next."""
    short = min(height, width)
    for share in (1.0, *_WINDOWS):
        side = max(1, round(share * short))
        for top in _steps(height, side):
            for left in _steps(width, side):
                yield left, top, left + side, top + side


def _steps(length: int, side: int) -> list[int]:
    # The limit spares strips, which hold no face, thousands of looks.
    count = min(24, 1 + math.ceil((length - side) / (side / 2)))
    return [round(place) for place in np.linspace(0, length - side, count)]


def _cost(window: Box) -> float:
    """Of two things that look alike, the larger is the face."""
    return -_SMALL * math.log2(window[2] - window[0])


def _oddness(points: Tensor) -> list[float]:
    """How little points (B, K, 2) lie like those of a frontal face, each: place and size do not matter."""
    face = normalise(mesh_keypoints(mean_mesh()[None]).value)
    distances: list[float] = (normalise(points) - face).square().sum(-1).mean(-1).sqrt().tolist()
    return distances


def _box(points: Tensor, part: Frame, window: Box | None) -> FaceBox:
    """The box around the points of one part of a frame, in the frame's pixels."""
    height, width = part.shape[:2]
    square = max(height, width)
    padding = np.array([(square - width) // 2, (square - height) // 2])
    corner = np.array(window[:2] if window else (0, 0))
    pixels: NDArray[np.float64] = (points[0].double().numpy() + 1) / 2 * (square - 1) - padding + corner
    (left, top), (right, bottom) = pixels.min(0).tolist(), pixels.max(0).tolist()
    return left, top, right, bottom


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared) if shared else 0.0
