"""Survey the labels of a dataset before its conversion, so that the user learns early about any losses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from fomaug.convert.entries import TRAIN, Entry, Size
from fomaug.labels import SingleFace, find_scheme, scheme_names, single_faces

CLASSES: Final = "class labels"
BOXES: Final = "boxes"
POINTS: Final = "landmarks"
HIDDEN: Final = "hidden landmarks"
SEGMENTS: Final = "segmentations"
MASKS: Final = "masks"
FIELDS: Final = "other fields"
VIEWS: Final = "head poses and expressions of views"
SEVERAL: Final = "several faces in a picture"

_OWN_FIELDS: Final = ("iscrowd", "category_id", "num_keypoints")
_TRUTHS: Final = {"-1": -1, "0": -1, "1": 1, "true": 1, "false": -1, "yes": 1, "no": -1}


@dataclass
class Survey:
    """The number and kinds of labels of a dataset.

    Attributes:
        originals: number of originals.
        copies: number of copies.
        unannotated: number of pictures without annotations.
        classes: number of pictures by class label.
        train_classes: number of pictures to train on by class label.
        splits: number of pictures by split.
        annotated_splits: splits with annotated pictures.
        kinds: kinds of labels of the dataset.
        point_counts: numbers of landmarks of the faces.
        fields: names of other fields, in the order of their first appearance.
        attributes: names of the fields whose values are all true or false.
        sizes: sizes (H, W) of pictures, the first two that differ.
        category_ids: ids of the categories of faces.
        held_out: number of originals outside of the expanded split.
        held_out_classes: number of those originals by class label, without unlabelled ones.
        views: names of the columns of copies by views, in the order of their first appearance.
    """

    originals: int = 0
    copies: int = 0
    unannotated: int = 0
    classes: dict[str, int] = field(default_factory=dict)
    train_classes: dict[str, int] = field(default_factory=dict)
    splits: dict[str, int] = field(default_factory=dict)
    annotated_splits: set[str] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)
    point_counts: set[int] = field(default_factory=set)
    fields: dict[str, bool] = field(default_factory=dict)
    sizes: list[Size] = field(default_factory=list)
    category_ids: set[int] = field(default_factory=set)
    held_out: int = 0
    held_out_classes: dict[str, int] = field(default_factory=dict)
    views: dict[str, None] = field(default_factory=dict)

    @property
    def pictures(self) -> int:
        """Number of all pictures."""
        return self.originals + self.copies

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class labels in the order in which formats number them."""
        return tuple(sorted(set(self.classes) - {""}))

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the fields whose values are all true or false."""
        return tuple(name for name, is_truth in self.fields.items() if is_truth)

    @property
    def num_points(self) -> int | None:
        """Number of landmarks of every face; None without landmarks, or if faces differ."""
        return next(iter(self.point_counts)) if len(self.point_counts) == 1 else None

    def add(self, entry: Entry) -> None:
        """Count a picture and its labels."""
        self.originals += entry.copy is None
        self.copies += entry.copy is not None
        self.held_out += entry.held_out
        if entry.held_out and entry.label:
            self.held_out_classes[entry.label] = self.held_out_classes.get(entry.label, 0) + 1
        self.classes[entry.label] = self.classes.get(entry.label, 0) + 1
        if entry.split == TRAIN:
            self.train_classes[entry.label] = self.train_classes.get(entry.label, 0) + 1
        self.splits[entry.split] = self.splits.get(entry.split, 0) + 1
        if entry.size not in self.sizes and len(self.sizes) < 2:
            self.sizes.append(entry.size)
        if entry.label:
            self.kinds.add(CLASSES)
        if entry.view:
            self.kinds.add(VIEWS)
            self.views |= dict.fromkeys(entry.view)
        if entry.labels is None:
            self.unannotated += 1
            return
        self.annotated_splits.add(entry.split)
        faces = single_faces(entry.labels)
        if len(faces) > 1:
            self.kinds.add(SEVERAL)
        for face in faces:
            self._add_face(face)

    def _add_face(self, face: SingleFace) -> None:
        if face.box is not None:
            self.kinds.add(BOXES)
        if face.points is not None and face.flags is not None:
            self.kinds.add(POINTS)
            self.point_counts.add(len(face.points))
            if (face.flags < 2).any():
                self.kinds.add(HIDDEN)
        if face.segment is not None:
            self.kinds.add(SEGMENTS)
        if isinstance(number := face.fields.get("category_id"), int):
            self.category_ids.add(number)
        for name, value in face.fields.items():
            if name not in _OWN_FIELDS:
                self.kinds.add(FIELDS)
                self.fields[name] = self.fields.get(name, True) and truth(value) is not None


def survey(entries: Iterable[Entry], *, masks: bool = False, side: int | None = None) -> Survey:
    """Survey the labels of a dataset.

    Args:
        entries: all pictures.
        masks: whether the dataset has masks.
        side: side of aligned crops, which all have this size.
    """
    found = Survey()
    for entry in entries:
        found.add(entry)
    if masks:
        found.kinds.add(MASKS)
    if side is not None:
        found.sizes = [(side, side)]
    return found


def truth(value: Any) -> int | None:
    """Convert a value that is true or false to 1 or -1; None for any other value.

    >>> truth("yes"), truth(0), truth("30")
    (1, -1, None)
    """
    if isinstance(value, bool):
        return 1 if value else -1
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return _TRUTHS.get(text.strip().lower())


def has_scheme(count: int | None) -> bool:
    """Return whether five points can be derived from this number of landmarks.

    >>> has_scheme(68), has_scheme(7), has_scheme(None)
    (True, False, False)
    """
    return count is not None and str(count) in scheme_names() and bool(find_scheme(count).five)
