"""The statistical design of a study: choices of training and test pictures, and means with their intervals.

The intervals hold for new choices of training pictures and for new people, two crossed random factors: the choice of
training pictures (with the seeds nested in it), and the people who are tested. The variance of a mean over both is V =
V(choices) + V(people) - V(cells); each term is the variance that the mean would have if clusters of that kind were
independent (Cameron, Gelbach and Miller 2011, "Robust inference with multiway clustering"). The interval uses Student's
t, because a percentile bootstrap over five or six choices ignores the few degrees of freedom and gives intervals that
are far too narrow.

The weights of clusters are their numbers of test pictures. A person with many pictures pulls the mean towards the own
values, so that the deviations are too small; each term is corrected by the weight of each cluster (Bell and McCaffrey
2002), and has the degrees of freedom of Kish's effective number of clusters. For clusters of equal size, these are the
usual correction n / (n - 1) and n - 1 degrees of freedom.

A test folder fits the same model. Every choice is tested on the same pictures, so that the difficulty of a person or of
a single picture does not average out over the choices; it is in V(people) as a whole, because the deviations of a
person are summed over all choices before they are squared. If every choice trains on the whole dataset, the choices
differ only in their seeds, and the interval holds for this set of training pictures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import ArgumentError
from fomaug.study.data import StudyData
from fomaug.study.pictures import some
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

    With a test folder, each choice is tested on all of its pictures, and draws its training pictures from the dataset:
    pictures of every class for recognition and expression, and pictures of all people for landmarks. Without a number
    of pictures, expression and landmarks train on the whole dataset in each choice.

    Args:
        data: dataset of the study.
        plan: task, number of choices and of training pictures, and seed.

    Raises:
        ArgumentError: the dataset is too small for the plan; the message names what is missing.
    """
    rngs = [np.random.default_rng([plan.seed, choice]) for choice in range(plan.choices)]
    if data.num_test:
        _check_tests(data, plan)
        return [Split(np.sort(_drawn(data, plan, rng)), np.arange(data.num_own, len(data))) for rng in rngs]
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


def caveats(data: StudyData, plan: StudyPlan, splits: Sequence[Split]) -> Iterator[str]:
    """Yield the limits of the intervals that choices of training pictures give."""
    if data.num_test and all(np.array_equal(split.train, splits[0].train) for split in splits):
        yield (
            f"every choice trains on the same {len(splits[0].train)} pictures; the intervals do not say what other "
            "training pictures would give"
        )
    if plan.choices < 4:
        yield (
            f"intervals from {plan.choices} choices of training pictures are wide, and miss the true gain in up to one "
            "of eight studies; 6 choices are usual"
        )


def _check_tests(data: StudyData, plan: StudyPlan) -> None:
    """Raise an error if the test folder has too few people, or the dataset too few pictures."""
    if len(np.unique(data.people[data.num_own :])) < 2:
        remedy = "add another" if plan.task == "recognition" else "give a group_pattern that tells them apart"
        raise ArgumentError(
            f"all pictures of test folder {data.test_folder} are of one person; an interval needs two or more people. "
            f"If there are more, {remedy}"
        )
    if plan.task == "landmarks":
        if (plan.train_images or 0) > data.num_own:
            raise ArgumentError(f"train_images is {plan.train_images}, and {data.folder} has only {data.num_own}")
        return
    needed = plan.pictures_per_class or 1
    counts = np.bincount(data.labels[: data.num_own], minlength=len(data.class_names))
    if few := [f"{name} ({n})" for name, n in zip(data.class_names, counts, strict=True) if n < needed]:
        remedy = "leave the classes out, or give a smaller per_class" if needed > 1 else "or leave the classes out"
        raise ArgumentError(
            f"each class needs {needed} pictures in {data.folder} to train on; there are too few in {some(few)}. Add "
            f"pictures, {remedy}"
        )


def _drawn(data: StudyData, plan: StudyPlan, rng: np.random.Generator) -> Rows:
    """Draw training pictures of the dataset for tests on a test folder."""
    if plan.task == "landmarks":
        return _evenly(rng.permutation(data.num_own), data.people)[: plan.train_images]
    labels = data.labels[: data.num_own]
    drawn = [_evenly(rng.permutation(np.flatnonzero(labels == label)), data.people) for label in np.unique(labels)]
    return np.concatenate([rows[: plan.pictures_per_class] for rows in drawn])


def _check_classes(data: StudyData, per_class: int) -> None:
    counts = np.bincount(data.labels)
    few = [f"{name} ({n})" for name, n in zip(data.class_names, counts, strict=True) if n <= per_class]
    if few:
        remedy = "leave the classes out, or give a smaller per_class" if per_class > 1 else "or leave the classes out"
        raise ArgumentError(
            f"each class needs more than {per_class} pictures, {per_class} to train on and one to test on; there are "
            f"too few in {some(few)}. Add pictures, {remedy}"
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
    weights = counts / counts.sum()
    tested = weights.sum(0) > 0
    by_choice, choice_freedom = _variance(share.sum(1), weights.sum(1))
    by_person, person_freedom = _variance(share.sum(0)[tested], weights.sum(0)[tested])
    by_cell, _ = _variance(share[counts > 0], weights[counts > 0])
    variance = max(by_choice, by_person, by_choice + by_person - by_cell)
    freedom = _freedom(by_choice, choice_freedom, by_person, person_freedom)
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


def _variance(parts: Values, weights: Values) -> tuple[float, float]:
    """Return the variance of a sum of independent parts with mean 0, and its degrees of freedom.

    Args:
        parts: deviations of the clusters from the common mean, times their weights.
        weights: weights of the clusters in the mean, with sum 1.
    """
    effective = 1 / float((weights**2).sum())
    return float((parts**2 / (1 - weights)).sum()), max(1.0, effective - 1)


def _freedom(first: float, first_freedom: float, second: float, second_freedom: float) -> float:
    """Return the degrees of freedom of a sum of two variances (Welch and Satterthwaite)."""
    weight = first**2 / first_freedom + second**2 / second_freedom
    if weight <= 0:
        return min(first_freedom, second_freedom)
    return max(1.0, (first + second) ** 2 / weight)


def _cosine_integral(angle: float, freedom: float) -> float:
    """Integrate cos(x) ** (freedom - 1) from 0 to an angle with Gauss's rule."""
    nodes, weights = _gauss_rule()
    x = (nodes + 1) * angle / 2
    return float((weights * np.cos(x) ** (freedom - 1)).sum() * angle / 2)


@cache
def _gauss_rule() -> tuple[Values, Values]:
    return np.polynomial.legendre.leggauss(200)
