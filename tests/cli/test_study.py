from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomaug.cli import main

QUICK = ["--choices", "2", "--seeds", "1", "--steps", "4", "--copies", "1", "--size", "16", "--no-progress"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for person in range(3):
        (tmp_path / "faces" / f"p{person}").mkdir(parents=True)
        for number in range(3):
            pixels = rng.integers(0, 255, (24, 24), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "faces" / f"p{person}" / f"{number}.png")
    return tmp_path / "faces"


def test_a_study_prints_its_table_and_writes_its_files(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = tmp_path / "wide.json"
    wide.write_text(json.dumps({"driving": "parametric yaw=-20:20 count=12", "strength_range": [0.5, 1.0]}))
    words = ["study", str(data), "-o", str(tmp_path / "out"), "--arm", f"wide={wide}", "--arm", "nods=gestures", *QUICK]
    assert main(words) == 0
    out, err = capsys.readouterr()
    titles = [line.split("  ")[0] for line in out.splitlines()[:6]]
    assert titles == ["arm", "none", "classic", "classic + copies", "classic + wide", "classic + nods"]
    assert "to go: 10 runs and 18 copies" in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "runs.jsonl", "settings.json", "study.json", "study.svg", "study.txt",
    ]  # fmt: skip
    found = json.loads((tmp_path / "out" / "study.json").read_text())
    assert found["verdict"] in out and found["settings"]["arms"]["wide"]["strength_range"] == [0.5, 1.0]
    assert main(words) == 0
    again = capsys.readouterr()
    assert again.out == out and "to go" not in again.err


def test_the_folder_is_named_after_the_dataset(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (data / "p0" / "bad.png").write_bytes(b"no picture")
    assert main(["study", str(data), *QUICK]) == 3
    assert (tmp_path / "faces-study" / "study.json").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--arm", "wide"], "is not NAME=WHAT"),
        (["--arm", "wide=nowhere"], "there is no 'nowhere'"),
        (["--per-class", "3"], "each class needs more than 3 pictures"),
        (["--task", "landmarks"], "needs annotations"),
        (["--task", "expression"], "give group_pattern"),
        (["--share", "0"], "above 0 and at most 1"),
    ],
)
def test_wrong_words_are_one_line_and_2(
    data: Path, tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", str(data), "-o", str(tmp_path / "out"), *QUICK, *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
