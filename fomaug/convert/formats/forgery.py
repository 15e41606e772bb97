"""Forgery detection: real and fake pictures, paired by a key."""

from __future__ import annotations

import csv
from pathlib import PurePosixPath
from typing import ClassVar

from fomaug.convert.entries import Entry
from fomaug.convert.formats.registry import Converter, register
from fomaug.convert.plan import ConvertPlan
from fomaug.convert.survey import CLASSES, Survey
from fomaug.errors import LabelError


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
