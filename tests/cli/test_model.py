from __future__ import annotations

import json
from pathlib import Path

import pytest

from fomaug import Animator, save_model
from fomaug.cli import main


@pytest.fixture
def models(tmp_path: Path, tiny_model: Animator, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a home folder with one imported model."""
    monkeypatch.setenv("FOMAUG_HOME", str(tmp_path))
    save_model(tiny_model, tmp_path / "models" / "tiny.safetensors", facts={"licence": "CC0"})
    return tmp_path / "models"


def test_list_names_every_model_with_its_licence(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "list"]) == 0
    found = capsys.readouterr()
    assert any(line.split()[:2] == ["tiny", "fomm"] and line.endswith("CC0") for line in found.out.splitlines())
    assert str(models) in found.err


def test_list_names_a_broken_file_and_the_others(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (models / "broken.safetensors").write_bytes(b"")
    assert main(["model", "list"]) == 3
    found = capsys.readouterr()
    assert {"tiny", "lite-256"} == {line.split()[0] for line in found.out.splitlines()}
    assert f"left out: {models / 'broken.safetensors'}" in found.err


def test_info_describes_a_model_by_name_or_path(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "info", "tiny"]) == 0
    text = capsys.readouterr().out
    assert "64 x 64" in text
    assert "licence       CC0" in text
    assert main(["model", "info", str(models / "tiny.safetensors"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["size"], found["facts"]["licence"]) == ("tiny", 64, "CC0")


def test_an_unknown_model_ends_with_2(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "info", "tyny"]) == 2
    assert "tyny" in capsys.readouterr().err


def test_an_official_checkpoint_can_be_imported(models: Path, shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    golden = shared / "fomm-golden"
    words = ["model", "import", str(golden / "tiny-cpk.pth.tar"), "--config", str(golden / "tiny.yaml")]
    assert main([*words, "--name", "golden"]) == 0
    assert "imported as golden" in capsys.readouterr().out
    assert main(["model", "info", "golden"]) == 0
    assert main([*words, "--name", "golden"]) == 2
    assert "golden.safetensors exists already" in capsys.readouterr().err
    assert main([*words, "--name", "golden", "--overwrite"]) == 0


def test_a_file_that_is_no_checkpoint_ends_with_2(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page.pth.tar").write_bytes(b"<!DOCTYPE html><html>quota exceeded</html>")
    assert main(["model", "import", str(tmp_path / "page.pth.tar")]) == 2
    assert "page.pth.tar" in capsys.readouterr().err
