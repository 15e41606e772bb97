"""Mean differences with intervals that hold for new choices of training pictures and for new people.

There are two crossed random factors: the choice of training pictures (with the seeds nested in it), and the people who
are tested. The variance of a mean over both is V = V(choices) + V(people) - V(cells); each term is the variance that
the mean would have if clusters of that kind were independent (Cameron, Gelbach and Miller 2011, "Robust inference with
multiway clustering"). The interval uses Student's t, because a percentile bootstrap over five or six choices ignores
the few degrees of freedom and gives intervals that are far too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

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
