"""Formats of face detection other than COCO: YOLO with boxes or keypoints, Pascal VOC and WIDER FACE."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, ClassVar, Final
from xml.etree import ElementTree

import yaml

from fomaug.convert.entries import Entry
from fomaug.convert.formats.coco import Categories, edges_of, note_on_categories
from fomaug.convert.formats.registry import Context, Converter, check_point_counts, register
from fomaug.convert.outputs import UniqueStems
from fomaug.convert.plan import ConvertPlan
from fomaug.convert.survey import BOXES, CLASSES, HIDDEN, POINTS, SEVERAL, Survey, has_scheme
from fomaug.labels import SingleFace, find_scheme, single_faces

_ROOT: Final = "VOCdevkit/VOC2012"
_ATTRIBUTES: Final = ("blur", "expression", "illumination", "invalid", "occlusion", "pose")
_FOLDERS: Final = {"train": "WIDER_train", "val": "WIDER_val", "test": "WIDER_test"}
_NO_FACE: Final = "0 0 0 0 0 0 0 0 0 0"


class _BoxConverter(Converter):
    """Writer of the box and the category of each face."""

    needs = (BOXES,)
    holds = frozenset({CLASSES, BOXES, SEVERAL})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.groups = Categories(context.plan.categories, context.survey, context.categories)

    @classmethod
    def check(cls, survey: Survey, plan: ConvertPlan) -> list[str]:
        """Add the note on categories."""
        return [*super().check(survey, plan), *note_on_categories(survey, plan)]


@register
class YoloConverter(_BoxConverter):
    """Writer of `images/SPLIT/`, `labels/SPLIT/` and `data.yaml`."""

    name: ClassVar[str] = "yolo"
    summary: ClassVar[str] = "YOLO detection: boxes in text files"
    # Trainers find pictures by these suffixes, and skip all others without a word.
    suffixes: ClassVar[frozenset[str]] = frozenset({".bmp", ".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.stems = UniqueStems()

    @classmethod
    def check(cls, survey: Survey, plan: ConvertPlan) -> list[str]:
        """Add a note on a missing validation split."""
        notes = super().check(survey, plan)
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


@register
class VocConverter(_BoxConverter):
    """Writer of `JPEGImages/`, `Annotations/` and `ImageSets/Main/` below `VOCdevkit/VOC2012`."""

    name: ClassVar[str] = "voc"
    summary: ClassVar[str] = "Pascal VOC: boxes in XML files"
    encode: ClassVar[str] = "jpeg"

    @classmethod
    def check(cls, survey: Survey, plan: ConvertPlan) -> list[str]:
        """Add notes on names and rounding."""
        notes = super().check(survey, plan)
        return [*notes, "pictures become JPEGs in one folder, and boxes are rounded to whole pixels"]

    def add(self, entry: Entry) -> bool:
        """Write a picture, its XML file and its line in the list of its split."""
        if entry.labels is None:
            return False
        flat = f"{entry.split}-{entry.name}".replace("/", "-")
        file = PurePosixPath(self.pictures.place(entry, f"{_ROOT}/JPEGImages/{flat}", spaces=False))
        root = ElementTree.Element("annotation")
        _texts(root, {"folder": "VOC2012", "filename": file.name})
        _texts(ElementTree.SubElement(root, "source"), {"database": "fomaug", "image": entry.source})
        height, width = entry.size
        _texts(ElementTree.SubElement(root, "size"), {"width": width, "height": height, "depth": 3})
        _texts(root, {"segmented": 0})
        for face in single_faces(entry.labels):
            if face.in_picture and face.outline is not None:
                self._add_object(root, entry, face)
        ElementTree.indent(root)
        text = ElementTree.tostring(root, encoding="unicode")
        self.outputs.write(f"{_ROOT}/Annotations/{file.stem}.xml", f"{text}\n")
        self.outputs.text(f"{_ROOT}/ImageSets/Main/{entry.split}.txt").write(f"{file.stem}\n")
        return True

    def _add_object(self, root: ElementTree.Element, entry: Entry, face: SingleFace) -> None:
        assert face.outline is not None
        found = ElementTree.SubElement(root, "object")
        name = self.groups.names[self.groups.index_of(entry, face)]
        _texts(found, {"name": name, "pose": "Unspecified", "truncated": 0, "difficult": 0})
        # The first pixel has the number 1, and the box ends at the number of its last pixel.
        height, width = entry.size
        limits = (width, height, width, height)
        corners = [min(max(round(edge) + 1, 1), most) for edge, most in zip(face.outline, limits, strict=True)]
        names = ("xmin", "ymin", "xmax", "ymax")
        _texts(ElementTree.SubElement(found, "bndbox"), dict(zip(names, corners, strict=True)))


def _texts(parent: ElementTree.Element, values: dict[str, str | int]) -> None:
    for name, value in values.items():
        # XML cannot represent control characters and lone surrogates.
        text = "".join(sign if sign.isprintable() else "?" for sign in str(value))
        ElementTree.SubElement(parent, name).text = text


@register
class WiderFaceConverter(Converter):
    """Writer of `WIDER_SPLIT/images/` and `wider_face_split/wider_face_SPLIT_bbx_gt.txt`."""

    name: ClassVar[str] = "widerface"
    summary: ClassVar[str] = "WIDER FACE: lists of boxes"
    needs = (BOXES,)
    holds = frozenset({BOXES, SEVERAL})
    encode: ClassVar[str] = "jpeg"

    def add(self, entry: Entry) -> bool:
        """Write a picture, and append its faces to the list of its split."""
        if entry.labels is None:
            return False
        root = f"{_FOLDERS[entry.split]}/images"
        # Readers of WIDER FACE expect each picture in the folder of an event.
        name = entry.name if "/" in entry.name else f"0--Faces/{entry.name}"
        file = self.pictures.place(entry, f"{root}/{name}").removeprefix(f"{root}/")
        lines = [self._line(face) for face in single_faces(entry.labels) if face.in_picture]
        found = [line for line in lines if line]
        text = "".join(f"{line}\n" for line in (file, str(len(found)), *(found or [_NO_FACE])))
        self.outputs.text(f"wider_face_split/wider_face_{entry.split}_bbx_gt.txt").write(text)
        return True

    @staticmethod
    def _line(face: SingleFace) -> str:
        """Return x, y, width, height and the six attributes of a face; attributes without a number are 0."""
        if (edges := edges_of(face)) is None:
            return ""
        x0, y0, x1, y1 = map(round, edges)
        box = (x0, y0, max(x1 - x0, 1), max(y1 - y0, 1))
        values = (str(face.fields.get(name, 0)) for name in _ATTRIBUTES)
        return " ".join(map(str, (*box, *(value if value.isdigit() else "0" for value in values))))
