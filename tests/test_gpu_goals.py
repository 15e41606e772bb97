"""The command that measures all goals for a GPU: its whole path on a CPU, its time, and what it says without a GPU."""

from __future__ import annotations

import importlib
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"
SMALL = ["--device", "cpu", "--batch", "1", "--seconds", "0", "--turns", "1"]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture
def command(load: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command, and return its exit code and its rows."""

    def run(*options: str) -> tuple[int, list[dict[str, Any]]]:
        monkeypatch.setattr("sys.argv", ["gpu.py", *options])
        code = load("gpu").main()
        return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured_and_said(
    load: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    assert load("gpu").main() == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "torch finds none here, so nothing was measured" in printed.err


def test_the_whole_path_runs_on_a_cpu(load: Any, command: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(load("throughput"), "BATCHES", {"cpu": 1})
    monkeypatch.setattr(load("goals"), "PASSES", 1)
    out = tmp_path / "goals.jsonl"
    code, rows = command(*SMALL, "--out", str(out))
    assert code == 1, "a CPU does not meet goals of a GPU"
    assert rows == [json.loads(line) for line in out.read_text().splitlines()]
    first, *parts, last = rows
    assert first["machine"]["device"] == "cpu"
    assert {part["measurement"] for part in parts} == load("goals").measurements().keys()
    for part in parts:
        assert part["method"] and part["took_seconds"] > 0
        assert all(math.isfinite(number) for number in numbers(part["values"])), part
    assert last["goals"].keys() == load("goals").GOALS.keys()
    for name, goal in last["goals"].items():
        assert set(goal["found"]) == ({"default"} if name == "official" else {"default", "with graphs"})
        assert all(value > 0 for value in goal["found"].values()) or name == "waits"
    compared = next(part["values"] for part in parts if part["measurement"] == "graphs")
    assert (compared["recordings"], compared["largest_difference_of_255"]) == (0, 0), "a CPU records nothing"


def numbers(values: Any) -> Iterator[float]:
    """Yield all numbers of a nested dict."""
    if isinstance(values, dict):
        for value in values.values():
            yield from numbers(value)
    elif isinstance(values, int | float):
        yield float(values)


def test_what_does_not_fit_in_the_time_is_skipped(command: Any) -> None:
    code, rows = command(*SMALL, "--minutes", "0")
    assert code == 1
    _, *parts, last = rows
    assert len(parts) > 10
    assert all(part["skipped"] == "the time of the command was over" for part in parts)
    assert all(goal["not_measured"] and not goal["met"] for goal in last["goals"].values())


def test_a_measurement_ends_with_its_share_of_the_time_and_others_go_on(
    load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu, goals = load("gpu"), load("goals")

    def sleep(run: Any) -> dict[str, Any]:
        while True:
            time.sleep(0.01)

    def fail(run: Any) -> dict[str, Any]:
        raise ValueError("no such operation")

    parts = {
        "slow": goals.Measurement("", 1, sleep),
        "broken": goals.Measurement("", 1, fail),
        "good": goals.Measurement("", 8, lambda run: {"left": run.end - time.perf_counter()}),
    }
    monkeypatch.setattr(gpu, "measurements", lambda: parts)
    start = time.perf_counter()
    _, slow, broken, good, _ = gpu.rows(
        goals.Run(torch.device("cpu"), "float32", 1, 0.0, 1), gpu.Deadline(2.0), list(parts)
    )
    assert time.perf_counter() - start < 1.5
    assert slow["skipped"] == "the measurement did not end in its time"
    assert broken["failed"] == "ValueError: no such operation"
    assert 0 < good["values"]["left"] < 2.0


def test_rows_come_while_later_parts_are_still_to_be_measured(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu, goals = load("gpu"), load("goals")
    done: list[int] = []
    parts = {str(number): goals.Measurement("", 1, lambda run: {"done": done.append(1)}) for number in range(2)}
    monkeypatch.setattr(gpu, "measurements", lambda: parts)
    rows = gpu.rows(goals.Run(torch.device("cpu"), "float32", 1, 0.0, 1), gpu.Deadline(60.0), list(parts))
    next(rows)
    next(rows)
    assert len(done) == 1


def test_turns_stop_by_the_clock(load: Any) -> None:
    timing, cpu = load("timing"), torch.device("cpu")
    turns = {"one": lambda: time.sleep(0.01), "other": lambda: time.sleep(0.01)}
    times = timing.take_turns(turns, cpu, seconds=60.0, end=time.perf_counter() + 0.3)
    assert len(times["one"]) == len(times["other"]) >= 1
    with pytest.raises(timing.OutOfTime):
        timing.take_turns(turns, cpu, seconds=60.0, end=time.perf_counter())
    many = timing.take_turns(turns, cpu, seconds=0.0, least=4)
    assert [len(spent) for spent in many.values()] == [4, 4]


@pytest.mark.parametrize(
    ("found", "met"),
    [
        ({"default": 7.0, "with graphs": 7.5}, False),
        ({"default": 10.0, "with graphs": 7.0}, True),
        ({"default": 7.0, "with graphs": 8.5}, True),
        ({"with graphs": 8.0}, True),
    ],
)
def test_a_goal_is_met_by_default_or_with_graphs(load: Any, found: dict[str, float], met: bool) -> None:
    goals = load("goals")
    names = {"default": "network", "with graphs": "network with graphs"}
    parts = {names[name]: {"frames_per_second": 1000 * value} for name, value in found.items()}
    goal = goals.judge(goals.GOALS["network"], parts)
    assert goal["met"] is met
    assert goal["found"] == {name: 1000 * value for name, value in found.items()}


def test_goals_are_judged_in_their_direction(load: Any) -> None:
    goals = load("goals")
    parts = {
        "network": {"frames_per_second": 8000.0},
        "loading": {"images_per_second": {"network alone": 10.0, "module": 8.0, "MotionLoader": 7.0}},
        "busy": {"share": 0.9},
        "training": {"times_slower": {"MotionLoader, p=0.5": 1.4}},
        "single": {"ms": 3.0},
        "official": {"times_as_fast": 20.0},
        "waits": {"waited": 1},
    }
    judged = {name: goals.judge(goal, parts) for name, goal in goals.GOALS.items()}
    assert {name for name, goal in judged.items() if not goal["met"]} == {"loader", "training", "waits"}
    assert judged["training"]["at_most"] == 1.3


def test_the_time_of_overlapping_kernels_counts_once(load: Any) -> None:
    assert load("goals").union([(4.0, 5.0), (0.0, 2.0), (1.0, 3.0), (1.5, 2.0)]) == 4.0
