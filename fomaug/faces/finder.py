"""All faces of one picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from fomaug.animator import Animator
from fomaug.errors import ArgumentError, ShapeError
from fomaug.faces.canonical import KEYPOINT_POINTS
from fomaug.faces.seek import FaceBox, FaceSeeker, overlap
from fomaug.media import Frame

_LOOKS: Final = 8  # that a picture is worth at most
_SAME: Final = 0.3  # overlap of two boxes around one face

Boxes = Sequence[Sequence[float]]
Detector = Callable[[Frame], Boxes]
"""(H, W, 3) uint8 RGB to face boxes (left, top, right, bottom) in pixels, none if there is no face."""


def is_face_model(model: Animator) -> bool:
    """Whether the model's keypoints are tied to known points of the face."""
    return tuple(model.keypoint_names) == tuple(KEYPOINT_POINTS)


def face_boxes(picture: Frame, model: Animator, *, detector: Detector | None = None) -> list[FaceBox]:
    """Find the faces of a picture.

    Without a detector, a model whose keypoints are face points looks for upright faces that are at least about a fifth
    of the picture's shorter side high.

    Args:
        picture: (H, W, 3) uint8 RGB.
        model: that will animate them.
        detector: finds face boxes in a picture.

    Returns:
        Boxes (left, top, right, bottom) in pixels, those that the model is surest of first; none if there is no face.

    Raises:
        ShapeError: the picture is of another shape or kind, or the detector's answer is.
        ArgumentError: no detector is given, and the model does not know which points of a face its keypoints are.
    """
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise ShapeError(f"picture must be (H, W, 3) uint8, got {picture.shape} {picture.dtype}")
    if detector is not None:
        return [_checked(box) for box in detector(picture)]
    if not is_face_model(model):
        raise ArgumentError(
            f"model {model.name!r} does not know which points of a face its keypoints are, so it finds none; "
            "give a detector"
        )
    return _look(picture, model)


def _look(picture: Frame, model: Animator) -> list[FaceBox]:
    seeker = FaceSeeker(model)
    found: list[FaceBox] = []
    looks = 0
    for guess in seeker.guesses(picture):
        if looks == _LOOKS:
            break
        if _is_new(guess.box, found):
            sight = seeker.closer(picture, guess.window)
            looks += 1
            if sight.is_face and _is_new(sight.box, found):
                found.append(sight.box)
    return found


def _is_new(box: FaceBox, found: Sequence[FaceBox]) -> bool:
    return all(overlap(box, other) < _SAME for other in found)


def _checked(box: Sequence[float]) -> FaceBox:
    if len(box) < 4:
        raise ShapeError(f"a face box must be (left, top, right, bottom), got {tuple(box)}")
    left, top, right, bottom = (float(edge) for edge in box[:4])
    return left, top, right, bottom
