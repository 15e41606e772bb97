"""CSV tables: all pictures with their labels, for tasks such as head pose and age; and pairs for forgery detection."""

from __future__ import annotations

import csv
from pathlib import PurePosixPath
from typing import ClassVar, Final

from fomaug.convert.entries import Entry
from fomaug.convert.formats.registry import Context, Converter, register
from fomaug.convert.plan import ConvertPlan
from fomaug.convert.survey import CLASSES, FIELDS, VIEWS, Survey
from fomaug.errors import LabelError
from fomaug.labels import single_faces

_HEAD: Final = ("file", "label", "source", "copy", "synthetic")


@register
class TableConverter(Converter):
    """Writer of `labels_SPLIT.csv` and `images/`; fields of the first face and views are columns."""

    name: ClassVar[str] = "table"
    summary: ClassVar[str] = "a CSV of all pictures with class, other fields, head pose and expression"
    holds = frozenset({CLASSES, FIELDS, VIEWS})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.fields = [name for name in self.survey.fields if name not in _HEAD]
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
            table.writerow([*_HEAD, *self.fields, *self.views])
        copy = "" if entry.copy is None else entry.copy
        others = [fields.get(field, "") for field in self.fields] + [entry.view.get(view, "") for view in self.views]
        table.writerow([file, entry.label, entry.source, copy, int(entry.provenance is not None), *others])
        return True


@register
class ForgeryConverter(Converter):
    """Writer of `SPLIT/real/`, `SPLIT/fake/` and `pairs.csv`."""

    name: ClassVar[str] = "forgery"
    summary: ClassVar[str] = "forgery pairs: real and fake pictures with a common key"
    holds = frozenset({CLASSES})

    @classmethod
    def check(cls, survey: Survey, plan: ConvertPlan) -> list[str]:
        """Require originals, because they are the real pictures."""
        if plan.include_sources == "none":
            raise LabelError(
                "forgery needs the originals as real pictures, but include_sources is none; use copy or link"
            )
        return super().check(survey, plan)

    def add(self, entry: Entry) -> bool:
        """Write a picture and its row; an unchanged copy of an original without a face counts as real."""
        is_fake = entry.provenance is not None
        kind = "fake" if is_fake else "real"
        file = self.pictures.place(entry, f"{entry.split}/{kind}/{entry.name}")
        key = str(PurePosixPath(entry.source).with_suffix(""))
        table = csv.writer(self.outputs.text("pairs.csv", "key,file,fake,split,label,source\n"), lineterminator="\n")
        table.writerow([key, file, int(is_fake), entry.split, entry.label, entry.source])
        return True
