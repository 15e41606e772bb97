"""YOLO: `data.yaml`, and a text file for each picture with boxes, and keypoints in one of the two formats."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, ClassVar

import yaml

from fomaug.convert.entries import Entry
from fomaug.convert.formats.categories import Categories, note_on_categories
from fomaug.convert.formats.coco import edges_of
from fomaug.convert.formats.registry import Context, Converter, check_point_counts, register
from fomaug.convert.outputs import UniqueStems
from fomaug.convert.plan import ConvertPlan
from fomaug.convert.survey import BOXES, CLASSES, HIDDEN, POINTS, SEVERAL, Survey, has_scheme
from fomaug.labels import SingleFace, find_scheme, single_faces


@register
class YoloConverter(Converter):
    """Writer of `images/SPLIT/`, `labels/SPLIT/` and `data.yaml`."""

    name: ClassVar[str] = "yolo"
    summary: ClassVar[str] = "YOLO detection: boxes in text files"
    needs = (BOXES,)
    holds = frozenset({CLASSES, BOXES, SEVERAL})
    # Trainers find pictures by these suffixes, and skip all others without a word.
    suffixes: ClassVar[frozenset[str]] = frozenset({".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.groups = Categories(context.plan.categories, context.survey, context.categories)
        self.stems = UniqueStems()

    @classmethod
    def check(cls, survey: Survey, plan: ConvertPlan) -> list[str]:
        """Add notes on categories and on a missing validation split."""
        notes = [*super().check(survey, plan), *note_on_categories(survey, plan)]
        if "val" not in survey.annotated_splits:
            notes.append("there is no validation split, so val in data.yaml is the folder of training pictures")
        return notes

    def add(self, entry: Entry) -> bool:
        """Write a picture and its text file; a picture without faces has an empty one."""
        if entry.labels is None:
            return False
        file = self.pictures.place(entry, self.stems.claim(f"images/{entry.split}/{entry.name}"))
        lines = []
        for face in single_faces(entry.labels):
            if face.in_picture and (edges := edges_of(face)) is not None:
                numbers = [*_relative(edges, entry.size), *self.keypoints(entry, face)]
                lines.append(" ".join([str(self.groups.index_of(entry, face)), *(f"{number:g}" for number in numbers)]))
        path = PurePosixPath("labels", *PurePosixPath(file).parts[1:]).with_suffix(".txt")
        self.outputs.write(str(path), "".join(f"{line}\n" for line in lines))
        return True

    def keypoints(self, entry: Entry, face: SingleFace) -> list[float]:
        """Return the numbers that follow the box."""
        del entry, face
        return []

    def extra(self) -> dict[str, Any]:
        """Return further entries of data.yaml."""
        return {}

    def finish(self) -> None:
        """Write data.yaml with paths relative to its folder."""
        splits: dict[str, Any] = {
            split: f"images/{split}" for split in ("train", "val", "test") if split in self.survey.annotated_splits
        }
        first = next(iter(splits.values()), "images/train")
        names = dict(enumerate(self.groups.names))
        content: dict[str, Any] = {"train": first, "val": first, **splits, "names": names, **self.extra()}
        self.outputs.text("data.yaml").write(yaml.safe_dump(content, sort_keys=False, allow_unicode=True))


@register
class YoloPoseConverter(YoloConverter):
    """Writer of `images/SPLIT/`, `labels/SPLIT/` with keypoints, and `data.yaml` with their shape and mirror."""

    name: ClassVar[str] = "yolo-pose"
    summary: ClassVar[str] = "YOLO pose: boxes and landmarks in text files"
    needs = (POINTS,)
    holds = frozenset({CLASSES, BOXES, POINTS, HIDDEN, SEVERAL})

    @classmethod
    def check(cls, survey: Survey, plan: ConvertPlan) -> list[str]:
        """Require the same number of landmarks for every face, and add a note if their mirror order is unknown."""
        notes = super().check(survey, plan)
        check_point_counts(cls.name, survey)
        if not has_scheme(survey.num_points):
            notes.append(f"the mirror order of {survey.num_points} landmarks is unknown, so data.yaml has no flip_idx")
        return notes

    def keypoints(self, entry: Entry, face: SingleFace) -> list[float]:
        """Return x, y and visibility of each landmark, relative to the picture; zeros for a missing one."""
        height, width = entry.size
        numbers: list[float] = []
        points = [[0.0, 0.0]] * (self.survey.num_points or 0) if face.points is None else face.points.tolist()
        flags = [0.0] * len(points) if face.flags is None else face.flags.tolist()
        for (x, y), flag in zip(points, flags, strict=True):
            seen = flag > 0 and -0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5
            # YOLO measures from the edge of the first pixel, landmarks from its centre.
            numbers += [(x + 0.5) / width, (y + 0.5) / height, int(flag) or 1] if seen else [0, 0, 0]
        return numbers

    def extra(self) -> dict[str, Any]:
        """Return the shape of the keypoints and their mirror order."""
        count = self.survey.num_points
        assert count is not None
        mirror = {"flip_idx": find_scheme(count).mirror.tolist()} if has_scheme(count) else {}
        return {"kpt_shape": [count, 3], **mirror}


def _relative(edges: tuple[float, float, float, float], size: tuple[int, int]) -> list[float]:
    """Return centre, width and height of a box, clipped to the picture, as shares of its size."""
    height, width = size
    (x0, x1), (y0, y1) = (
        (min(max(low, 0), length), min(max(high, 0), length))
        for low, high, length in ((edges[0], edges[2], width), (edges[1], edges[3], height))
    )
    return [(x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height]
