"""Find the faces of pictures by a given detector, or by the model's keypoints.

The search is in `search`; its error rates are in docs/decisions/0005-face-detector.md. Faces below a fifth of the
picture's shorter side are missed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from fomaug.animator import Animator
from fomaug.errors import ArgumentError, ShapeError, shortened
from fomaug.faces.canonical import KEYPOINT_POINTS
from fomaug.faces.search import FaceBox, candidates, overlap, refine, size_bonus
from fomaug.faces.squares import Square, face_squares, whole_picture
from fomaug.media import Frame

_REFINED: Final = 3  # candidates that the tracker refines
_REFINED_STILL: Final = 8  # largest number of candidates that are refined in a single picture
_SAME_FACE: Final = 0.3  # overlap of two boxes around one face
_WHOLE: Final = 0.64  # share of the picture above which it is animated as a whole, without a seam

Boxes = Sequence[Sequence[float]]
Detector = Callable[[Frame], Boxes]
"""Function from (H, W, 3) uint8 RGB to face boxes (left, top, right, bottom) in pixels."""


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
            found = min(refined, key=lambda one: (not one.is_face, one.deviation - size_bonus(one.window)))
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
        return _checked(detector(picture))
    if not is_face_model(model):
        raise ArgumentError(
            f"the keypoints of model {model.name!r} are not known points of the face, so it cannot find faces; "
            "give a detector"
        )
    return _search(picture, model)


def _checked(found: Boxes) -> list[FaceBox]:
    """Check the result of a detector."""
    boxes: list[FaceBox] = []
    try:
        for box in found:
            left, top, right, bottom = (float(edge) for edge in box[:4])
            boxes.append((left, top, right, bottom))
    except (TypeError, ValueError, IndexError) as cause:
        raise ShapeError(
            "a detector must return a list of boxes (left, top, right, bottom), which is empty if there is no face, "
            f"got {shortened(found)}"
        ) from cause
    return boxes


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
