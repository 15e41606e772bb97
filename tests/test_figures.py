"""The command that measures all figures, and the scripts of single figures."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

FOLDER = Path(__file__).parents[1] / "benchmarks"
ONLY = ["network", "overhead", "draws", "convolutions"]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


# Libraries that are measured beside fomaug warn about their own dependencies.
@pytest.mark.filterwarnings("ignore")
def test_figures_come_with_their_method(
    load: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figures, out = load("figures"), tmp_path / "figures.json"
    monkeypatch.setattr(load("throughput"), "BATCHES", {"cpu": 1})
    monkeypatch.setattr("sys.argv", ["figures.py", "--only", *ONLY, "--seconds", "0", "--out", str(out)])
    figures.main()
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads(out.read_text())
    assert report["machine"]["device"] == "cpu"
    assert list(report["figures"]) == ONLY
    for figure in report["figures"].values():
        assert figure["method"] and figure["took_seconds"] > 0
    assert report["figures"]["network"]["values"]["frames_per_second"] > 0
    assert all(row["draws_per_second"] > 0 for row in report["figures"]["draws"]["values"])
    for ms in report["figures"]["overhead"]["values"].values():
        assert 0 < ms["draw_and_targets"] < ms["module"]
    convolutions = report["figures"]["convolutions"]["values"]
    assert 0 < convolutions["share_of_animate"] < 1
    assert convolutions["ms"]["fomaug"] > 0


def test_threads_are_set_for_a_figure_and_restored(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = load("figures")
    threads, given = [], figures.Time(0.0, [2, 1])
    monkeypatch.setattr(load("official"), "report", lambda *args: threads.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    assert list(figures.FIGURES["official"].measure(given)) == ["2 threads", "1 threads"]
    assert threads == [2, 1]
    assert torch.get_num_threads() == before


def test_compiled_methods_are_timed_in_a_new_process(load: Any) -> None:
    assert load("compiled").report(["detect"], backend="eager")["detect"] > 0


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
