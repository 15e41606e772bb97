"""Interface of the trainers' formats, and their registry; a new file of this folder is imported and so registered."""

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
    """What a converter works with.

    Attributes:
        outputs: label files.
        pictures: picture files.
        survey: labels of the dataset.
        plan: settings of the conversion.
        categories: names of the categories of faces, by the id that annotations have.
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
        summary: what the format is, in a few words.
        needs: kinds of labels without which the format makes no sense.
        holds: kinds of labels that the format can hold; all others are named before the work begins.
        encode: "jpeg" or "png" where the format wants pictures of one kind; empty to keep the pictures' files.
        by_label: whether pictures come in the order of their class labels.
        left_out: number of faces and pictures that the format cannot hold, by reason.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    holds: ClassVar[frozenset[str]] = frozenset()
    encode: ClassVar[str] = ""
    by_label: ClassVar[bool] = False

    def __init__(self, context: Context) -> None:
        self.outputs, self.pictures, self.survey, self.plan, self.categories = context
        self.left_out: Counter[str] = Counter()

    @classmethod
    def check(cls, survey: Survey, plan: ConvertPlan) -> list[str]:
        """Return what the format cannot hold, as sentences.

        Raises:
            LabelError: the dataset lacks labels without which the format makes no sense.
        """
        del plan
        for need in cls.needs:
            if need not in survey.kinds and not (need == BOXES and POINTS in survey.kinds):
                raise LabelError(f"{cls.name} needs {need}, and this dataset has none; {_REMEDIES[need]}")
        notes = []
        lost = [kind for kind in _ORDER if kind in survey.kinds and kind not in cls.holds]
        if lost:
            fields = f" ({', '.join(survey.fields)})" if FIELDS in lost else ""
            notes.append(f"{cls.name} cannot hold {', '.join(lost)}{fields}; they are left out")
        if BOXES in cls.needs and BOXES not in survey.kinds:
            notes.append("the boxes are those around all landmarks of a face, since the annotations have none")
        if cls.needs and CLASSES not in cls.needs and survey.unannotated:
            notes.append(f"{survey.unannotated} pictures have no annotations and are left out")
        return notes

    @abstractmethod
    def add(self, entry: Entry) -> None:
        """Write a picture and its labels."""

    def finish(self) -> None:  # noqa: B027 - most formats have nothing left to write
        """Write what needs all pictures."""


C = TypeVar("C", bound=type[Converter])
CONVERTERS: Final[dict[str, type[Converter]]] = {}

_REMEDIES: Final = {
    BOXES: "expand it with --annotations that hold boxes or landmarks",
    POINTS: "expand it with --annotations that hold landmarks",
    CLASSES: "class labels are the names of the folders that pictures stand in",
}


def register(converter: C) -> C:
    """Register a converter by its name; its name must be new."""
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
    """Raise `LabelError` if faces have different numbers of landmarks, or another one than a format has."""
    allowed = tuple(allowed)
    found = ", ".join(map(str, sorted(survey.point_counts)))
    if survey.num_points is None:
        raise LabelError(f"{name} needs the same number of landmarks for every face, and this dataset has {found}")
    if allowed and survey.num_points not in allowed:
        raise LabelError(f"{name} has faces of {' or '.join(map(str, allowed))} landmarks, and this dataset of {found}")
