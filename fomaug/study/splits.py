"""Choices of training pictures: what each network learns from, and what it is tested on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import ArgumentError
from fomaug.study.data import Faces
from fomaug.study.plan import StudyPlan

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """One choice of training pictures.

    Attributes:
        train: rows of `Faces`, ascending.
        test: all other rows that may be tested, ascending.
    """

    train: Rows
    test: Rows


def make_splits(faces: Faces, plan: StudyPlan) -> list[Split]:
    """Choose training pictures several times; the same plan and dataset give the same choices.

    Recognition draws pictures of every class and tests on all others. Landmarks draws half of the people anew for each
    choice, trains on pictures of theirs, and tests on all of the other half. Expression deals the people into as many
    folds as there are choices, and tests on each fold once.

    Raises:
        ArgumentError: the dataset is too small for the plan; the message names what is missing.
    """
    rngs = [np.random.default_rng([plan.seed, choice]) for choice in range(plan.choices)]
    if plan.task == "recognition":
        _check_classes(faces, plan.pictures_per_class or 1)
        return [_recognition(faces, plan.pictures_per_class or 1, rng) for rng in rngs]
    people = np.unique(faces.people)
    if len(people) < 2:
        raise ArgumentError(
            f"all {len(faces)} pictures are of one person; task {plan.task!r} tests on people who were not trained on, "
            "so two are needed. If there are more, give a group_pattern that tells them apart"
        )
    if plan.task == "landmarks":
        return [_landmarks(faces, plan.train_images, rng) for rng in rngs]
    folds = np.array_split(np.random.default_rng([plan.seed]).permutation(people), min(plan.choices, len(people)))
    return [_expression(faces, plan.per_class, fold, rng) for fold, rng in zip(folds, rngs, strict=False)]


def _check_classes(faces: Faces, per_class: int) -> None:
    counts = np.bincount(faces.labels)
    few = [f"{name} ({n})" for name, n in zip(faces.class_names, counts, strict=True) if n <= per_class]
    if few:
        raise ArgumentError(
            f"each class needs more than {per_class} pictures, {per_class} to train on and one to test on; too few in "
            f"{_some(few)}. Add pictures, leave the classes out"
            + (", or give a smaller per_class" if per_class > 1 else "")
        )


def _recognition(faces: Faces, per_class: int, rng: np.random.Generator) -> Split:
    train = [rng.permutation(np.flatnonzero(faces.labels == label))[:per_class] for label in np.unique(faces.labels)]
    return _split(faces, np.concatenate(train), np.arange(len(faces)))


def _landmarks(faces: Faces, count: int | None, rng: np.random.Generator) -> Split:
    people = rng.permutation(np.unique(faces.people))
    learned = people[: len(people) // 2]
    pool = rng.permutation(np.flatnonzero(np.isin(faces.people, learned)))
    if count is not None and count > len(pool):
        raise ArgumentError(
            f"train_images is {count}, and the half of the people that is trained on has only {len(pool)} pictures in "
            "one of the choices; give fewer"
        )
    train = _evenly(pool, faces.people)[:count]
    return _split(faces, train, np.flatnonzero(~np.isin(faces.people, learned)))


def _expression(faces: Faces, per_class: int | None, fold: Rows, rng: np.random.Generator) -> Split:
    tested = np.isin(faces.people, fold)
    train = []
    for label, name in enumerate(faces.class_names):
        found = rng.permutation(np.flatnonzero((faces.labels == label) & ~tested))
        if len(found) < (per_class or 1):
            raise ArgumentError(
                f"class {name} has {len(found)} pictures of the people that one of the choices trains on, and "
                f"{per_class or 1} are needed; add pictures"
                + (" or give a smaller per_class" if per_class else " of more people")
            )
        train.append(_evenly(found, faces.people)[:per_class])
    return _split(faces, np.concatenate(train), np.flatnonzero(tested))


def _evenly(rows: Rows, people: Rows) -> Rows:
    """Put the first picture of every person before the second of anyone."""
    seen: dict[int, int] = {}
    turns = []
    for row in rows:
        person = int(people[row])
        seen[person] = seen.get(person, 0) + 1
        turns.append(seen[person])
    found: Rows = rows[np.argsort(turns, kind="stable")]
    return found


def _split(faces: Faces, train: Rows, test: Rows) -> Split:
    return Split(np.sort(train), np.setdiff1d(test, train))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
