"""The benchmark that runs many studies."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomaug import Animator, DrivingPool
from fomaug.labels import read_annotations
from fomaug.study import StudyPlan

FOLDER = Path(__file__).parents[2] / "benchmarks" / "downstream"


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"downstream_{name}", FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def benchmark() -> Any:
    return load("run")


@pytest.fixture
def people(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER.parent))
    return load("render_people")


def test_faces_are_cut_to_squares_within_their_pictures(people: Any) -> None:
    pixels = np.arange(256 * 256 * 3).reshape(256, 256, 3).astype(np.uint8)
    middle, _ = people.cut(pixels, np.array([[100.0, 80.0], [140.0, 160.0]]))
    np.testing.assert_array_equal(middle, pixels[70:170, 70:170])
    corner, _ = people.cut(pixels, np.array([[0.0, 0.0], [40.0, 80.0]]))
    np.testing.assert_array_equal(corner, pixels[:100, :100])
    assert people.cut(pixels, np.array([[-9.0, 0.0], [300.0, 255.0]]))[0].shape == (256, 256, 3)


def test_landmarks_are_written_in_pixels_of_the_cut_picture(people: Any, tmp_path: Path) -> None:
    pixels = np.zeros((256, 256, 3), np.uint8)
    pixels[80, 100] = 255  # its centre is 100.5, 80.5 from the corner
    cut, points = people.cut(pixels, np.array([[100.5, 80.5], [140.5, 160.5]]))
    x, y = points[0].astype(int)
    assert cut[y, x].tolist() == [255, 255, 255]
    picture = people.Picture(cut, points, 3, "smile", 4, np.array([10.0, -5.0, 1.0]))
    row, landmarks = people.write(tmp_path, picture)
    people.write_table(tmp_path / "landmarks.csv", ("file", "x0", "y0", "x1", "y1"), [landmarks])
    read = read_annotations(tmp_path / "landmarks.csv", tmp_path / "people")
    assert row == (3, "smile", 4, 10.0, -5.0, 1.0)
    np.testing.assert_array_equal(read["p03/smile_4.jpg"].points, points)


def test_an_expression_replaces_the_drawn_one_but_for_eyes(people: Any) -> None:
    units = {"eyeBlinkLeft": 0, "mouthSmileLeft": 1, "mouthSmileRight": 2, "jawOpen": 3}
    drawn = np.full((1, 4), 0.5, np.float32)
    smile = people.express(units, drawn, "smile", np.random.default_rng(0))
    assert smile[0, 0] == 0.5
    assert smile[0, 1] == smile[0, 2] > 0.5
    assert smile[0, 3] == 0
    np.testing.assert_array_equal(people.express(units, drawn, "neutral", np.random.default_rng(0)), [[0.5, 0, 0, 0]])


@pytest.mark.parametrize("name", ["small", "ablation", "turned"])
def test_the_files_hold_arguments_of_studies(benchmark: Any, name: str) -> None:
    studies = json.loads((FOLDER / f"{name}.json").read_text())
    for options in studies.values():
        values = benchmark.filled(options, dict.fromkeys(benchmark.names_in(options), "set"))
        assert not benchmark.names_in(values)
        StudyPlan(**{key: value for key, value in values.items() if key not in ("dataset", "embed", "arms")})


def test_all_studies_run_and_resume_into_one_table(
    benchmark: Any,
    tmp_path: Path,
    write_classes: Callable[..., Path],
    tiny_model: Animator,
    tiny_pool: DrivingPool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("fomaug.study.arms.load_model", lambda *_, **__: tiny_model)
    monkeypatch.setattr("fomaug.study.arms.load_pool", lambda *_: tiny_pool)
    quick = {"choices": 2, "seeds": 1, "steps": 4, "batch_size": 8, "copies": 1, "size": 16, "gates": "off"}
    studies = {
        "one": {
            "dataset": "{faces}",
            "arms": {"copies": "builtin", "half": {"driving": "builtin", "share": 0.25}},
            **quick,
        },
        "three": {"dataset": "{faces}", "test": "{val}", "per_class": 3, "arms": {"copies": "builtin"}, **quick},
        "absent": {"dataset": "{others}", **quick},
    }
    (tmp_path / "studies.json").write_text(json.dumps(studies))
    faces = write_classes(tmp_path / "faces")
    val = write_classes(tmp_path / "val", noise=30.0)
    command = ["run.py", str(tmp_path / "studies.json"), str(tmp_path / "out")]
    command += ["--set", f"faces={faces}", "--set", f"val={val}"]
    monkeypatch.setattr(sys, "argv", command)
    tables = []
    for _ in range(2):
        benchmark.main()
        tables.append((tmp_path / "out" / "downstream.md").read_text())
    assert tables[0] == tables[1]
    assert [line.split(" | ")[:2] for line in tables[0].splitlines()[2:]] == [
        ["| one", arm] for arm in ("none", "classic", "classic + copies", "classic + half")
    ] + [["| three", arm] for arm in ("none", "classic", "classic + copies")]
    printed = capsys.readouterr().out
    assert "absent: left out, since --set others is not given" in printed
    assert printed.count("to go:") == 2  # The second time, nothing is left to do.
    found = json.loads((tmp_path / "out" / "downstream.json").read_text())
    assert {name: result["test"] for name, result in found.items()} == {"one": None, "three": "val"}
