"""Pascal VOC: an XML file for each picture, and a list of names for each split."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import ClassVar, Final
from xml.etree import ElementTree

from fomaug.convert.entries import Entry
from fomaug.convert.formats.categories import Categories, note_on_categories
from fomaug.convert.formats.registry import Context, Converter, register
from fomaug.convert.plan import ConvertPlan
from fomaug.convert.survey import BOXES, CLASSES, SEVERAL, Survey
from fomaug.labels import SingleFace, single_faces

_ROOT: Final = "VOCdevkit/VOC2012"


@register
class VocConverter(Converter):
    """Writer of `JPEGImages/`, `Annotations/` and `ImageSets/Main/` below `VOCdevkit/VOC2012`."""

    name: ClassVar[str] = "voc"
    summary: ClassVar[str] = "Pascal VOC: boxes in XML files"
    needs = (BOXES,)
    holds = frozenset({CLASSES, BOXES, SEVERAL})
    encode: ClassVar[str] = "jpeg"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.groups = Categories(context.plan.categories, context.survey, context.categories)

    @classmethod
    def check(cls, survey: Survey, plan: ConvertPlan) -> list[str]:
        """Add notes on categories, names and rounding."""
        notes = super().check(survey, plan)
        return [
            *notes,
            *note_on_categories(survey, plan),
            "pictures become JPEGs in one folder, and boxes are rounded to whole pixels",
        ]

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
