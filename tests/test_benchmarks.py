"""Every part of `benchmarks/throughput.py` runs alone and reports finite, positive numbers as JSON."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"
PARTS = {
    "deformations": "times_as_fast_as_fomaug",
    "loading": "overhead_beyond_network",
    "training": "times_slower",
    "network": "share_of_ceiling",
}


@pytest.fixture
def throughput(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("throughput")


def test_these_are_all_parts(throughput: Any) -> None:
    assert throughput.PARTS.keys() == PARTS.keys()


# Libraries that are measured beside fomaug warn about their own dependencies.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("part", PARTS)
def test_a_part_runs_alone_and_reports(
    throughput: Any, part: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.json"
    options = "--device cpu --threads 1 --batch 1 --seconds 0 --turns 1"
    monkeypatch.setattr(throughput, "BATCHES", {"cpu": 2})
    monkeypatch.setattr("sys.argv", ["throughput.py", "--part", part, *options.split(), "--out", str(out)])
    throughput.main()
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads(out.read_text())
    assert report.keys() == {"machine", "settings", part}
    assert PARTS[part] in report[part]
    assert all(math.isfinite(number) for number in numbers(report[part]))
    assert all(rate > 0 for rate in numbers(report[part].get("images_per_second", {})))


def numbers(values: Any) -> Iterator[float]:
    """Yield all numbers of a nested dict."""
    if isinstance(values, dict):
        for value in values.values():
            yield from numbers(value)
    else:
        yield float(values)
