"""The parts of `benchmarks/expand_scale.py` report numbers; its bars for resume and planning hold."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def measure(*words: str) -> dict:
    command = [sys.executable, str(ROOT / "benchmarks" / "expand_scale.py"), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return json.loads(done.stdout)


def test_a_few_rows_are_resumed_and_a_few_sources_planned() -> None:
    assert measure("resume", "--rows", "64")["rows"] == 64
    assert measure("plan", "--sources", "20")["copies"] == 320


@pytest.mark.slow
def test_a_million_rows_are_resumed_in_a_minute_and_400_megabytes() -> None:
    found = measure("resume", "--rows", "1000000")
    assert found["rows"] == 1_000_000
    assert found["seconds"] < 60
    assert found["megabytes"] < 400


@pytest.mark.slow
def test_many_small_sources_are_planned_cheaply() -> None:
    found = measure("plan", "--sources", "200000")
    assert found["cpu_seconds"] < 15
    assert found["megabytes"] < 250
