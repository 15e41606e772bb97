"""The interface and the registry of formats; every file in this folder is imported, which registers its converters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from typing import ClassVar, Final, NamedTuple, TypeVar

from fomaug.convert.entries import Entry
from fomaug.convert.outputs import Outputs, Pictures
from fomaug.convert.plan import ConvertPlan
from fomaug.convert.survey import BOXES, CLASSES, FIELDS, HIDDEN, MASKS, POINTS, SEGMENTS, SEVERAL, VIEWS, Survey
from fomaug.errors import LabelError, check_choice

_ORDER: Final = (CLASSES, BOXES, POINTS, HIDDEN, SEGMENTS, MASKS, FIELDS, VIEWS, SEVERAL)


class Context(NamedTuple):
    """The inputs and outputs of a converter.

    Attributes:
        outputs: label files.
        pictures: picture files.
        survey: labels of the dataset.
        plan: settings of the conversion.
        categories: names of the annotated categories of faces by id.
    """

    outputs: Outputs
    pictures: Pictures
    survey: Survey
    plan: ConvertPlan
    categories: dict[int, str]


class Converter(ABC):
    """Writer of one format.

    Attributes:
        name: name of the format.
        summary: short description of the format.
        needs: kinds of labels that the format requires.
        holds: kinds of labels that the format can store; a note lists the others before the work begins.
        encode: "jpeg" or "png" if the format requires it; empty to keep the pictures' files.
        suffixes: suffixes of the pictures that readers of the format open; others become PNGs. Empty for any.
        by_label: whether pictures come in the order of their class labels.
        left_out: number of left-out faces and pictures by reason.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    holds: ClassVar[frozenset[str]] = frozenset()
    encode: ClassVar[str] = ""
    suffixes: ClassVar[frozenset[str]] = frozenset()
    by_label: ClassVar[bool] = False

    def __init__(self, context: Context) -> None:
        self.outputs, self.pictures, self.survey, self.plan, self.categories = context
        self.left_out: Counter[str] = Counter()

    @classmethod
    def check(cls, survey: Survey, plan: ConvertPlan) -> list[str]:
        """Return notes on the labels that the format cannot store.

        Raises:
            LabelError: the dataset lacks labels that the format requires.
        """
        del plan
        for need in cls.needs:
            if need not in survey.kinds and not (need == BOXES and POINTS in survey.kinds):
                raise LabelError(f"{cls.name} needs {need}, but this dataset has none; {_REMEDIES[need]}")
        notes = []
        lost = [kind for kind in _ORDER if kind in survey.kinds and kind not in cls.holds]
        if lost:
            named = {FIELDS: f"{FIELDS} ({', '.join(survey.fields)})"}
            notes.append(
                f"{cls.name} cannot store {', '.join(named.get(kind, kind) for kind in lost)}; they are left out"
            )
        if BOXES in cls.needs and BOXES not in survey.kinds:
            notes.append("the annotations have no boxes; each box is computed from the landmarks of its face")
        if cls.needs and CLASSES not in cls.needs and survey.unannotated:
            notes.append(f"{survey.unannotated} pictures have no annotations and are left out")
        return notes

    @abstractmethod
    def add(self, entry: Entry) -> bool:
        """Write a picture and its labels; return whether the format uses the picture."""

    def finish(self) -> None:  # noqa: B027 - most formats have nothing left to write
        """Write the files that depend on all pictures."""


C = TypeVar("C", bound=type[Converter])
CONVERTERS: Final[dict[str, type[Converter]]] = {}

UNALIGNED: Final = "recognition models expect aligned faces of one size; align=112 makes them"

_REMEDIES: Final = {
    BOXES: "expand it with --annotations that have boxes or landmarks",
    POINTS: "expand it with --annotations that have landmarks",
    CLASSES: "class labels are the names of the folders that contain the pictures",
}


def register(converter: C) -> C:
    """Register a converter under its name, which must be unique."""
    assert converter.name not in CONVERTERS, f"format {converter.name} is registered twice"
    CONVERTERS[converter.name] = converter
    return converter


def find_converter(name: str) -> type[Converter]:
    """Return the converter of a format.

    Raises:
        ArgumentError: the format is unknown.
    """
    check_choice("to", name, CONVERTERS)
    return CONVERTERS[name]


def check_point_counts(name: str, survey: Survey, allowed: Iterable[int] = ()) -> None:
    """Raise `LabelError` if faces differ in their number of landmarks, or the format does not allow it."""
    allowed = tuple(allowed)
    found = ", ".join(map(str, sorted(survey.point_counts)))
    if survey.num_points is None:
        raise LabelError(f"{name} needs the same number of landmarks for every face, but this dataset has {found}")
    if allowed and survey.num_points not in allowed:
        raise LabelError(
            f"{name} needs {' or '.join(map(str, allowed))} landmarks for each face, but this dataset has {found}; "
            "300w, csv, coco-keypoints and yolo-pose take any number"
        )
