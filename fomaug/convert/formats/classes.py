"""Formats of class labels, attributes and expressions: folders, tables, CelebA, FER and AffectNet."""

from __future__ import annotations

import csv
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Final

import numpy as np
from PIL import Image

from fomaug.convert.entries import Entry
from fomaug.convert.formats.registry import Context, Converter, register
from fomaug.convert.plan import ConvertPlan
from fomaug.convert.survey import BOXES, CLASSES, FIELDS, POINTS, VIEWS, Survey, has_scheme, truth
from fomaug.labels import five_points, single_faces
from fomaug.media import decode_picture

FER_ORDER: Final = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
AFFECTNET_ORDER: Final = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "anger", "contempt")
_SYNONYMS: Final = {
    "anger": "angry",
    "happiness": "happy",
    "sadness": "sad",
    "surprised": "surprise",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
}
_CELEBA_SPLITS: Final = {"train": 0, "val": 1, "test": 2}
_FER_USAGE: Final = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}
_FER_SIDE: Final = 48
_TABLE_HEAD: Final = ("file", "label", "source", "copy", "synthetic")
_UNKNOWN: Final = "-2"  # AffectNet's valence and arousal of a face without them


def class_numbers(classes: tuple[str, ...], order: tuple[str, ...]) -> dict[str, int]:
    """Map class names to a dataset's numbers of expressions, or to alphabetic ranks if a name is unknown.

    >>> class_numbers(("Happiness", "sad"), FER_ORDER)
    {'Happiness': 3, 'sad': 4}
    >>> class_numbers(("anna", "ben"), FER_ORDER)
    {'anna': 0, 'ben': 1}
    """
    known = {_expression(name): number for number, name in enumerate(order)}
    words = [_expression(name) for name in classes]
    if all(word in known for word in words) and len(set(words)) == len(words):
        return {name: known[word] for name, word in zip(classes, words, strict=True)}
    return {name: number for number, name in enumerate(classes)}


def _expression(name: str) -> str:
    word = name.strip().casefold()
    return _SYNONYMS.get(word, word)


@register
class FolderConverter(Converter):
    """Writer of `SPLIT/CLASS/`, as torchvision's and Hugging Face's ImageFolder read it."""

    name: ClassVar[str] = "folder"
    summary: ClassVar[str] = "class folders below train, val and test"
    needs = (CLASSES,)
    holds = frozenset({CLASSES})

    def add(self, entry: Entry) -> bool:
        """Write a picture into the folder of its class."""
        if not entry.label:
            self.left_out["pictures without a class label"] += 1
            return False
        parts = PurePosixPath(entry.name).parts
        name = PurePosixPath(*parts[parts[0] == entry.label and len(parts) > 1 :])
        self.pictures.place(entry, str(PurePosixPath(entry.split, entry.label, name)))
        return True


@register
class TableConverter(Converter):
    """Writer of `labels_SPLIT.csv` and `images/`; fields of the first face and views are columns."""

    name: ClassVar[str] = "table"
    summary: ClassVar[str] = "a CSV of all pictures with class, other fields, head pose and expression"
    holds = frozenset({CLASSES, FIELDS, VIEWS})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.fields = [name for name in self.survey.fields if name not in _TABLE_HEAD]
        self.views = [name for name in self.survey.views if name not in self.fields]

    def add(self, entry: Entry) -> bool:
        """Write a picture and its row; a cell without a value is empty."""
        file = self.pictures.place(entry, f"images/{entry.split}/{entry.name}")
        faces = [] if entry.labels is None else single_faces(entry.labels)
        fields = faces[0].fields if faces else {}
        name = f"labels_{entry.split}.csv"
        is_new = name not in self.outputs.names
        table = csv.writer(self.outputs.text(name), lineterminator="\n")
        if is_new:
            table.writerow([*_TABLE_HEAD, *self.fields, *self.views])
        copy = "" if entry.copy is None else entry.copy
        others = [fields.get(field, "") for field in self.fields] + [entry.view.get(view, "") for view in self.views]
        table.writerow([file, entry.label, entry.source, copy, int(entry.provenance is not None), *others])
        return True


@register
class CelebaConverter(Converter):
    """Writer of `celeba/` with the lists of CelebA: partition, identity, attributes, boxes and five landmarks."""

    name: ClassVar[str] = "celeba"
    summary: ClassVar[str] = "CelebA: attributes, identities, boxes and five landmarks"
    needs = (CLASSES,)
    holds = frozenset({CLASSES, BOXES, POINTS, FIELDS})
    encode: ClassVar[str] = "jpeg"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.attributes = [name for name in context.survey.attributes if name.split()]
        self.identities = {name: number for number, name in enumerate(context.survey.class_names, 1)}
        self.has_points = has_scheme(context.survey.num_points)
        self.number = 0

    @classmethod
    def check(cls, survey: Survey, plan: ConvertPlan) -> list[str]:
        """Add notes on the fields that are not attributes, and on the five points."""
        notes = super().check(survey, plan)
        others = [name for name, is_truth in survey.fields.items() if not is_truth]
        if others:
            notes.append(f"celeba stores only attributes that are true or false, and leaves out: {', '.join(others)}")
        if POINTS in survey.kinds:
            five = "five points are derived" if has_scheme(survey.num_points) else "five points cannot be derived"
            notes.append(f"{five} from the landmarks")
        return [*notes, "pictures become JPEGs with numbers for names; celeba/names.txt has the names"]

    def add(self, entry: Entry) -> bool:
        """Write a picture and its line in every list; an unknown attribute is -1."""
        name = f"{self.number + 1:06d}.jpg"
        self.pictures.place(entry, f"celeba/img_align_celeba/{name}")
        self.number += 1  # after `place`, because a picture that cannot be decoded has no number
        faces = [] if entry.labels is None else [face for face in single_faces(entry.labels) if face.in_picture]
        self._line("list_eval_partition", name, [_CELEBA_SPLITS[entry.split]])
        self._line("identity_CelebA", name, [self.identities.get(entry.label, 0)])
        self._line("names", name, [f"{entry.split}/{entry.name}".replace(" ", "_")])
        fields = faces[0].fields if faces else {}
        self._row("list_attr_celeba", name, [truth(fields.get(field)) or -1 for field in self.attributes])
        self._row("list_bbox_celeba", name, _celeba_box(faces))
        self._row("list_landmarks_align_celeba", name, self._points(faces))
        return True

    def finish(self) -> None:
        """Write each list with its head: the number of pictures and the names of the columns."""
        heads = {
            "list_attr_celeba": " ".join(name.replace(" ", "_") for name in self.attributes),
            "list_bbox_celeba": "x_1 y_1 width height",
            "list_landmarks_align_celeba": " ".join(
                f"{part}_{axis}" for part in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"
            ),
        }
        for name, head in heads.items():
            file = self.outputs.text(f"celeba/{name}.txt", f"{self.number}\n{head}\n")
            spool = self.outputs.spool(name)
            spool.seek(0)
            file.writelines(spool)

    def _line(self, name: str, picture: str, values: list[Any]) -> None:
        self.outputs.text(f"celeba/{name}.txt").write(" ".join(map(str, (picture, *values))) + "\n")

    def _row(self, name: str, picture: str, values: list[Any]) -> None:
        self.outputs.spool(name).write(" ".join(map(str, (picture, *values))) + "\n")

    def _points(self, faces: list[Any]) -> list[int]:
        points = faces[0].points if faces and self.has_points else None
        if points is None or not np.isfinite(found := five_points(points)).all():
            return [0] * 10
        return [round(value) for value in found.reshape(-1).tolist()]


def _celeba_box(faces: list[Any]) -> list[int]:
    if not faces or faces[0].outline is None:
        return [0, 0, 0, 0]
    x0, y0, x1, y1 = faces[0].outline.tolist()
    return [round(x0), round(y0), round(x1 - x0) + 1, round(y1 - y0) + 1]


@register
class FerConverter(Converter):
    """Writer of `fer2013.csv`: expression number, grey pixels and usage of each picture."""

    name: ClassVar[str] = "fer"
    summary: ClassVar[str] = "FER: a CSV of grey pixels and expressions"
    needs = (CLASSES,)
    holds = frozenset({CLASSES})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.numbers = class_numbers(context.survey.class_names, FER_ORDER)

    @classmethod
    def check(cls, survey: Survey, plan: ConvertPlan) -> list[str]:
        """Add a note on the size of the pictures."""
        side = plan.align or _FER_SIDE
        return [*super().check(survey, plan), f"pictures become grey, {side} x {side} pixels; names are not kept"]

    def add(self, entry: Entry) -> bool:
        """Append the row of a picture."""
        if entry.label not in self.numbers:
            self.left_out["pictures without a class label"] += 1
            return False
        side = self.plan.align or _FER_SIDE
        grey = Image.fromarray(decode_picture(entry.load(), Path(entry.name).suffix).rgb).convert("L")
        pixels = np.asarray(grey.resize((side, side), Image.Resampling.LANCZOS)).reshape(-1)
        file = self.outputs.text("fer2013.csv", "emotion,pixels,Usage\n")
        file.write(f"{self.numbers[entry.label]},{' '.join(map(str, pixels.tolist()))},{_FER_USAGE[entry.split]}\n")
        return True

    def finish(self) -> None:
        """Write the names of the numbers."""
        _write_classes(self, self.numbers)


@register
class AffectnetConverter(Converter):
    """Writer of `Manually_Annotated_Images/`, `training.csv` and `validation.csv`."""

    name: ClassVar[str] = "affectnet"
    summary: ClassVar[str] = "AffectNet: tables of expressions, boxes, landmarks, valence and arousal"
    needs = (CLASSES,)
    holds = frozenset({CLASSES, BOXES, POINTS, FIELDS, VIEWS})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.numbers = class_numbers(context.survey.class_names, AFFECTNET_ORDER)
        own = ("valence", "arousal")
        self.others = [name for name in context.survey.fields if name not in own]
        self.views = [name for name in context.survey.views if name not in self.others]

    def add(self, entry: Entry) -> bool:
        """Write a picture and its row; other annotated fields and views are appended as columns."""
        if entry.label not in self.numbers:
            self.left_out["pictures without a class label"] += 1
            return False
        root = "Manually_Annotated_Images"
        file = self.pictures.place(entry, f"{root}/{entry.split}/{entry.name}").removeprefix(f"{root}/")
        faces = [] if entry.labels is None else [face for face in single_faces(entry.labels) if face.in_picture]
        face = faces[0] if faces else None
        fields = face.fields if face else {}
        height, width = entry.size
        box = [0, 0, width, height] if face is None or face.outline is None else _celeba_box([face])
        points = "" if face is None or face.points is None else _joined(face.points)
        moods = [fields.get(name, _UNKNOWN) for name in ("valence", "arousal")]
        others = [fields.get(name, "") for name in self.others] + [entry.view.get(name, "") for name in self.views]
        cells = [file, *box, points, self.numbers[entry.label], *moods, *others]
        name = "training.csv" if entry.split == "train" else "validation.csv" if entry.split == "val" else "test.csv"
        is_new = name not in self.outputs.names
        table = csv.writer(self.outputs.text(name), lineterminator="\n")
        if is_new:
            table.writerow([*_AFFECTNET_HEAD, *self.others, *self.views])
        table.writerow(cells)
        return True

    def finish(self) -> None:
        """Write the names of the numbers."""
        _write_classes(self, self.numbers)


_AFFECTNET_HEAD: Final = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)


def _joined(points: np.ndarray[Any, np.dtype[np.float64]]) -> str:
    return ";".join(f"{value:.2f}" for value in points.reshape(-1))


def _write_classes(converter: Converter, numbers: dict[str, int]) -> None:
    lines = sorted((number, name) for name, number in numbers.items())
    converter.outputs.text("classes.txt").write("".join(f"{number} {name}\n" for number, name in lines))
