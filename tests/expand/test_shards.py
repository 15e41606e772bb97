from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from fomaug.expand.plan import ExpandPlan
from fomaug.expand.shards import count_copies
from fomaug.expand.sources import SourceFile


def sources(**sizes: int) -> list[SourceFile]:
    return [SourceFile(Path("x"), f"{label}/{i}.jpg", label) for label, size in sizes.items() for i in range(size)]


def plan(**options: object) -> ExpandPlan:
    return ExpandPlan("data", "out", **options)


def test_without_balance_all_sources_have_equal_numbers_of_copies() -> None:
    assert count_copies(plan(copies=3), sources(a=2, b=1)) == [3, 3, 3]


@pytest.mark.parametrize("sizes", [{"a": 10, "b": 3, "c": 1}, {"a": 5, "b": 5}, {"a": 7, "b": 2}])
def test_balanced_classes_are_equal_with_their_pictures(sizes: dict[str, int]) -> None:
    items = sources(**sizes)
    totals = Counter(sizes)
    for item, count in zip(items, count_copies(plan(copies=4, balance=True), items), strict=True):
        totals[item.label] += count
    assert set(totals.values()) == {max(sizes.values()) * 5}


def test_the_largest_class_has_the_requested_copies() -> None:
    assert count_copies(plan(copies=4, balance=True), sources(a=3, b=1))[:3] == [4, 4, 4]


def test_no_picture_gets_more_than_the_limit() -> None:
    assert count_copies(plan(copies=4, balance=True, max_copies=9), sources(a=50, b=1))[-1] == 9
