from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fomaug.cli import main
from fomaug.media import Provenance, save_image

GREY = np.zeros((4, 4), np.uint8)


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    return save_image(tmp_path / "marked.png", GREY, provenance=Provenance("lite-256"))


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return save_image(tmp_path / "plain.png", GREY)


def test_a_marked_file_ends_with_0_and_names_the_model(marked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(marked)]) == 0
    assert capsys.readouterr().out == f"{marked}: synthetic, by lite-256 (trainedAlgorithmicMedia)\n"


def test_one_unmarked_file_among_others_ends_with_1(
    marked: Path, plain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(plain), str(marked)]) == 1
    assert f"{plain}: not marked as synthetic" in capsys.readouterr().out


def test_an_unreadable_file_ends_with_2_after_the_others(
    marked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(tmp_path / "nowhere.png"), str(marked)]) == 2
    found = capsys.readouterr()
    assert "no file" in found.err
    assert "synthetic, by lite-256" in found.out


def test_json_holds_the_whole_mark(marked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--json", str(marked)]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["synthetic"] is True
    assert row["mark"]["fomaug:Model"] == "lite-256"
