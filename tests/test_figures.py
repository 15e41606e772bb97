"""The commands that measure all figures and all goals: what they print, and what they say without a GPU."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured_and_said(
    load: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["gpu.py"])
    assert load("gpu").main() == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "torch finds none here, so nothing was measured" in printed.err


def test_goals_are_judged_in_their_direction(load: Any) -> None:
    gpu = load("gpu")
    parts = {
        "network": {"frames_per_second": 8000.0},
        "loading": {"images_per_second": {"network alone": 10.0, "module": 8.0, "MotionLoader": 7.0}},
        "busy": {"share": 0.9},
        "training": {"times_slower": {"MotionLoader, p=0.5": 1.4}},
        "single": {"models": {"lite-256": [{"stage": "detect", "ms": 1.0}, {"stage": "frame", "ms": 3.0}]}},
        "official": {"times_as_fast": 20.0},
    }
    goals = gpu.compare(parts)
    assert goals.keys() == gpu.GOALS.keys()
    missed = {name for name, goal in goals.items() if not goal["met"]}
    assert missed == {"loader", "training"}
    assert goals["training"]["at_most"] == 1.3


@torch.no_grad()
def test_graphs_are_compared_with_the_module(load: Any) -> None:
    found = load("gpu").graphs(torch.device("cpu"), "float32", 1, 0.0)  # on a CPU nothing is recorded
    assert found["recordings"] == 0
    assert found["largest_difference_of_255"] == 0
    assert found["times_as_fast"] > 0 and found["images_per_second"].keys() == {"without", "with"}


def test_the_time_of_overlapping_kernels_counts_once(load: Any) -> None:
    assert load("gpu").union([(4.0, 5.0), (0.0, 2.0), (1.0, 3.0), (1.5, 2.0)]) == 4.0


# Libraries that are measured beside fomaug warn about their own dependencies.
@pytest.mark.filterwarnings("ignore")
def test_figures_come_with_their_method(
    load: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, out = load("figures"), tmp_path / "figures.json"
    monkeypatch.setattr(load("throughput"), "BATCHES", {"cpu": 1})
    monkeypatch.setattr("sys.argv", ["figures.py", "--only", "network", "draws", "--seconds", "0", "--out", str(out)])
    figures.main()
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads(out.read_text())
    assert report["machine"]["device"] == "cpu"
    assert list(report["figures"]) == ["network", "draws"]
    for figure in report["figures"].values():
        assert figure["method"] and figure["took_seconds"] > 0
    assert report["figures"]["network"]["values"]["frames_per_second"] > 0
    assert all(row["draws_per_second"] > 0 for row in report["figures"]["draws"]["values"])


@torch.no_grad()
def test_the_official_architecture_has_the_pixels_of_the_public_procedure(load: Any) -> None:
    official = load("official")
    plain, quick = official.animators(torch.device("cpu"))
    pictures = load("timing").portraits(3, 256).float() / 255
    material = official.Material(pictures[:1], pictures[1:])
    one, other = official.public(plain, material), official.together(quick, material)
    assert one.std() > 0.02, "a picture with contrast"
    assert (one[0] - one[1]).abs().max() > 1e-3, "the frames differ"
    torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


def test_runtimes_are_compared_turn_by_turn(load: Any) -> None:
    runtimes = load("runtimes")
    calls: list[str] = []

    def candidate(name: str) -> Any:
        return runtimes.Candidate(lambda: calls.append(f"{name} encodes"), lambda: calls.append(f"{name} animates"))

    ticks = iter(range(100))
    candidates = {"torch": candidate("torch"), "other": candidate("other")}
    times = runtimes.take_turns(candidates, "animate", 2, lambda: float(next(ticks)))
    assert calls == ["torch animates", "other animates"] * 3
    assert times == {"torch": [1.0, 1.0], "other": [1.0, 1.0]}
    found = runtimes.compare({"torch": [3.0, 4.0], "other": [1.0, 2.0]}, 2)
    assert found["other"] == {"ms_a_picture": 750.0, "times_as_fast_as_torch": 2.5}


def test_jobs_of_a_crowd_are_summed(load: Any) -> None:
    crowd = load("crowd")
    jobs = [{"pictures": 8, "seconds": 2.0, "processor": 1.0}, {"pictures": 4, "seconds": 4.0, "processor": 3.0}]
    assert crowd.pictures(jobs) == 5.0
    assert crowd.per_processor_second(jobs) == 3.0
