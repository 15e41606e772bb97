"""The labels of one picture; functions join rows into them, and split them into rows and single faces."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import LabelError
from fomaug.labels.checks import Flaw
from fomaug.labels.segments import Segment, misfit, size_misfit

Size = tuple[int, int]

_ROWS: Final = "fomaug:rows"  # Field of joined rows; no column of a dataset is likely to have this name.
_PER_FACE: Final = ("faces", "points", "has_box", "tight")  # Fields of COCO labels with an entry for each face.


@dataclass(frozen=True, eq=False)
class FaceLabels:
    """The labels of one picture, in its own pixels: (0, 0) is the centre of the first one.

    Attributes:
        points: (P, 2) float (x, y), the landmarks of all faces in the order of the faces; None if there are none. NaN
            and (-1, -1) stand for a missing point: it is not visible, and a flow does not move it.
        visible: (P,) bool; None if all points that are not missing are visible.
        boxes: (M, 4) float (x0, y0, x1, y1).
        box_visible: (M,) bool; False for a box whose content left the picture.
        mask: (H, W) integer class numbers.
        palette: palette of the mask's PNG, unchanged.
        void: class number of unknown pixels; pixels from outside the source get it.
        segments: segmentation of each face as in COCO, polygons or run lengths; None for a face without one.
        fields: all other fields of the annotation, unchanged.
        origins: file and number of each face with a mask, or of the picture's mask; empty if unknown.
    """

    points: NDArray[np.float64] | None = None
    visible: NDArray[np.bool_] | None = None
    boxes: NDArray[np.float64] | None = None
    box_visible: NDArray[np.bool_] | None = None
    mask: NDArray[Any] | None = None
    palette: tuple[int, ...] | None = None
    void: int | None = None
    segments: tuple[Segment | None, ...] | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    origins: tuple[str, ...] = ()

    @property
    def points_seen(self) -> NDArray[np.bool_]:
        """(P,) bool: whether each point is visible and not missing; (0,) without points."""
        if self.points is None:
            return np.zeros(0, bool)
        present: NDArray[np.bool_] = np.isfinite(self.points).all(1) & (self.points != -1).any(1)
        return present if self.visible is None else self.visible & present


def check_names(names: Iterable[str]) -> None:
    """Raise `LabelError` if a column has the name of the field that holds joined rows."""
    if _ROWS in names:
        raise LabelError(f"the column name {_ROWS!r} is reserved by fomaug; give the column another name")


def join_rows(rows: Sequence[FaceLabels]) -> FaceLabels:
    """Join the rows of one picture; points and boxes keep the order of the rows."""
    if len(rows) == 1:
        return rows[0]
    kept = [{"points": _count(row.points), "boxes": _count(row.boxes), "fields": row.fields} for row in rows]
    return FaceLabels(
        points=_joined([row.points for row in rows]),
        visible=_joined([_visibility(row.points, row.visible) for row in rows]),
        boxes=_joined([row.boxes for row in rows]),
        box_visible=_joined([_visibility(row.boxes, row.box_visible) for row in rows]),
        fields={_ROWS: kept},
    )


def split_rows(labels: FaceLabels) -> list[FaceLabels]:
    """Split labels into the rows that `join_rows` joined, also after they were moved; a single row stays as it is."""
    rows, point, box = [], 0, 0
    for row in labels.fields.get(_ROWS, ()):
        points, boxes = _slice(point, row["points"]), _slice(box, row["boxes"])
        rows.append(
            FaceLabels(
                points=_sliced(labels.points, points),
                visible=_sliced(labels.visible, points),
                boxes=_sliced(labels.boxes, boxes),
                box_visible=_sliced(labels.box_visible, boxes),
                fields=row["fields"],
            )
        )
        point, box = point + (row["points"] or 0), box + (row["boxes"] or 0)
    return rows or [labels]


def point_counts(labels: FaceLabels) -> list[int]:
    """Return the number of landmarks of each face, in their order."""
    if "faces" in labels.fields and "points" in labels.fields:
        return list(labels.fields["points"])  # of COCO
    return [len(row.points) for row in split_rows(labels) if row.points is not None]


def fit(labels: FaceLabels, size: Size, *, picture: str = "") -> tuple[FaceLabels | None, list[Flaw]]:
    """Remove the mask, or the faces with a mask, whose size differs from that of the picture.

    Args:
        labels: labels of one picture, as they were read.
        size: (H, W) of the picture after its EXIF orientation is applied.
        picture: path of the picture, for the flaws.

    Returns:
        The labels, or None if no annotation remains; and a flaw for each annotation that was removed.
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
    """Return the boxes (M, 4) of visible single faces as x0, y0, x1, y1; boxes of crowds are left out."""
    if labels.boxes is None:
        return np.zeros((0, 4))
    visible = np.ones(len(labels.boxes), bool) if labels.box_visible is None else labels.box_visible
    boxes: NDArray[np.float64] = labels.boxes[visible & ~np.array(_crowds(labels), bool)]
    return boxes


def _crowds(labels: FaceLabels) -> list[bool]:
    """Return whether each box is one of a crowd; COCO stores this by face, Hugging Face in a list beside the boxes."""
    fields = labels.fields
    if "has_box" in fields and "faces" in fields:
        return [
            bool(face.get("iscrowd")) for face, boxed in zip(fields["faces"], fields["has_box"], strict=True) if boxed
        ]
    found = []
    for row in split_rows(labels):
        count, objects = _count(row.boxes) or 0, row.fields.get("objects")
        crowds = objects.get("iscrowd") if isinstance(objects, dict) else None
        known = crowds if isinstance(crowds, list) and len(crowds) == count else [False] * count
        found += [bool(crowd) for crowd in known]
    return found


def _origin(labels: FaceLabels, face: int) -> str:
    return labels.origins[face] if labels.origins else f"face {face}"


def _with_faces(labels: FaceLabels, kept: Sequence[bool]) -> FaceLabels | None:
    """Keep some of the faces of COCO labels, whose points and boxes are in the order of the faces."""
    if not any(kept):
        return None
    fields = labels.fields
    points = np.repeat(kept, fields.get("points", [0] * len(kept)))
    boxes = np.array([keep for keep, boxed in zip(kept, fields.get("has_box", kept), strict=True) if boxed], bool)
    chosen: dict[str, Any] = {name: _chosen(fields[name], kept) for name in _PER_FACE if name in fields}
    flags = {"flags": _chosen(fields["flags"], points)} if "flags" in fields else {}
    return replace(
        labels,
        points=_chosen_rows(labels.points, points),
        visible=_chosen_rows(labels.visible, points),
        boxes=_chosen_rows(labels.boxes, boxes),
        box_visible=_chosen_rows(labels.box_visible, boxes),
        segments=None if labels.segments is None else tuple(_chosen(labels.segments, kept)),
        fields={**fields, **chosen, **flags},
        origins=tuple(_chosen(labels.origins, kept)) if labels.origins else (),
    )


def _chosen(values: Sequence[Any], kept: Sequence[bool] | NDArray[np.bool_]) -> list[Any]:
    return [value for value, keep in zip(values, kept, strict=True) if keep]


def _chosen_rows(array: NDArray[Any] | None, kept: NDArray[np.bool_]) -> NDArray[Any] | None:
    return None if array is None or not kept.any() else array[kept]


def _count(array: NDArray[Any] | None) -> int | None:
    return None if array is None else len(array)


def _visibility(values: NDArray[np.float64] | None, visible: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    return np.ones(len(values), bool) if values is not None and visible is None else visible


def _joined(arrays: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    present = [array for array in arrays if array is not None]
    return np.concatenate(present) if present else None


def _slice(start: int, count: int | None) -> slice | None:
    return None if count is None else slice(start, start + count)


def _sliced(array: NDArray[Any] | None, part: slice | None) -> NDArray[Any] | None:
    return None if array is None or part is None else array[part]


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
            flags=_flag_values(labels)[points] if count and labels.points is not None else None,
            box=labels.boxes[box] if boxed and labels.boxes is not None else None,
            in_picture=inside,
            segment=segment,
            fields=dict(kept[face]),
        )
        point, box = point + count, box + bool(has_box[face])


def _of_row(row: FaceLabels) -> Iterator[SingleFace]:
    boxes = () if row.boxes is None else row.boxes
    seen = [True] * len(boxes) if row.box_visible is None else row.box_visible.tolist()
    flags = None if row.points is None else _flag_values(row)
    if row.boxes is not None and len(row.boxes) == 1:
        yield SingleFace(row.points, flags, row.boxes[0], in_picture=seen[0], fields=row.fields)
        return
    for box, inside in zip(boxes, seen, strict=True):
        yield SingleFace(box=box, in_picture=inside, fields=row.fields)
    if row.points is not None or not len(boxes):
        yield SingleFace(row.points, flags, fields=row.fields)


def _flag_values(labels: FaceLabels) -> NDArray[np.float64]:
    seen = labels.points_seen
    given = labels.fields.get("flags", [2] * len(seen))
    flags: NDArray[np.float64] = np.where(seen, np.array(given, float), 0)
    return flags
