"""Damaged files of every kind: the only thing that comes out is `FomaugError`, soon and with little memory."""

from __future__ import annotations

from collections import Counter

import pytest
from generate import STRATEGIES, generated
from harness import Outcome, run_cases, run_mixed
from mutate import mutations
from parsers import PARSERS

QUICK, THOROUGH = 40, 5000  # files of each parser, damaged; half as many are made up
HEADERS = 6000  # bytes at the beginning of a file in which most of its structure is


def damaged(parser: str, count: int, seed: int) -> list[bytes]:
    """Damage good files, and make up half as many where there is a way to."""
    made = generated(parser, count // 2, number=seed) if parser in STRATEGIES else []
    return [*mutations(PARSERS[parser].seeds(), count, seed=seed, region=HEADERS), *made]


def check(parser: str, cases: list[bytes], outcomes: list[Outcome]) -> None:
    """Show the first cases that end badly, and see to it that the cases are damaged at all."""
    assert len(outcomes) == len(cases)
    bad = [(outcome, cases[i][:200]) for i, outcome in enumerate(outcomes) if not outcome.is_good]
    assert not bad, f"{parser}, {len(bad)} of {len(cases)}: {bad[:3]}"
    assert Counter(outcome.kind for outcome in outcomes)["refused"] >= len(cases) * PARSERS[parser].refused


@pytest.fixture(scope="module")
def quick() -> dict[str, list[Outcome]]:
    """How good files end, and some damaged ones, of every parser."""
    cases = [(parser, case) for parser in PARSERS for case in [*PARSERS[parser].seeds(), *damaged(parser, QUICK, 1)]]
    outcomes: dict[str, list[Outcome]] = {parser: [] for parser in PARSERS}
    for (parser, _), outcome in zip(cases, run_mixed(cases), strict=True):
        outcomes[parser].append(outcome)
    return outcomes


@pytest.mark.parametrize("parser", PARSERS)
def test_good_files_are_read(parser: str, quick: dict[str, list[Outcome]]) -> None:
    good = len(PARSERS[parser].seeds())
    assert [outcome.kind for outcome in quick[parser][:good]] == ["read"] * good, quick[parser][:good]


@pytest.mark.parametrize("parser", list(PARSERS))
def test_some_damaged_files_are_read_or_refused(parser: str, quick: dict[str, list[Outcome]]) -> None:
    check(parser, damaged(parser, QUICK, 1), quick[parser][len(PARSERS[parser].seeds()) :])


@pytest.mark.slow
@pytest.mark.parametrize("parser", list(PARSERS))
def test_thousands_of_damaged_files_are_read_or_refused(parser: str) -> None:
    cases = damaged(parser, THOROUGH, 2)
    check(parser, cases, run_cases(parser, cases, memory=PARSERS[parser].memory))
