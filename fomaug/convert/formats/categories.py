"""Categories of faces in detection formats: annotated categories, class labels, or the one category `face`."""

from __future__ import annotations

from typing import Final

from fomaug.convert.entries import Entry
from fomaug.convert.plan import CategoryOption, ConvertPlan
from fomaug.convert.survey import CLASSES, Survey
from fomaug.labels import SingleFace

FACE: Final = "face"


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
