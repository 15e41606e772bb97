"""The labels of single faces: split the labels of a picture into its faces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fomaug.labels.faces import FaceLabels, split_rows
from fomaug.labels.segments import Segment


@dataclass(frozen=True, eq=False)
class SingleFace:
    """The labels of one face, in the pixels of its picture: (0, 0) is the centre of the first one.

    Attributes:
        points: (P, 2) landmarks (x, y); None without landmarks. NaN and (-1, -1) stand for a missing point.
        flags: (P,) visibility of each landmark as in COCO: 0 for a hidden or missing one, 1 for one that was annotated
            as hidden, 2 for a visible one.
        box: (4,) box x0, y0, x1, y1; None without a box.
        in_picture: whether the box or the segmentation of the face is still in the picture.
        segment: segmentation as in COCO; None without one.
        fields: all other fields of the annotation.
    """

    points: NDArray[np.float64] | None = None
    flags: NDArray[np.float64] | None = None
    box: NDArray[np.float64] | None = None
    in_picture: bool = True
    segment: Segment | None = None
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def present(self) -> NDArray[np.bool_]:
        """(P,) bool: whether each landmark has coordinates; (0,) without landmarks."""
        if self.points is None:
            return np.zeros(0, bool)
        found: NDArray[np.bool_] = np.isfinite(self.points).all(1) & (self.points != -1).any(1)
        return found

    @property
    def outline(self) -> NDArray[np.float64] | None:
        """(4,) the box, or the box around all landmarks of a face without a box; None without either."""
        if self.box is not None or self.points is None or not self.present.any():
            return self.box
        points = self.points[self.present]
        return np.concatenate([points.min(0), points.max(0)])


def single_faces(labels: FaceLabels) -> list[SingleFace]:
    """Split the labels of a picture into its faces, in their order.

    If a row does not assign its landmarks to its boxes, they describe one face if there is a single box; otherwise the
    landmarks become a separate face.
    """
    if "faces" in labels.fields and "points" in labels.fields:
        return list(_counted(labels))
    return [face for row in split_rows(labels) for face in _of_row(row)]


def _counted(labels: FaceLabels) -> Iterator[SingleFace]:
    """Split labels from COCO, whose fields have the number of landmarks of each face."""
    fields, segments = labels.fields, labels.segments
    counts, kept = fields["points"], fields["faces"]
    has_box = fields.get("has_box", [labels.boxes is not None] * len(counts))
    tight = fields.get("tight", [False] * len(counts))
    point, box = 0, 0
    for face, count in enumerate(counts):
        segment = segments[face] if segments is not None else None
        boxed = bool(has_box[face]) and labels.boxes is not None
        inside = not (tight[face] and segment is None)
        if boxed and labels.box_visible is not None:
            inside = inside and bool(labels.box_visible[box])
        points = slice(point, point + count)
        yield SingleFace(
            points=labels.points[points] if count and labels.points is not None else None,
            flags=_flags(labels)[points] if count and labels.points is not None else None,
            box=labels.boxes[box] if boxed and labels.boxes is not None else None,
            in_picture=inside,
            segment=segment,
            fields=dict(kept[face]),
        )
        point, box = point + count, box + bool(has_box[face])


def _of_row(row: FaceLabels) -> Iterator[SingleFace]:
    boxes = () if row.boxes is None else row.boxes
    seen = [True] * len(boxes) if row.box_visible is None else row.box_visible.tolist()
    flags = None if row.points is None else _flags(row)
    if row.boxes is not None and len(row.boxes) == 1:
        yield SingleFace(row.points, flags, row.boxes[0], in_picture=seen[0], fields=row.fields)
        return
    for box, inside in zip(boxes, seen, strict=True):
        yield SingleFace(box=box, in_picture=inside, fields=row.fields)
    if row.points is not None or not len(boxes):
        yield SingleFace(row.points, flags, fields=row.fields)


def _flags(labels: FaceLabels) -> NDArray[np.float64]:
    seen = labels.points_seen
    given = labels.fields.get("flags", [2] * len(seen))
    flags: NDArray[np.float64] = np.where(seen, np.array(given, float), 0)
    return flags
