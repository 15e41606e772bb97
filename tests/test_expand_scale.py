"""The parts of `benchmarks/expand_scale.py` report numbers; its bars for resume and planning hold."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import fresh
import numpy as np
import pytest

from fomaug.media import save_image

ROOT = Path(__file__).parents[1]
Measure = Callable[..., dict]


def measure(*words: str) -> dict:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [ROOT / "benchmarks" / "expand_scale.py", *words]
    return json.loads(fresh.run(command, check=True, env=environment).stdout)


@pytest.fixture
def measure_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Measure:
    """Function that runs the script in this process, which need not load its libraries again."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    script = importlib.import_module("expand_scale")
    monkeypatch.setattr(script, "in_new_process", lambda part, folder: part(folder))

    def run(*words: str) -> dict:
        monkeypatch.setattr("sys.argv", ["expand_scale.py", *words])
        script.main()
        return json.loads(capsys.readouterr().out)

    return run


def test_a_few_sources_are_planned_in_a_new_process() -> None:
    assert measure("plan", "--sources", "20")["copies"] == 320


def test_a_few_rows_are_resumed(measure_here: Measure) -> None:
    assert measure_here("resume", "--rows", "64")["rows"] == 64


def test_memory_of_small_jobs_masks_sheets_and_clips_is_reported(measure_here: Measure) -> None:
    assert measure_here("run", "--sources", "20")["copies"] == 20
    assert measure_here("masks", "--sources", "20")["masks"] == 20
    assert measure_here("clip", "--frames", "50")["frames"] == 50


def test_ray_is_timed_beside_the_local_engine(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    make_pictures(tmp_path, 4)
    found = measure("ray", str(tmp_path), "--copies", "2", "--turns", "1")
    assert set(found["beyond_start"]) == {"local", "ray"}


def test_two_processes_are_timed_beside_one(tmp_path: Path) -> None:
    make_pictures(tmp_path, 4)
    assert measure("processes", str(tmp_path), "--copies", "2", "--turns", "1")["copies"] == 8


def make_pictures(folder: Path, count: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(count):
        save_image(folder / f"{number}.png", rng.integers(0, 256, (32, 32, 3), np.uint8))


@pytest.mark.slow
def test_large_pictures_are_reduced_one_by_one_for_the_sheet() -> None:
    found = measure("sheet")
    assert found["jpg"]["megabytes"] < 100
    assert found["png"]["megabytes"] < 200


@pytest.mark.slow
def test_masks_are_listed_without_their_pixels() -> None:
    found = measure("masks", "--sources", "50000")
    assert found["masks"] == 50_000
    assert found["megabytes"] < 150


@pytest.mark.slow
def test_an_hour_of_a_clip_is_read_frame_by_frame() -> None:
    found = measure("clip", "--frames", "90000")
    assert found["frames"] == 90_000
    assert found["megabytes"] < 300


@pytest.mark.slow
def test_a_job_of_many_small_sources_takes_little_memory() -> None:
    found = measure("run", "--sources", "200000")
    assert found["copies"] == 200_000
    assert found["megabytes"] < 400


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
