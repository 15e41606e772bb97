"""Choices of training and test pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import ArgumentError
from fomaug.study.data import StudyData
from fomaug.study.plan import StudyPlan

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Split:
    """One choice of training pictures, and the pictures to test on.

    Attributes:
        train: rows of the training pictures in `StudyData`, ascending.
        test: rows of the test pictures, ascending; none is in `train`.
    """

    train: Rows
    test: Rows


def make_splits(data: StudyData, plan: StudyPlan) -> list[Split]:
    """Choose training pictures several times; the same plan and dataset give the same choices.

    For recognition, each choice draws training pictures of every class, and all other pictures are for testing. For
    landmarks, each choice draws half of the people anew, for training, and all pictures of the other half are for
    testing. For expression, the people are divided into as many folds as there are choices, and each fold is tested
    once.

    Args:
        data: dataset of the study.
        plan: task, number of choices and of training pictures, and seed.

    Raises:
        ArgumentError: the dataset is too small for the plan; the message names what is missing.
    """
    rngs = [np.random.default_rng([plan.seed, choice]) for choice in range(plan.choices)]
    if plan.task == "recognition":
        _check_classes(data, plan.pictures_per_class or 1)
        return [_recognition(data, plan.pictures_per_class or 1, rng) for rng in rngs]
    people = np.unique(data.people)
    if len(people) < 2:
        raise ArgumentError(
            f"all {len(data)} pictures are of one person; task {plan.task!r} tests on people who were not trained on, "
            "so two are needed. If there are more, give a group_pattern that tells them apart"
        )
    if plan.task == "landmarks":
        return [_landmarks(data, plan.train_images, rng) for rng in rngs]
    folds = np.array_split(np.random.default_rng([plan.seed]).permutation(people), min(plan.choices, len(people)))
    return [_expression(data, plan.per_class, fold, rng) for fold, rng in zip(folds, rngs, strict=False)]


def _check_classes(data: StudyData, per_class: int) -> None:
    counts = np.bincount(data.labels)
    few = [f"{name} ({n})" for name, n in zip(data.class_names, counts, strict=True) if n <= per_class]
    if few:
        remedy = "leave the classes out, or give a smaller per_class" if per_class > 1 else "or leave the classes out"
        raise ArgumentError(
            f"each class needs more than {per_class} pictures, {per_class} to train on and one to test on; there are "
            f"too few in {_some(few)}. Add pictures, {remedy}"
        )


def _recognition(data: StudyData, per_class: int, rng: np.random.Generator) -> Split:
    train = [rng.permutation(np.flatnonzero(data.labels == label))[:per_class] for label in np.unique(data.labels)]
    return _split(np.concatenate(train), np.arange(len(data)))


def _landmarks(data: StudyData, count: int | None, rng: np.random.Generator) -> Split:
    people = rng.permutation(np.unique(data.people))
    learned = people[: len(people) // 2]
    pool = rng.permutation(np.flatnonzero(np.isin(data.people, learned)))
    if count is not None and count > len(pool):
        raise ArgumentError(
            f"train_images is {count}, and the half of the people that is trained on has only {len(pool)} pictures in "
            "one of the choices; give fewer"
        )
    train = _evenly(pool, data.people)[:count]
    return _split(train, np.flatnonzero(~np.isin(data.people, learned)))


def _expression(data: StudyData, per_class: int | None, fold: Rows, rng: np.random.Generator) -> Split:
    tested = np.isin(data.people, fold)
    train = []
    for label, name in enumerate(data.class_names):
        found = rng.permutation(np.flatnonzero((data.labels == label) & ~tested))
        if len(found) < (per_class or 1):
            raise ArgumentError(
                f"class {name} has {len(found)} pictures of the people that one of the choices trains on, and "
                f"{per_class or 1} are needed; add pictures"
                + (" or give a smaller per_class" if per_class else " of more people")
            )
        train.append(_evenly(found, data.people)[:per_class])
    return _split(np.concatenate(train), np.flatnonzero(tested))


def _evenly(rows: Rows, people: Rows) -> Rows:
    """Order rows so that the first picture of each person comes before all second pictures."""
    seen: dict[int, int] = {}
    ranks = []
    for row in rows:
        person = int(people[row])
        seen[person] = seen.get(person, 0) + 1
        ranks.append(seen[person])
    found: Rows = rows[np.argsort(ranks, kind="stable")]
    return found


def _split(train: Rows, test: Rows) -> Split:
    return Split(np.sort(train), np.setdiff1d(test, train))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
