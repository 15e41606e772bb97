"""Make aligned crops: find the five points of a face, and map picture and labels by the similarity to a template."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fomaug.animator import Animator
from fomaug.errors import ArgumentError, LabelError, ShapeError
from fomaug.faces import find_squares, is_face_model, window_keypoints
from fomaug.labels import FaceLabels, five_points, single_faces
from fomaug.media import Frame, Picture

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
PointSource = Literal["auto", "annotations", "model"]
PointDetector = Callable[[Frame], "Points | Sequence[Sequence[Sequence[float]]]"]
"""Function from (H, W, 3) uint8 RGB to five points (N, 5, 2) of each face in pixels, the most certain face first."""
_FIVE: Final = ("iris right", "iris left", "nose tip", "mouth corner right", "mouth corner left")
"""Keypoints of face models in the order of the template; their names are by the person's own sides."""


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


@dataclass(frozen=True)
class Aligner:
    """A function from a picture to its aligned crop.

    Attributes:
        side: side of the crops in pixels.
        margin: see `template`.
        locate: function from a picture and its labels to five points (5, 2) in pixels.
    """

    side: int
    margin: float
    locate: Callable[[Picture, FaceLabels | None], Points]

    def __call__(self, picture: Picture, labels: FaceLabels | None) -> tuple[Picture, FaceLabels | None]:
        """Align the face of a picture.

        Raises:
            LabelError: the picture has no face, or a point of it is missing.
        """
        matrix = similarity(self.locate(picture, labels), template(self.side, margin=self.margin))
        pixels = warp_pixels(picture.pixels, matrix, self.side)
        carried = None if labels is None else carry_labels(labels, matrix, self.side)
        return replace(picture, pixels=pixels, alpha=None, encode_format="jpeg"), carried


def make_aligner(
    side: int, margin: float, points: PointSource, *, model: Animator | None, detector: PointDetector | None
) -> Aligner:
    """Make the function that aligns faces.

    Args:
        side: side of the crops in pixels.
        margin: see `template`.
        points: origin of the points: "annotations" or "model"; "auto" is the model if one is given.
        model: face model whose keypoints are used.
        detector: function that finds the points; it takes precedence over annotations and model.

    Raises:
        ArgumentError: a number is out of range, or the model's keypoints are not known points of the face.
    """
    if side < 16 or not 0 <= margin <= 2:
        raise ArgumentError(f"align must be 16 pixels or more and margin from 0 to 2, got {side} and {margin}")
    if detector is not None:
        return Aligner(side, margin, _by_detector(detector))
    if points == "annotations" or model is None:
        return Aligner(side, margin, _by_annotations)
    if not is_face_model(model):
        raise ArgumentError(
            f"the keypoints of model {model.name!r} are not known points of the face; give annotations with "
            "landmarks, a detector, or another model"
        )
    return Aligner(side, margin, _by_model(model))


def _by_annotations(picture: Picture, labels: FaceLabels | None) -> Points:
    """Return the five points of the largest annotated face."""
    del picture
    faces = [face for face in single_faces(labels) if face.points is not None] if labels is not None else []
    found = [five_points(face.points) for face in faces if face.points is not None]
    whole = [points for points in found if np.isfinite(points).all()]
    if not whole:
        raise LabelError("has no face with the five points for the alignment")
    return max(whole, key=lambda points: float(np.ptp(points, axis=0).prod()))


def _by_detector(detector: PointDetector) -> Callable[[Picture, FaceLabels | None], Points]:
    def locate(picture: Picture, labels: FaceLabels | None) -> Points:
        del labels
        found = _to_points(detector(picture.rgb))
        if not len(found):
            raise LabelError("has no face that the detector could find")
        if found.ndim != 3 or found.shape[1:] != (5, 2):
            raise ShapeError(f"the detector must return five points (N, 5, 2) of each face, got {found.shape}")
        points: Points = found[0]
        return points

    return locate


def _to_points(returned: object) -> Points:
    try:
        return np.atleast_1d(np.asarray(returned, float))
    except (TypeError, ValueError) as cause:
        kind = type(returned).__name__
        raise ShapeError(f"the detector must return five points (N, 5, 2) of each face, got {kind}") from cause


def _by_model(model: Animator) -> Callable[[Picture, FaceLabels | None], Points]:
    order = [model.keypoint_names.index(name) for name in _FIVE]

    def locate(picture: Picture, labels: FaceLabels | None) -> Points:
        del labels
        squares = find_squares(picture.rgb, model)
        if not squares:
            raise LabelError("has no face that the model could find")
        return window_keypoints(model, picture.rgb, squares[0])[order]

    return locate


def warp_pixels(pixels: NDArray[np.generic], matrix: Matrix, side: int) -> NDArray[np.uint8]:
    """Warp pixels into a square by a similarity transform; parts outside of the picture are black.

    Args:
        pixels: (H, W, 1) or (H, W, 3), uint8 or uint16.
        matrix: (2, 3) from the picture's pixels to those of the square.
        side: side of the square.

    Returns:
        (side, side, 1 or 3).
    """
    eight = (pixels >> 8 if pixels.dtype == np.uint16 else pixels).astype(np.uint8)  # type: ignore[operator]
    image = Image.fromarray(eight[..., 0] if eight.shape[2] == 1 else eight)
    # A crop of less than half the size skips pixels, so the picture is reduced first.
    factor = max(1, int(1 / math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))))
    inverse = invert(matrix)
    # Pillow counts from the edge of the first pixel, and not from its centre.
    inverse[:, 2] += 0.5 - inverse[:, :2] @ [0.5, 0.5]
    if factor > 1:
        image = image.reduce(factor)
    coefficients = (inverse / factor).reshape(-1).tolist()
    crop = image.transform((side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC)
    array = np.asarray(crop)
    return array[..., None] if array.ndim == 2 else array


def carry_labels(labels: FaceLabels, matrix: Matrix, side: int) -> FaceLabels:
    """Map landmarks and boxes into an aligned crop; masks and segmentations are left out.

    A box becomes the bounding box of its mapped corners, clipped to the crop.
    """
    points, visible, boxes, box_visible = labels.points, labels.visible, labels.boxes, labels.box_visible
    if points is not None:
        missing = ~np.isfinite(points).all(1) | (points == -1).all(1)
        points = np.where(missing[:, None], points, carry(points, matrix))
        visible = _both(labels.points_seen, _inside(points, side))
    if boxes is not None:
        corners = np.stack([boxes[:, [0, 1]], boxes[:, [2, 1]], boxes[:, [2, 3]], boxes[:, [0, 3]]], 1)
        carried = carry(corners, matrix)
        centres = carried.mean(1)
        seen = np.ones(len(boxes), bool) if box_visible is None else box_visible
        box_visible = _both(seen, _inside(centres, side))
        boxes = np.concatenate([carried.min(1), carried.max(1)], 1).clip(0, side - 1)
    fields = {name: value for name, value in labels.fields.items() if name != "tight"}
    return FaceLabels(points, visible, boxes, box_visible, fields=fields)


def _inside(points: Points, side: int) -> NDArray[np.bool_]:
    least: Points = points.min(-1)
    most: Points = points.max(-1)
    return _both(least >= 0, most <= side - 1)


def _both(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return one & other
