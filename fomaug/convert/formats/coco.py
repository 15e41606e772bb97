"""COCO: a JSON file for each split, with boxes and segmentations, and keypoints in one of the two formats.

Formats of detection share its categories: annotated ones, class labels, or the one category `face`.
"""

from __future__ import annotations

import json
import shutil
from typing import Any, ClassVar, Final, TextIO

import numpy as np
import torch
from numpy.typing import NDArray

from fomaug import warp
from fomaug.convert.entries import Entry
from fomaug.convert.formats.registry import Context, Converter, check_point_counts, register
from fomaug.convert.plan import CategoryOption, ConvertPlan
from fomaug.convert.survey import BOXES, CLASSES, FIELDS, HIDDEN, POINTS, SEGMENTS, SEVERAL, VIEWS, Survey
from fomaug.labels import FIVE_NAMES, SingleFace, single_faces
from fomaug.labels.segments import segment_area

FACE: Final = "face"
_DERIVED: Final = ("category_id", "iscrowd")


def note_on_categories(survey: Survey, plan: ConvertPlan) -> list[str]:
    """Return the note that objects are not named by their class labels, if there are such labels."""
    if plan.categories == "label" or CLASSES not in survey.kinds:
        return []
    name = "its annotated category" if survey.category_ids else FACE
    return [f"the name of each object is {name}; categories=label names objects by their class labels"]


class Categories:
    """The categories of a dataset, in the order of their ids, and the category of each face.

    Args:
        option: value of `ConvertPlan.categories`.
        survey: labels of the dataset.
        known: names of the annotated categories by id.
    """

    def __init__(self, option: CategoryOption, survey: Survey, known: dict[int, str]) -> None:
        self._by_label = option == "label"
        ids = sorted({*known, *survey.category_ids})
        self._names = {number: known.get(number, f"category {number}") for number in ids}
        by_label = [*survey.class_names, *([FACE] if "" in survey.classes else [])]
        self.names: tuple[str, ...] = tuple(by_label if self._by_label else self._names.values()) or (FACE,)
        self.ids: tuple[int, ...] = tuple(ids) if ids and not self._by_label else tuple(range(1, len(self.names) + 1))

    def index_of(self, entry: Entry, face: SingleFace) -> int:
        """Return the index of a face's category among `names`."""
        if self._by_label:
            return self.names.index(entry.label or FACE)
        number = face.fields.get("category_id")
        return self.ids.index(number) if number in self.ids else 0


class _Split:
    """The images and annotations of one split, in temporary files until the split is complete."""

    def __init__(self, images: TextIO, annotations: TextIO) -> None:
        self.images, self.annotations = images, annotations
        self.num_images = 0
        self.num_annotations = 0

    def add_image(self, image: dict[str, Any]) -> int:
        """Append an image, and return its id."""
        self.num_images += 1
        _append(self.images, {"id": self.num_images, **image}, self.num_images)
        return self.num_images

    def add_annotation(self, annotation: dict[str, Any]) -> None:
        """Append an annotation."""
        self.num_annotations += 1
        _append(self.annotations, {"id": self.num_annotations, **annotation}, self.num_annotations)

    def write(self, file: TextIO, head: dict[str, Any]) -> None:
        """Write the whole file."""
        file.write(json.dumps(head)[:-1])
        for name, lines in (("images", self.images), ("annotations", self.annotations)):
            lines.seek(0)
            file.write(f', "{name}": [\n')
            shutil.copyfileobj(lines, file)
            file.write("\n]")
        file.write("}\n")


def _append(file: TextIO, value: dict[str, Any], number: int) -> None:
    file.write(f"{',' if number > 1 else ''}\n{json.dumps(value)}"[number == 1 :])


@register
class CocoConverter(Converter):
    """Writer of `annotations/instances_SPLIT.json` and `images/`."""

    name: ClassVar[str] = "coco"
    summary: ClassVar[str] = "COCO detection: boxes and segmentations"
    needs = (BOXES,)
    holds = frozenset({CLASSES, BOXES, SEGMENTS, FIELDS, VIEWS, SEVERAL})
    kind: ClassVar[str] = "instances"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.groups = Categories(context.plan.categories, context.survey, context.categories)
        self.splits: dict[str, _Split] = {}

    def add(self, entry: Entry) -> bool:
        """Write a picture, and append it and its faces to the lists of its split."""
        if entry.labels is None:
            return False
        file = self.pictures.place(entry, f"images/{entry.split}/{entry.name}").removeprefix("images/")
        if entry.split not in self.splits:
            spools = (self.outputs.spool(f"{entry.split} {part}") for part in ("images", "annotations"))
            self.splits[entry.split] = _Split(*spools)
        split = self.splits[entry.split]
        height, width = entry.size
        image = split.add_image({"file_name": file, "width": width, "height": height, **_origin(entry)})
        for face in single_faces(entry.labels):
            if face.in_picture and (box := edges_of(face)) is not None:
                split.add_annotation({"image_id": image, **self.annotation(entry, face, box)})
        return True

    def annotation(self, entry: Entry, face: SingleFace, box: tuple[float, float, float, float]) -> dict[str, Any]:
        """Return the annotation of a face without its ids."""
        x0, y0, x1, y1 = box
        others = {name: value for name, value in face.fields.items() if name not in _DERIVED}
        area = segment_area(face.segment) if face.segment is not None else (x1 - x0) * (y1 - y0)
        return {
            **others,
            "category_id": self.groups.ids[self.groups.index_of(entry, face)],
            "bbox": [x0, y0, round(x1 - x0, 3), round(y1 - y0, 3)],
            "area": round(area, 3),
            "iscrowd": int(bool(face.fields.get("iscrowd", 0))),
            **({} if face.segment is None else {"segmentation": face.segment}),
            **({"label": entry.label} if entry.label else {}),
        }

    def category(self) -> dict[str, Any]:
        """Return the entries of a category other than id and name."""
        return {}

    def finish(self) -> None:
        """Write the file of each split."""
        pairs = zip(self.groups.ids, self.groups.names, strict=True)
        categories = [
            {"id": number, "name": name, "supercategory": "face", **self.category()} for number, name in pairs
        ]
        head = {"info": {"description": "expanded by fomaug"}, "licenses": [], "categories": categories}
        for split, lists in self.splits.items():
            lists.write(self.outputs.text(f"annotations/{self.kind}_{split}.json"), head)


@register
class CocoKeypointConverter(CocoConverter):
    """Writer of `annotations/keypoints_SPLIT.json` and `images/`."""

    name: ClassVar[str] = "coco-keypoints"
    summary: ClassVar[str] = "COCO keypoints: landmarks with visibility, and boxes"
    needs = (POINTS,)
    holds = frozenset({CLASSES, BOXES, POINTS, HIDDEN, SEGMENTS, FIELDS, VIEWS, SEVERAL})
    kind: ClassVar[str] = "keypoints"

    @classmethod
    def check(cls, survey: Survey, plan: ConvertPlan) -> list[str]:
        """Require the same number of landmarks for every face."""
        notes = super().check(survey, plan)
        check_point_counts(cls.name, survey)
        return notes

    def annotation(self, entry: Entry, face: SingleFace, box: tuple[float, float, float, float]) -> dict[str, Any]:
        """Add the keypoints as x, y, visibility; they are 0, 0, 0 for a missing landmark."""
        flags = np.zeros(0) if face.flags is None else face.flags
        points = np.zeros((0, 2)) if face.points is None else face.points
        flat: list[float] = []
        for (x, y), flag in zip(points.tolist(), flags.tolist(), strict=True):
            flat += [round(x, 3), round(y, 3), int(flag) or 1] if flag else [0, 0, 0]
        return super().annotation(entry, face, box) | {"keypoints": flat, "num_keypoints": int((flags > 0).sum())}

    def category(self) -> dict[str, Any]:
        """Return the names of the keypoints: numbers, or the common names of five points."""
        count = self.survey.num_points or 0
        names = FIVE_NAMES if count == len(FIVE_NAMES) else [str(number) for number in range(count)]
        return {"keypoints": list(names), "skeleton": []}


def edges_of(face: SingleFace) -> tuple[float, float, float, float] | None:
    """Return the outline of a face as pixel edges (x0, y0, x1, y1): the whole picture is (0, 0, W, H)."""
    outline = face.outline
    if outline is None:
        return None
    edges: NDArray[np.float64] = warp.centres_to_edges(torch.from_numpy(outline)).numpy().round(3)
    x0, y0, x1, y1 = edges.tolist()
    return x0, y0, x1, y1


def _origin(entry: Entry) -> dict[str, Any]:
    return {"source": entry.source, "synthetic": entry.copy is not None, **entry.view}
