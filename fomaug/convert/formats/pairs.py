"""Pairs of pictures: verification sets of held-out originals (`.bin` and LFW), and forgeries with their originals."""

from __future__ import annotations

import csv
import pickle
import random
import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import PurePosixPath
from typing import ClassVar, Final, NamedTuple

from fomaug.convert.entries import Entry
from fomaug.convert.formats.registry import UNALIGNED, Context, Converter, register
from fomaug.convert.plan import ConvertPlan
from fomaug.convert.survey import CLASSES, Survey
from fomaug.errors import LabelError

_MOST_PAIRS: Final = 3000  # of either kind, as in LFW
_FOLDS: Final = 10
_SEED: Final = 0


class Pair(NamedTuple):
    """Two pictures; each is given by a person and an index among the person's pictures.

    Attributes:
        one: (person, number) of the first picture.
        other: (person, number) of the second picture.
    """

    one: tuple[str, int]
    other: tuple[str, int]

    @property
    def is_same(self) -> bool:
        """Whether both pictures show the same person."""
        return self.one[0] == self.other[0]


def draw_pairs(counts: dict[str, int], *, most: int = _MOST_PAIRS, folds: int = _FOLDS) -> list[list[Pair]]:
    """Draw as many pairs of one person as of two persons; the result depends only on the arguments.

    Args:
        counts: number of pictures of each person.
        most: largest number of pairs of either kind.
        folds: number of folds; it is lower if there are fewer pairs.

    Returns:
        Pairs of each fold, those of one person first; all folds have the same size.

    Raises:
        LabelError: there are fewer than two persons, or no person has two pictures.
    """
    check_persons(counts)
    draw = random.Random(_SEED)
    persons = sorted(counts)
    same = [Pair((name, a), (name, b)) for name in persons for a, b in combinations(range(counts[name]), 2)]
    draw.shuffle(same)
    different = _different(counts, min(most, len(same)), draw)
    number = min(most, len(same), len(different))
    size = number // (folds := min(folds, number))
    parts = [slice(fold * size, (fold + 1) * size) for fold in range(folds)]
    return [[*same[part], *different[part]] for part in parts]


def check_persons(counts: Mapping[str, int]) -> None:
    """Raise `LabelError` unless there are two persons, one of them with two pictures or more."""
    if len(counts) < 2 or max(counts.values()) < 2:
        raise LabelError(
            "pairs need at least two persons, one of them with at least two held-out originals, but the numbers of "
            f"held-out originals by person are {dict(counts)}; put more of them in the folder test or val"
        )


def _different(counts: dict[str, int], most: int, draw: random.Random) -> list[Pair]:
    """Draw pairs of two persons without repetition."""
    persons = sorted(counts)
    possible = sum(counts[one] * counts[other] for one, other in combinations(persons, 2))
    found: dict[Pair, None] = {}
    while len(found) < min(most, possible):
        one, other = sorted(draw.sample(persons, 2))
        found[Pair((one, draw.randrange(counts[one])), (other, draw.randrange(counts[other])))] = None
    return list(found)


class VerificationConverter(Converter):
    """Base class of the formats of pairs, which use only held-out originals.

    Attributes:
        counts: number of pictures of each person so far.
    """

    needs = (CLASSES,)
    holds = frozenset({CLASSES})
    encode: ClassVar[str] = "jpeg"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.counts: dict[str, int] = {}

    @classmethod
    def check(cls, survey: Survey, plan: ConvertPlan) -> list[str]:
        """Require held-out originals, because copies and their sources are used for training."""
        if not survey.held_out:
            raise LabelError(
                f"{cls.name} needs held-out originals, but this dataset has none; put them in a folder "
                "named test or val beside train, and keep include_sources"
            )
        check_persons(survey.held_out_classes)
        notes = [*super().check(survey, plan), f"only the {survey.held_out} held-out originals are used"]
        if plan.align is None:
            notes.append(UNALIGNED)
        return notes

    def add(self, entry: Entry) -> bool:
        """Add a picture if it is a held-out original."""
        if not entry.held_out or not entry.label:
            return False
        number = self.counts.get(entry.label, 0)
        self.take(entry, number)
        self.counts[entry.label] = number + 1
        return True

    @abstractmethod
    def take(self, entry: Entry, number: int) -> None:
        """Add a picture with its index among the pictures of its person."""


@register
class BinConverter(VerificationConverter):
    """Writer of `verification.bin`: a pickle of the pictures of all pairs, and a boolean for each pair."""

    name: ClassVar[str] = "verification"
    summary: ClassVar[str] = "verification .bin of pairs of held-out originals"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.loaders: dict[tuple[str, int], Callable[[], bytes]] = {}

    def take(self, entry: Entry, number: int) -> None:
        """Store the function that reads a picture, because only drawn pictures are needed."""
        self.loaders[entry.label, number] = lambda: self.pictures.content(entry)

    def finish(self) -> None:
        """Draw the pairs, and write the file."""
        pairs = [pair for fold in draw_pairs(self.counts) for pair in fold]
        contents = {key: self.loaders[key]() for key in {key for pair in pairs for key in pair}}
        pictures = [contents[key] for pair in pairs for key in pair]
        file = self.outputs.binary("verification.bin")
        pickle.dump((pictures, [pair.is_same for pair in pairs]), file, protocol=2)


@register
class LfwConverter(VerificationConverter):
    """Writer of `pairs.txt` and `lfw/NAME/NAME_0001.jpg`."""

    name: ClassVar[str] = "lfw-pairs"
    summary: ClassVar[str] = "LFW: folders and pairs.txt of held-out originals"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.names = _unique([re.sub(r"\s+", "_", name) for name in context.survey.class_names])
        self.names_of = dict(zip(context.survey.class_names, self.names, strict=True))

    def take(self, entry: Entry, number: int) -> None:
        """Write a picture under its name in LFW's scheme."""
        name = self.names_of[entry.label]
        self.pictures.place(entry, f"lfw/{name}/{name}_{number + 1:04d}.jpg")

    def finish(self) -> None:
        """Write the pairs, fold by fold."""
        folds = draw_pairs(self.counts)
        file = self.outputs.text("pairs.txt", f"{len(folds)}\t{len(folds[0]) // 2}\n")
        for pair in (pair for fold in folds for pair in fold):
            (one, first), (other, second) = pair
            numbers = [self.names_of[one], first + 1, *([] if pair.is_same else [self.names_of[other]]), second + 1]
            file.write("\t".join(map(str, numbers)) + "\n")


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


def _unique(names: Sequence[str]) -> list[str]:
    """Append a number to repeated names."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = number = seen.get(name, 0) + 1
        found.append(name if number == 1 else f"{name}_{number}")
    return found
