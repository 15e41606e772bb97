"""The statistical design of a study: choices of training and test pictures, and means with their intervals.

The intervals hold for new choices of training pictures and for new people, two crossed random factors: the choice of
training pictures (with the seeds nested in it), and the people who are tested. The variance of a mean over both is V =
V(choices) + V(people) - V(cells); each term is the variance that the mean would have if clusters of that kind were
independent (Cameron, Gelbach and Miller 2011, "Robust inference with multiway clustering"). The interval uses Student's
t, because a percentile bootstrap over five or six choices ignores the few degrees of freedom and gives intervals that
are far too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

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


Values = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean and its interval.

    Attributes:
        mean: mean over all test pictures of all choices.
        low: lower end of the interval.
        high: upper end of the interval.
        error: standard error of the mean.
        freedom: degrees of freedom of the interval.
    """

    mean: float
    low: float
    high: float
    error: float
    freedom: float


def estimate(values: Sequence[Values], people: Sequence[NDArray[np.int64]], *, level: float = 0.95) -> Estimate:
    """Estimate a mean over choices and people.

    Args:
        values: (T,) values of the test pictures of each choice, averaged over seeds.
        people: (T,) index of the person of each test picture, for each choice.
        level: probability that the interval covers the true mean.
    """
    sums, counts = _cells(values, people)
    mean = float(sums.sum() / counts.sum())
    share = (sums - mean * counts) / counts.sum()  # (choices, people), each cell's part of the deviation
    by_choice = _variance(share.sum(1))
    by_person = _variance(share.sum(0)[counts.sum(0) > 0])
    by_cell = _variance(share[counts > 0])
    variance = max(by_choice, by_person, by_choice + by_person - by_cell)
    freedom = _freedom(by_choice, len(values) - 1, by_person, int((counts.sum(0) > 0).sum()) - 1)
    half = t_quantile((1 + level) / 2, freedom) * math.sqrt(variance)
    return Estimate(mean, mean - half, mean + half, math.sqrt(variance), freedom)


def t_quantile(probability: float, freedom: float) -> float:
    """Return the quantile of Student's t distribution.

    Args:
        probability: probability of values below the quantile, in (0, 1).
        freedom: degrees of freedom.

    >>> round(t_quantile(0.975, 4), 3), round(t_quantile(0.975, 1), 2)
    (2.776, 12.71)
    """
    # The substitution t = sqrt(freedom) * tan(angle) turns the density into a power of a cosine on a bounded interval.
    wanted = abs(probability - 0.5)
    low, high = 0.0, math.pi / 2
    whole = _cosine_integral(high, freedom)
    for _ in range(60):
        middle = (low + high) / 2
        if _cosine_integral(middle, freedom) / whole / 2 < wanted:
            low = middle
        else:
            high = middle
    return math.copysign(math.sqrt(freedom) * math.tan(low), probability - 0.5)


def _cells(values: Sequence[Values], people: Sequence[NDArray[np.int64]]) -> tuple[Values, Values]:
    """Return the sum and the number of the values of each choice and person, both (choices, people)."""
    number = 1 + max(int(part.max()) for part in people)
    sums, counts = np.zeros((2, len(values), number))
    for row, (part, who) in enumerate(zip(values, people, strict=True)):
        np.add.at(sums[row], who, part)
        np.add.at(counts[row], who, 1.0)
    return sums, counts


def _variance(parts: Values) -> float:
    """Return the variance of a sum of independent parts with mean 0, corrected for their number."""
    count = len(parts)
    return float((parts**2).sum()) * count / (count - 1)


def _freedom(first: float, first_freedom: int, second: float, second_freedom: int) -> float:
    """Return the degrees of freedom of a sum of two variances (Welch and Satterthwaite)."""
    weight = first**2 / first_freedom + second**2 / second_freedom
    if weight <= 0:
        return float(min(first_freedom, second_freedom))
    return max(1.0, (first + second) ** 2 / weight)


def _cosine_integral(angle: float, freedom: float) -> float:
    """Integrate cos(x) ** (freedom - 1) from 0 to an angle with Gauss's rule."""
    nodes, weights = _gauss_rule()
    x = (nodes + 1) * angle / 2
    return float((weights * np.cos(x) ** (freedom - 1)).sum() * angle / 2)


@cache
def _gauss_rule() -> tuple[Values, Values]:
    return np.polynomial.legendre.leggauss(200)
