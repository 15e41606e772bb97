"""Small files that stand for much: read or refused within the time and memory of any other."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from harness import Outcome, run_mixed
from label_parsers import coco_values

Case = tuple[str, bytes]


def coco(segmentation: object) -> Case:
    values = coco_values()
    values["annotations"][0]["segmentation"] = segmentation
    return "coco", json.dumps(values).encode()


def stripes(runs: int) -> str:
    """Pack run lengths of one pixel each: a text of many runs, each of a few characters."""
    from fomaug.labels.rle import pack

    return pack([1, 40_000] * (runs // 2))


CASES: dict[str, tuple[Callable[[], Case], str]] = {
    "three hundred thousand points": (lambda: ("pts", b"{\n" + b"10.5 20.25\n" * 300_000 + b"}\n"), "got 300000"),
    "a polygon that reaches far": (lambda: coco([[8, 8, 38, 9, 1e15, 38]]), "beyond 100000 pixels"),
    "a mask of ten thousand megapixels": (
        lambda: coco({"size": [100_000, 100_000], "counts": [0, 10**10]}),
        "up to 1073741824 pixels",
    ),
    "run lengths of megabytes": (
        lambda: coco({"size": [20_000, 50_000], "counts": stripes(300_000)}),
        "do not fill",
    ),
    "one run length without an end": (lambda: coco({"size": [48, 48], "counts": "o" * 400_000 + "0"}), "60 bits"),
    "a mask of another size in four hundred kilobytes": (
        lambda: coco({"size": [40_001, 9_000], "counts": stripes(18_000)}),
        "got (40001, 9000)",
    ),
}


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Outcome]:
    return dict(zip(CASES, run_mixed([make() for make, _ in CASES.values()]), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_soon_and_in_little_memory(case: str, outcomes: dict[str, Outcome]) -> None:
    assert outcomes[case].kind == "refused", outcomes[case]
    assert CASES[case][1] in outcomes[case].text
