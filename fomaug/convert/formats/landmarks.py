"""Lists of landmarks: 300-W `.pts` files, WFLW, AFLW and COFW lists, and CSV."""

from __future__ import annotations

import csv
import math
from abc import abstractmethod
from pathlib import PurePosixPath
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from fomaug.convert.entries import Entry
from fomaug.convert.formats.registry import Context, Converter, check_point_counts, register
from fomaug.convert.outputs import UniqueStems
from fomaug.convert.plan import ConvertPlan
from fomaug.convert.survey import BOXES, CLASSES, FIELDS, HIDDEN, POINTS, SEVERAL, VIEWS, Survey
from fomaug.labels import SingleFace, single_faces

Points = NDArray[np.float64]

_MISSING: Final = "faces with missing landmarks"
_WFLW_ATTRIBUTES: Final = ("pose", "expression", "illumination", "make_up", "occlusion", "blur")
_AFLW_SCALE: Final = 200  # pixels of a face of scale 1


class LandmarkConverter(Converter):
    """Base class of the formats with one line or one file for each face."""

    needs = (POINTS,)
    counts: ClassVar[tuple[int, ...]] = ()
    whole: ClassVar[bool] = True  # whether every landmark must have coordinates

    @classmethod
    def check(cls, survey: Survey, plan: ConvertPlan) -> list[str]:
        """Require the format's number of landmarks."""
        notes = super().check(survey, plan)
        check_point_counts(cls.name, survey, cls.counts)
        return notes

    def add(self, entry: Entry) -> bool:
        """Write a picture and its faces; a picture without landmarks is left out."""
        faces = [] if entry.labels is None else list(filter(self._fits, single_faces(entry.labels)))
        if faces:
            file = self.pictures.place(entry, self.name_of(entry), spaces=False)
            for number, face in enumerate(faces):
                assert face.points is not None
                self.add_face(entry, file.removeprefix("images/"), face, face.points, number)
        return bool(faces)

    def name_of(self, entry: Entry) -> str:
        """Return the path of a picture, relative to the folder of the conversion."""
        return f"images/{entry.split}/{entry.name}"

    @abstractmethod
    def add_face(self, entry: Entry, file: str, face: SingleFace, points: Points, number: int) -> None:
        """Write the landmarks of a face.

        Args:
            entry: picture.
            file: path of the picture below `images/`.
            face: labels of the face.
            points: (P, 2) landmarks of the face in pixels.
            number: index of the face in its picture.
        """

    def _fits(self, face: SingleFace) -> bool:
        if face.points is None or not face.present.any() or not face.in_picture:
            return False
        fits = not self.whole or bool(face.present.all())
        self.left_out[_MISSING] += not fits
        return fits


@register
class PtsConverter(LandmarkConverter):
    """Writer of a `.pts` file beside each picture; each further face has a numbered copy of the picture."""

    name: ClassVar[str] = "300w"
    summary: ClassVar[str] = "300-W: a .pts file of landmarks for each picture"
    holds = frozenset({POINTS, SEVERAL})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.stems = UniqueStems()

    def name_of(self, entry: Entry) -> str:
        """Return a path with a unique stem."""
        return self.stems.claim(super().name_of(entry))

    def add_face(self, entry: Entry, file: str, face: SingleFace, points: Points, number: int) -> None:
        """Write the file of a face."""
        path = PurePosixPath("images", file)
        if number:
            name = self.stems.claim(str(path.with_stem(f"{path.stem}_face{number + 1}")))
            path = PurePosixPath(self.pictures.place(entry, name))
        body = "\n".join(f"{x:.3f} {y:.3f}" for x, y in points)
        text = f"version: 1\nn_points: {len(points)}\n{{\n{body}\n}}\n"
        self.outputs.write(str(path.with_suffix(".pts")), text)


@register
class WflwConverter(LandmarkConverter):
    """Writer of `WFLW_annotations/list_98pt_rect_attr_SPLIT.txt` and `images/`."""

    name: ClassVar[str] = "wflw"
    summary: ClassVar[str] = "WFLW: lists of 98 landmarks, box and attributes"
    holds = frozenset({POINTS, BOXES, SEVERAL})
    counts = (98,)

    def add_face(self, entry: Entry, file: str, face: SingleFace, points: Points, number: int) -> None:
        """Append the line of a face: 196 coordinates, 4 of the box, 6 attributes, and the picture."""
        assert face.outline is not None
        numbers = [f"{value:.6f}" for value in points.reshape(-1)]
        box = [str(round(value)) for value in face.outline]
        values = (str(face.fields.get(name, 0)) for name in _WFLW_ATTRIBUTES)
        attributes = [value if value in ("0", "1") else "0" for value in values]
        line = " ".join([*numbers, *box, *attributes, file])
        self.outputs.text(f"WFLW_annotations/list_98pt_rect_attr_{entry.split}.txt").write(f"{line}\n")


@register
class AflwConverter(LandmarkConverter):
    """Writer of `face_landmarks_aflw_SPLIT.csv` and `images/`."""

    name: ClassVar[str] = "aflw"
    summary: ClassVar[str] = "AFLW: tables of 19 or 21 landmarks, scale and centre"
    holds = frozenset({POINTS, SEVERAL})
    counts = (19, 21)

    def add_face(self, entry: Entry, file: str, face: SingleFace, points: Points, number: int) -> None:
        """Append the row of a face: picture, scale, side and centre of its box, and the landmarks."""
        names = [f"original_{point}_{axis}" for point in range(len(points)) for axis in "xy"]
        head = ",".join(["image_path", "scale", "box_size", "center_w", "center_h", *names])
        table = self.outputs.text(f"face_landmarks_aflw_{entry.split}.csv", f"{head}\n")
        assert face.outline is not None
        (x0, y0, x1, y1), numbers = face.outline, [f"{value:.3f}" for value in points.reshape(-1)]
        side = max(x1 - x0, y1 - y0)
        sizes = [side / _AFLW_SCALE, side, (x0 + x1) / 2, (y0 + y1) / 2]
        csv.writer(table, lineterminator="\n").writerow([file, *(f"{value:.3f}" for value in sizes), *numbers])


@register
class CofwConverter(LandmarkConverter):
    """Writer of `cofw_SPLIT.txt` and `images/`: the numbers of COFW's `bboxes` and `phis`, as text."""

    name: ClassVar[str] = "cofw"
    summary: ClassVar[str] = "COFW: lists of 29 landmarks with occlusion, and box"
    holds = frozenset({POINTS, HIDDEN, BOXES, SEVERAL})
    counts = (29,)

    def add_face(self, entry: Entry, file: str, face: SingleFace, points: Points, number: int) -> None:
        """Append the line of a face: picture, box x y w h, 29 x, 29 y, and 29 flags that are 1 for hidden points."""
        assert face.outline is not None and face.flags is not None
        x0, y0, x1, y1 = face.outline
        numbers = [x0, y0, x1 - x0, y1 - y0, *points[:, 0], *points[:, 1]]
        hidden = ["0" if flag == 2 else "1" for flag in face.flags]
        line = " ".join([file, *(f"{value:.3f}" for value in numbers), *hidden])
        self.outputs.text(f"cofw_{entry.split}.txt").write(f"{line}\n")


@register
class CsvConverter(LandmarkConverter):
    """Writer of `landmarks_SPLIT.csv` and `images/`, as fomaug reads it; other fields and views are columns."""

    name: ClassVar[str] = "csv"
    summary: ClassVar[str] = "CSV: tables of landmarks with visibility, and other fields"
    holds = frozenset({POINTS, HIDDEN, CLASSES, FIELDS, VIEWS, SEVERAL})
    whole: ClassVar[bool] = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        count = self.survey.num_points or 0
        taken = {"file", "label", "source", "copy", *(f"{axis}{point}" for point in range(count) for axis in "xyv")}
        self.others = [name for name in self.survey.fields if name not in taken]
        self.views = [name for name in self.survey.views if name not in {*taken, *self.others}]
        points = [f"{axis}{point}" for point in range(count) for axis in "xyv"]
        self.head = ["file", "label", "source", "copy", *self.others, *self.views, *points]

    def add_face(self, entry: Entry, file: str, face: SingleFace, points: Points, number: int) -> None:
        """Append the row of a face; a missing landmark has empty cells."""
        name = f"landmarks_{entry.split}.csv"
        is_new = name not in self.outputs.names
        table = csv.writer(self.outputs.text(name), lineterminator="\n")
        if is_new:
            table.writerow(self.head)
        assert face.flags is not None
        cells: list[str] = []
        for (x, y), flag in zip(points, face.flags, strict=True):
            cells += ["", "", "0"] if math.isnan(x) else [f"{x:.3f}", f"{y:.3f}", str(int(flag > 0))]
        others = [face.fields.get(field, "") for field in self.others]
        others += [entry.view.get(name, "") for name in self.views]
        copy = "" if entry.copy is None else entry.copy
        table.writerow([f"images/{file}", entry.label, entry.source, copy, *others, *cells])
