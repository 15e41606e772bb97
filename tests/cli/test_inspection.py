from __future__ import annotations

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from fomaug.animator import Animator
from fomaug.cli import main
from fomaug.driving import DrivingPool
from fomaug.expand import expand
from fomaug.media import Provenance, save_image


@pytest.fixture
def out(tmp_path: Path, tiny_model: Animator, tiny_pool: DrivingPool, rng: np.random.Generator) -> Path:
    for i in range(14):
        save_image(tmp_path / "faces" / f"person {i:02d}" / "1.png", rng.integers(0, 256, (32, 32, 3), np.uint8))
    return expand(tmp_path / "faces", tmp_path / "out", driving=tiny_pool, model=tiny_model, copies=2, gates="off").out


def test_report_shows_the_numbers(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(out)]) == 0
    text = capsys.readouterr().out
    assert f"{out}: 28 copies of 14 pictures by tiny\n" in text
    assert "... 2 more" in text
    assert "strength" in text
    assert f"contact sheet  {out / '.contact_sheet.png'}" in text


def test_report_as_json_can_be_read_by_programs(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["copies"], found["labels"]["person 00"], found["state"]) == (28, 2, "done")


def test_a_job_without_copies_has_no_empty_table(
    out: Path, tiny_model: Animator, tiny_pool: DrivingPool, capsys: pytest.CaptureFixture[str]
) -> None:
    gates = {"max_stretch": -1.0}
    none = expand(out.with_name("faces"), out.with_name("none"), driving=tiny_pool, model=tiny_model, gates=gates).out
    assert main(["report", str(none)]) == 0
    text = capsys.readouterr().out
    assert "0 copies" in text
    assert "least" not in text


def test_an_unfinished_job_is_reported_as_unfinished(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = json.loads((out / "expand.json").read_text())
    (out / "expand.json").write_text(json.dumps({**summary, "state": "running"}))
    assert main(["report", str(out)]) == 0
    assert "unfinished" in capsys.readouterr().out


def test_other_folders_end_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    assert "not an expanded dataset" in capsys.readouterr().err


def test_check_ends_with_1_if_something_is_shared(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(out)]) == 0
    assert capsys.readouterr().out == "no leaks\n"
    assert main(["check", str(out), str(tmp_path / "faces")]) == 1
    text = capsys.readouterr().out
    assert "source person 00/1.png is in" in text
    assert "14 leaks" in text
    assert main(["check", str(tmp_path / "nowhere")]) == 2


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


def test_every_picture_below_a_folder_is_verified_in_order_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    paths = [folder / name for name in ("a/1.png", "a/2.JPG", "b/1.bmp")]
    for path in paths:
        save_image(path, GREY, provenance=Provenance("lite-256"))
    (folder / "manifest.jsonl").write_text("{}")
    save_image(folder / ".hidden" / "1.png", GREY)
    assert main(["verify", str(folder)]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [str(path) for path in paths]
    assert last == "3 marked as synthetic, 0 not"


def test_a_folder_with_an_unmarked_picture_ends_with_1_and_with_an_unreadable_one_with_2(
    marked: Path, plain: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(marked.parent)]) == 1
    assert capsys.readouterr().out.endswith("\n1 marked as synthetic, 1 not\n")
    (marked.parent / "torn.png").write_bytes(b"no picture")
    assert main(["verify", str(marked.parent)]) == 2
    found = capsys.readouterr()
    assert "torn.png is neither an image" in found.err
    assert found.out.endswith("\n1 marked as synthetic, 1 not, 1 cannot be read\n")


def test_an_expanded_dataset_is_verified_by_its_folder(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(out)]) == 0
    assert capsys.readouterr().out.endswith("\n28 marked as synthetic, 0 not\n"), "the contact sheet is hidden"
    assert main(["verify", "--json", str(out)]) == 0
    assert all(json.loads(line)["synthetic"] for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(("format", "suffix"), [("webdataset", "tar"), ("parquet", "parquet")])
def test_the_pictures_in_archives_are_verified(
    tiny_model: Animator,
    tiny_pool: DrivingPool,
    tmp_path: Path,
    rng: np.random.Generator,
    format: str,
    suffix: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    for name in ("anna", "ben"):
        save_image(tmp_path / "faces" / name / "1.png", rng.integers(0, 256, (32, 32, 3), np.uint8))
    out = tmp_path / "out"
    options = {"driving": tiny_pool, "model": tiny_model, "copies": 3, "gates": "off", "format": format}
    expand(tmp_path / "faces", out, **options)
    (archive,) = out.rglob(f"*.{suffix}")
    assert main(["verify", str(out)]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert last == "6 marked as synthetic, 0 not"
    assert [line.partition(": ")[0] for line in lines] == [str(archive)] * 6
    assert all(line.endswith(".png: synthetic, by tiny (trainedAlgorithmicMedia)") for line in lines)
    assert main(["verify", "--json", str(archive)]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[0])["mark"]["fomaug:Model"] == "tiny"


def test_unmarked_and_unreadable_pictures_in_archives_are_named(
    plain: Path, marked: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "torn.png").write_bytes(b"no picture")
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for path in (plain, marked, tmp_path / "torn.png"):
            archive.add(path, path.name)
    (tmp_path / "b.tar").write_bytes(b"no archive")
    assert main(["verify", str(tmp_path / "a.tar"), str(tmp_path / "b.tar")]) == 2
    found = capsys.readouterr()
    assert f"{tmp_path / 'a.tar'}: torn.png is neither an image" in found.err
    assert f"{tmp_path / 'b.tar'} cannot be read as a tar file" in found.err
    assert f"{tmp_path / 'a.tar'}: plain.png: not marked as synthetic" in found.out
    assert found.out.endswith("\n1 marked as synthetic, 1 not, 2 cannot be read\n")


def test_a_folder_without_pictures_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "manifest.jsonl").write_text("{}")
    assert main(["verify", str(tmp_path)]) == 2
    assert "is a folder without pictures and videos; give the folder of the copies" in capsys.readouterr().err


def test_json_contains_the_whole_mark(marked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--json", str(marked)]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["synthetic"] is True
    assert row["mark"]["fomaug:Model"] == "lite-256"
