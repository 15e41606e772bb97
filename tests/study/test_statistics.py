from __future__ import annotations

import numpy as np
import pytest

from fomaug.study.design import estimate, t_quantile


@pytest.mark.parametrize(
    ("probability", "freedom", "tabled"),
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.975, 5, 2.571),
        (0.995, 10, 3.169),
        (0.975, 1e4, 1.960),
        (0.025, 5, -2.571),
    ],
)
def test_quantiles_are_those_of_the_tables(probability: float, freedom: float, tabled: float) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(tabled, abs=1e-3)


def test_quantiles_of_one_and_two_degrees_have_closed_forms() -> None:
    for p in (0.6, 0.9, 0.975):
        assert t_quantile(p, 1) == pytest.approx(np.tan(np.pi * (p - 0.5)), rel=1e-6)
        assert t_quantile(p, 2) == pytest.approx((2 * p - 1) * np.sqrt(2 / (4 * p * (1 - p))), rel=1e-6)


def crossed(rng: np.random.Generator, *, choice: float, person: float, cell: float, choices: int = 6, people: int = 30):  # type: ignore[no-untyped-def]
    """Values of a table of choices and people with known random effects and mean 0, nine pictures a cell."""
    by_choice, by_person = rng.normal(0, choice, choices), rng.normal(0, person, people)
    who = np.repeat(np.arange(people), 9)
    values = [by_choice[i] + by_person[who] + rng.normal(0, cell, people)[who] for i in range(choices)]
    return [value + rng.normal(0, 1, len(who)) for value in values], [who] * choices


@pytest.mark.parametrize(
    ("choice", "person", "cell"), [(0.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.5), (1.0, 0.0, 0.5), (0.3, 1.0, 0.5)]
)
def test_intervals_cover_the_truth_at_their_level(choice: float, person: float, cell: float) -> None:
    rng = np.random.default_rng(1)
    found = [estimate(*crossed(rng, choice=choice, person=person, cell=cell)) for _ in range(400)]
    covered = np.mean([result.low <= 0 <= result.high for result in found])
    assert 0.92 <= covered <= 0.995  # 0.95, with three standard errors of 400 trials below, and some caution above


def test_a_percentile_bootstrap_over_choices_would_not_cover() -> None:
    """The reason for Student's t: six choices resampled do not show how far a seventh may lie."""
    rng = np.random.default_rng(1)
    hits = {"bootstrap": 0, "ours": 0}
    for _ in range(300):
        values, people = crossed(rng, choice=1.0, person=0.0, cell=0.0)
        means = np.array([value.mean() for value in values])
        low, high = np.quantile(means[rng.integers(0, 6, (400, 6))].mean(1), [0.025, 0.975])
        result = estimate(values, people)
        hits["bootstrap"] += low <= 0 <= high
        hits["ours"] += result.low <= 0 <= result.high
    assert hits["bootstrap"] < 0.91 * 300
    assert hits["ours"] > 0.92 * 300


def test_the_error_is_that_of_a_bootstrap_over_people_where_only_people_vary() -> None:
    rng = np.random.default_rng(2)
    values, people = crossed(rng, choice=0.0, person=2.0, cell=0.0, people=60)
    sums = np.array([np.bincount(who, value) for value, who in zip(values, people, strict=True)]).mean(0) / 9
    drawn = sums[rng.integers(0, 60, (4000, 60))].mean(1)
    assert estimate(values, people).error == pytest.approx(drawn.std() * np.sqrt(60 / 59), rel=0.05)


def test_one_value_a_choice_is_a_one_sample_t_test() -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(1, 1, (8, 1))
    # The people are apart, so that choices, people and cells are the same eight clusters.
    result = estimate(list(values), [np.array([i]) for i in range(8)])
    error = values.std(ddof=1) / np.sqrt(8)
    assert result.mean == pytest.approx(values.mean())
    assert result.error == pytest.approx(error)


def test_pairing_narrows_the_interval_by_what_the_arms_share() -> None:
    rng = np.random.default_rng(4)
    shared, people = crossed(rng, choice=1.0, person=1.0, cell=1.0)
    gains = [0.05 + rng.normal(0, 0.05, len(part)) for part in shared]
    paired = estimate(gains, people)
    alone = estimate([a + b for a, b in zip(shared, gains, strict=True)], people)
    assert paired.low > 0 and paired.low <= 0.05 <= paired.high
    assert paired.high - paired.low < 0.05 * (alone.high - alone.low)


def test_equal_scores_have_an_interval_of_zero() -> None:
    result = estimate([np.zeros(6), np.zeros(6)], [np.arange(6), np.arange(6)])
    assert (result.mean, result.low, result.high) == (0, 0, 0)


def test_people_of_few_pictures_weigh_by_their_pictures() -> None:
    values, people = [np.array([1.0, 1.0, 1.0, 0.0])] * 2, [np.array([0, 0, 0, 1])] * 2
    assert estimate(values, people).mean == 0.75
