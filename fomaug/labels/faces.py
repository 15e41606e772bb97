"""The faces of a picture one by one, where a format has them so: which are to be kept, and which are faces at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomaug.labels.flaws import Flaw
from fomaug.labels.rows import split_rows
from fomaug.labels.segments import misfit, size_misfit
from fomaug.labels.values import FaceLabels, Size

_PER_FACE: Final = ("faces", "points", "has_box", "tight")  # fields of COCO labels with an entry for each face


def fit(labels: FaceLabels, size: Size, *, picture: str = "") -> tuple[FaceLabels | None, list[Flaw]]:
    """Leave out what belongs to a picture of another size: a mask, or the faces with such a mask.

    Args:
        labels: of one picture, as they were read.
        size: (H, W) of the picture as it is shown.
        picture: its path, for the flaws.

    Returns:
        The labels, None if nothing of them is left; and the flaws, one for each annotation that was left out.
    """
    if labels.mask is not None:
        if labels.mask.shape == size:
            return labels, []
        where = labels.origins[0] if labels.origins else "the mask"
        return None, [Flaw(where, picture, size_misfit(labels.mask.shape, size))]
    reasons = [misfit(segment, size) for segment in labels.segments or ()]
    flaws = [Flaw(_origin(labels, face), picture, reason) for face, reason in enumerate(reasons) if reason]
    if not flaws:
        return labels, []
    return _with_faces(labels, [not reason for reason in reasons]), flaws


def face_boxes(labels: FaceLabels) -> NDArray[np.float64]:
    """Return the (M, 4) boxes of single faces that can be seen: x0, y0, x1, y1; crowds are no faces."""
    if labels.boxes is None:
        return np.zeros((0, 4))
    seen = np.ones(len(labels.boxes), bool) if labels.box_visible is None else labels.box_visible
    boxes: NDArray[np.float64] = labels.boxes[seen & ~np.array(_crowds(labels), bool)]
    return boxes


def _crowds(labels: FaceLabels) -> list[bool]:
    """Whether each box is one of a crowd: COCO says so of each face, Hugging Face in a list beside the boxes."""
    fields = labels.fields
    if "has_box" in fields and "faces" in fields:
        return [
            bool(face.get("iscrowd")) for face, boxed in zip(fields["faces"], fields["has_box"], strict=True) if boxed
        ]
    found = []
    for row in split_rows(labels):
        count, objects = 0 if row.boxes is None else len(row.boxes), row.fields.get("objects")
        said = objects.get("iscrowd") if isinstance(objects, dict) else None
        found += [bool(crowd) for crowd in said] if isinstance(said, list) and len(said) == count else [False] * count
    return found


def _origin(labels: FaceLabels, face: int) -> str:
    return labels.origins[face] if labels.origins else f"face {face}"


def _with_faces(labels: FaceLabels, kept: Sequence[bool]) -> FaceLabels | None:
    """Keep some of the faces of COCO labels; points and boxes lie one after another."""
    if not any(kept):
        return None
    fields = labels.fields
    points = np.repeat(kept, fields.get("points", [0] * len(kept)))
    boxes = np.array([keep for keep, boxed in zip(kept, fields.get("has_box", kept), strict=True) if boxed], bool)
    chosen: dict[str, Any] = {name: _chosen(fields[name], kept) for name in _PER_FACE if name in fields}
    flags = {"flags": _chosen(fields["flags"], points)} if "flags" in fields else {}
    return replace(
        labels,
        points=_rows(labels.points, points),
        visible=_rows(labels.visible, points),
        boxes=_rows(labels.boxes, boxes),
        box_visible=_rows(labels.box_visible, boxes),
        segments=None if labels.segments is None else tuple(_chosen(labels.segments, kept)),
        fields={**fields, **chosen, **flags},
        origins=tuple(_chosen(labels.origins, kept)) if labels.origins else (),
    )


def _chosen(values: Sequence[Any], kept: Sequence[bool] | NDArray[np.bool_]) -> list[Any]:
    return [value for value, keep in zip(values, kept, strict=True) if keep]


def _rows(array: NDArray[Any] | None, kept: NDArray[np.bool_]) -> NDArray[Any] | None:
    return None if array is None or not kept.any() else array[kept]
