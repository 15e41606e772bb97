"""Find the faces of pictures by a given detector, or by the model's keypoints.

A keypoint detector reports the points of a face everywhere, so a candidate must pass three checks: its box stays the
same when the search zooms in on it, its points are arranged like those of the mean face, and each point has the same
position in the mirror image. Their error rates are in docs/decisions/0005-face-detector.md. Faces below a fifth of the
picture's shorter side are missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fomaug.animator import Animator
from fomaug.errors import ArgumentError, ShapeError
from fomaug.faces.canonical import KEYPOINT_POINTS, mean_mesh, mesh_keypoints
from fomaug.faces.square import FACE_SHARE, Square, face_squares, overlap, square_at, whole_picture
from fomaug.faces.steady import is_steady
from fomaug.geometry import normalise
from fomaug.media import Frame, to_unit

_WINDOW_SHARES: Final = (0.65, 0.4)  # sides of the smaller search windows, in shorter sides of the picture
_REFINED: Final = 3  # candidates that the tracker refines
_REFINED_STILL: Final = 8  # largest number of candidates that are refined in a single picture
_ROUNDS: Final = 6  # of zooming in on a candidate
_SETTLED: Final = 0.85  # overlap of a face's box with that of the round before
_MOST_DEVIATION: Final = 0.15  # from the mean face's pose, in face sizes; real clips reach 0.15, most stay below 0.1
_SIZE_BONUS: Final = 0.03  # deviation that doubling the size of a face makes up for
_BATCH: Final = 16
_SAME_FACE: Final = 0.3  # overlap of two boxes around one face
_WHOLE: Final = 0.64  # share of the picture above which it is animated as a whole, without a seam

Boxes = Sequence[Sequence[float]]
Detector = Callable[[Frame], Boxes]
"""Function from (H, W, 3) uint8 RGB to face boxes (left, top, right, bottom) in pixels."""

FaceBox = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels."""


class Candidate(NamedTuple):
    """A search window that may contain a face.

    Attributes:
        box: box around the keypoints, in the picture's pixels.
        window: square that was searched.
        score: deviation of the keypoints from a face, less a bonus for size; lower is better.
    """

    box: FaceBox
    window: Square
    score: float


class Detection(NamedTuple):
    """Result of zooming in on a candidate.

    Attributes:
        box: box around the keypoints, in the picture's pixels.
        window: square around the box.
        deviation: distance from the mean face's pose, in face sizes.
        is_face: whether the detection passed all checks.
    """

    box: FaceBox
    window: Square
    deviation: float
    is_face: bool


class FaceTracker:
    """A function that finds the face in each frame of a clip; each search starts at the last face.

    Args:
        model: animator whose keypoints are known points of the face.
    """

    def __init__(self, model: Animator) -> None:
        self.model = model
        self._window: Square | None = None

    def __call__(self, picture: Frame) -> list[FaceBox]:
        """Find the face of the next frame.

        Args:
            picture: (H, W, 3) uint8 RGB.

        Returns:
            One box (left, top, right, bottom) in pixels, or none.
        """
        found = refine(self.model, picture, self._window) if self._window else None
        if found is None or not found.is_face:
            refined = [refine(self.model, picture, c.window) for c in candidates(self.model, picture)[:_REFINED]]
            found = min(refined, key=lambda one: (not one.is_face, one.deviation - _bonus(one.window)))
        self._window = found.window if found.is_face else None
        return [found.box] if found.is_face else []


def is_face_model(model: Animator) -> bool:
    """Return whether the model's keypoints are tied to known points of the face."""
    return tuple(model.keypoint_names) == tuple(KEYPOINT_POINTS)


def check_finder(model: Animator, detector: Detector | None) -> None:
    """Raise `ArgumentError` if neither the detector nor the model can find faces."""
    if detector is None and not is_face_model(model):
        raise ArgumentError(
            f"the keypoints of model {model.name!r} are not known points of the face, so it cannot find faces; give a "
            "detector or face boxes, or animate whole frames"
        )


def find_squares(picture: Frame, model: Animator, *, detector: Detector | None = None) -> tuple[Square, ...]:
    """Find the faces of a picture, and return a square around each.

    Args:
        picture: (H, W, 3) uint8 RGB.
        model: animator that finds the faces if there is no detector.
        detector: function from a picture to the boxes of its faces.

    Returns:
        Squares, the most certain first; none if there is no face. The square of a single face that fills the picture is
        the whole picture.
    """
    size = picture.shape[0], picture.shape[1]
    squares = face_squares(face_boxes(picture, model, detector=detector), size)
    if len(squares) == 1 and math.prod(squares[0].size) > _WHOLE * math.prod(size):
        return (whole_picture(size),)
    return squares


def face_boxes(picture: Frame, model: Animator, *, detector: Detector | None = None) -> list[FaceBox]:
    """Find the faces of a picture.

    Without a detector, a model whose keypoints are face points finds upright faces that are at least about a fifth of
    the picture's shorter side high.

    Args:
        picture: (H, W, 3) uint8 RGB.
        model: animator that finds the faces if there is no detector.
        detector: function from a picture to the boxes of its faces.

    Returns:
        Boxes (left, top, right, bottom) in pixels, the most certain first; none if there is no face.

    Raises:
        ShapeError: the picture or the detector's result has another shape or dtype.
        ArgumentError: there is no detector, and the model's keypoints are not known points of the face.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise ShapeError(f"picture must be (H, W, 3) uint8, got {picture.shape} {picture.dtype}")
    if detector is not None:
        return [_checked(box) for box in detector(picture)]
    if not is_face_model(model):
        raise ArgumentError(
            f"the keypoints of model {model.name!r} are not known points of the face, so it cannot find faces; "
            "give a detector"
        )
    return _search(picture, model)


def _checked(box: Sequence[float]) -> FaceBox:
    if len(box) < 4:
        raise ShapeError(f"a face box must be (left, top, right, bottom), got {tuple(box)}")
    left, top, right, bottom = (float(edge) for edge in box[:4])
    return left, top, right, bottom


def _search(picture: Frame, model: Animator) -> list[FaceBox]:
    """Refine the best candidates that are not around a face found before."""
    found: list[FaceBox] = []
    refined = 0
    for candidate in candidates(model, picture):
        if refined == _REFINED_STILL:
            break
        if _is_new(candidate.box, found):
            detection = refine(model, picture, candidate.window)
            refined += 1
            if detection.is_face and _is_new(detection.box, found):
                found.append(detection.box)
    return found


def _is_new(box: FaceBox, found: Sequence[FaceBox]) -> bool:
    return all(overlap(box, other) < _SAME_FACE for other in found)


def candidates(model: Animator, picture: Frame) -> list[Candidate]:
    """Detect keypoints in windows all over the picture; the window that is most like a face comes first."""
    windows = list(_windows(picture.shape[0], picture.shape[1]))
    found: list[Candidate] = []
    for start in range(0, len(windows), _BATCH):
        some = windows[start : start + _BATCH]
        points = _detect(model, [window.cut_pixels(picture) for window in some])
        for row, (window, deviation) in enumerate(zip(some, _deviation(points), strict=True)):
            box = _box_around(points[row], window)
            found.append(Candidate(box, window, deviation - _bonus(window)))
    return sorted(found, key=lambda candidate: candidate.score)


def refine(model: Animator, picture: Frame, window: Square) -> Detection:
    """Recentre the window on its keypoints until it converges, then check whether they are the keypoints of a face."""
    box: FaceBox | None = None
    settled = False
    for _ in range(_ROUNDS):
        points = _detect(model, [window.cut_pixels(picture)])
        before, box = box, _box_around(points[0], window)
        window = square_at(box, FACE_SHARE, picture.shape)
        settled = before is not None and overlap(before, box) >= _SETTLED
        if settled:
            break
    assert box is not None
    deviation = _deviation(points)[0]
    looks_right = settled and deviation <= _MOST_DEVIATION
    return Detection(box, window, deviation, looks_right and is_steady(model, window.cut_pixels(picture)))


def _detect(model: Animator, parts: Sequence[Frame]) -> Tensor:
    """Detect keypoints (B, K, 2) in parts of a picture, each in its own padded square."""
    side = model.size
    squares = [part if len(parts) == 1 else np.array(Image.fromarray(part).resize((side, side))) for part in parts]
    return model.detect(to_unit(np.stack(squares))).value.float().cpu()


def _windows(height: int, width: int) -> Iterator[Square]:
    """Yield squares that cover the picture, of three sizes, each half over the next."""
    short = min(height, width)
    for share in (1.0, *_WINDOW_SHARES):
        side = max(1, round(share * short))
        for top in _starts(height, side):
            for left in _starts(width, side):
                yield Square(left, top, left + side, top + side)


def _starts(length: int, side: int) -> list[int]:
    # Narrow strips contain no face; the limit avoids thousands of windows on them.
    count = min(24, 1 + math.ceil((length - side) / (side / 2)))
    return [round(start) for start in np.linspace(0, length - side, count)]


def _bonus(window: Square) -> float:
    """Return the bonus for size: of two windows with equal deviations, the larger one is more often the face."""
    return _SIZE_BONUS * math.log2(window.right - window.left)


def _deviation(points: Tensor) -> list[float]:
    """Return the distance of each pose (B, K, 2) from the mean face's, whatever its position and size."""
    face = normalise(mesh_keypoints(mean_mesh()[None]).value)
    distances: list[float] = (normalise(points) - face).square().sum(-1).mean(-1).sqrt().tolist()
    return distances


def window_keypoints(model: Animator, picture: Frame, window: Square) -> NDArray[np.float64]:
    """Detect the keypoints (K, 2) of the face in a window, in the picture's pixels.

    Args:
        model: animator whose keypoints are known points of the face.
        picture: (H, W, 3) uint8 RGB.
        window: square around the face.
    """
    return _in_picture(_detect(model, [window.cut_pixels(picture)])[0], window)


def _box_around(points: Tensor, window: Square) -> FaceBox:
    """Return the box around keypoints (K, 2) of a window, in the picture's pixels."""
    pixels = _in_picture(points, window)
    (left, top), (right, bottom) = pixels.min(0).tolist(), pixels.max(0).tolist()
    return left, top, right, bottom


def _in_picture(points: Tensor, window: Square) -> NDArray[np.float64]:
    """Convert keypoints (K, 2) of a window, which is padded to a square, to the picture's pixels."""
    height, width = window.size
    side = max(height, width)
    padding = np.array([(side - width) // 2, (side - height) // 2])
    pixels: NDArray[np.float64] = (points.double().numpy() + 1) / 2 * (side - 1) - padding + np.array(window[:2])
    return pixels
