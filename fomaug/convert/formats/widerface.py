"""WIDER FACE: a list for each split; a picture has its path, its number of faces, and a line for each face."""

from __future__ import annotations

from typing import ClassVar, Final

from fomaug.convert.entries import Entry
from fomaug.convert.formats.coco import edges_of
from fomaug.convert.formats.registry import Converter, register
from fomaug.convert.survey import BOXES, SEVERAL
from fomaug.labels import SingleFace, single_faces

_ATTRIBUTES: Final = ("blur", "expression", "illumination", "invalid", "occlusion", "pose")
_FOLDERS: Final = {"train": "WIDER_train", "val": "WIDER_val", "test": "WIDER_test"}
_NO_FACE: Final = "0 0 0 0 0 0 0 0 0 0"


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
