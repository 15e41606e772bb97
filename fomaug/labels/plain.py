"""Labels as plain JSON, in the form of the rows of an expanded dataset: write them, and read them with all checks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import LabelError, did_you_mean, shortened
from fomaug.labels.checks import (
    Array,
    check_boxes,
    check_points,
    check_visible,
    read_fields,
    read_flag,
    read_table,
)
from fomaug.labels.faces import FaceLabels, check_names, face_boxes
from fomaug.labels.segments import Segment, read_segment
from fomaug.untrusted import without_nan

_NAMES: Final = ("points", "visible", "boxes", "box_visible", "segments", "fields")
_ARRAYS: Final[dict[str, tuple[type, int]]] = {
    "points": (float, 2),
    "visible": (bool, 0),
    "boxes": (float, 4),
    "box_visible": (bool, 0),
}
"""Type of each array and length of its rows; 0 for one-dimensional arrays."""


def to_plain(labels: FaceLabels) -> dict[str, Any]:
    """Convert labels to plain JSON, without the mask, which is a file."""
    arrays = {name: _rounded(getattr(labels, name)) for name in _ARRAYS}
    segments = None if labels.segments is None else list(labels.segments)
    values = {**arrays, "segments": segments}
    return {name: value for name, value in values.items() if value is not None} | {"fields": labels.fields}


def _rounded(array: NDArray[Any] | None) -> list[Any] | None:
    if array is None:
        return None
    found: list[Any] = (array if array.dtype == bool else array.round(3)).tolist()
    return list(without_nan(found))


def from_plain(values: Mapping[str, Any]) -> FaceLabels:
    """Convert the result of `to_plain` to labels, without the checks of `read_plain`."""
    arrays: dict[str, Any] = {}
    for name, (kind, width) in _ARRAYS.items():
        if name in values:
            array: NDArray[Any] = np.array(values[name], kind)
            count = len(values[name])
            arrays[name] = array.reshape((count, width) if width else (count,))
    segments = tuple(values["segments"]) if "segments" in values else None
    return FaceLabels(**arrays, segments=segments, fields=values.get("fields", {}))


def read_plain(values: Mapping[str, Any]) -> FaceLabels:
    """Read labels from plain JSON; None stands for a value that is absent, as in tables of structures.

    Args:
        values: mapping with any of `points` [[x, y], ...], `visible` [bool, ...], `boxes` [[x0, y0, x1, y1], ...],
            `box_visible` [bool, ...], `segments` [polygons or run lengths, ...] and `fields`, which are kept.
            Coordinates are in pixels, with (0, 0) at the centre of the first one.

    Raises:
        LabelError: a name is unknown, or a value has another form.

    >>> read_plain({"points": [[3, 4]], "visible": [True]}).points
    array([[3., 4.]])
    """
    for name in values:
        if name not in _NAMES:
            hint = did_you_mean(str(name), _NAMES)
            raise LabelError(f"an annotation may have the names {', '.join(_NAMES)}, got {name!r}{hint}")
    given = {name: value for name, value in values.items() if value is not None}
    points, boxes = _points(given), _boxes(given)
    labels = FaceLabels(
        points=points,
        visible=_flags(given.get("visible"), points, "visible"),
        boxes=boxes,
        box_visible=_flags(given.get("box_visible"), boxes, "box_visible"),
        segments=_segments(given.get("segments")),
        fields=_fields(given.get("fields", {})),
    )
    if points is not None and labels.visible is not None:
        check_visible(points, labels.visible)
    try:
        face_boxes(labels)  # reads the fields that describe each face
    except (LookupError, TypeError, ValueError, AttributeError) as cause:
        raise LabelError(f"the fields do not fit the boxes: {cause!r:.80}") from cause
    return labels


def _points(given: Mapping[str, Any]) -> Array | None:
    if "points" not in given:
        return None
    points = read_table(given["points"], "points", (2,))
    check_points(points)
    return points


def _boxes(given: Mapping[str, Any]) -> Array | None:
    if "boxes" not in given:
        return None
    boxes = read_table(given["boxes"], "boxes", (4,))
    # Boxes extend between pixel centres, so a box of one pixel has a width of 0.
    check_boxes(np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2] + 1], axis=1))
    return boxes


def _flags(values: Any, like: Array | None, name: str) -> NDArray[np.bool_] | None:
    if values is None:
        return None
    found = values.tolist() if isinstance(values, np.ndarray) else values
    count = 0 if like is None else len(like)
    if not isinstance(found, list | tuple) or len(found) != count:
        raise LabelError(f"{name} must have one flag for each of {count}, got {shortened(values)}")
    return np.array([read_flag(value) > 0 for value in found], bool)


def _segments(values: Any) -> tuple[Segment | None, ...] | None:
    if values is None:
        return None
    if not isinstance(values, list | tuple):
        raise LabelError(f"segments must be a list with an entry for each face, got {shortened(values)}")
    try:
        return tuple(read_segment(value) for value in values)
    except (LookupError, TypeError, ValueError, OverflowError) as cause:
        raise LabelError(f"a segmentation cannot be read: {cause}") from cause


def _fields(values: Any) -> dict[str, Any]:
    if not isinstance(values, dict):
        raise LabelError(f"fields must be a JSON object, got {shortened(values)}")
    check_names(values)
    found: dict[str, Any] = read_fields(values)
    return found
