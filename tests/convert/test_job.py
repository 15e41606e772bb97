"""Conversion jobs of any format: originals, links, splits, archives, resuming, notes and bad input."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fomaug
from fomaug import Animator, DrivingPool
from fomaug.cli import main
from fomaug.convert import ConvertReport, convert
from fomaug.convert.formats import CONVERTERS, Converter, register
from fomaug.convert.outputs import Outputs
from fomaug.errors import ArgumentError, LabelError, ResumeError
from fomaug.expand import expand
from fomaug.media import read_mark, save_image

Convert = Callable[..., ConvertReport]
Make = Callable[..., Any]


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def pictures(root: Path) -> set[str]:
    return {name for name in contents(root) if Path(name).suffix in (".jpg", ".png")}


def quiet(note: str) -> None:
    del note


def test_the_package_is_the_function() -> None:
    assert callable(fomaug.convert)
    assert fomaug.convert.convert is convert


def test_originals_and_copies_are_in_one_folder(labelled: Make, to: Convert) -> None:
    data = labelled()
    report = to(data, "coco")
    assert (report.originals, report.copies) == (4, 8)
    for name, content in contents(report.dest / "images" / "train").items():
        origin = data.out / name if "_m00" in name else data.faces / name
        assert content == origin.read_bytes()
        assert not (report.dest / "images" / "train" / name).is_symlink()


def test_include_sources_none_converts_copies_only(labelled: Make, to: Convert) -> None:
    data = labelled()
    report = to(data, "coco", include_sources="none")
    assert (report.originals, report.copies) == (0, 8)
    assert pictures(report.dest / "images/train") == {row["file"] for row in data.rows}


def test_links_are_relative_and_survive_a_move_of_everything(labelled: Make, to: Convert, tmp_path: Path) -> None:
    data = labelled()
    report = to(data, "coco", include_sources="link")
    links = [path for path in (report.dest / "images").rglob("*") if path.is_symlink()]
    assert len(links) == 12
    assert not any(os.path.isabs(os.readlink(path)) for path in links)  # noqa: PTH115, PTH117
    before = contents(report.dest / "images")
    for name in ("faces", "out", "dest"):
        (tmp_path / "moved").mkdir(exist_ok=True)
        shutil.move(tmp_path / name, tmp_path / "moved" / name)
    assert contents(tmp_path / "moved" / "dest" / "images") == before


def test_re_encoded_pictures_are_not_links(labelled: Make, to: Convert) -> None:
    report = to(labelled(), "voc", include_sources="link")
    folder = report.dest / "VOCdevkit/VOC2012/JPEGImages"
    kinds = {path.name: path.is_symlink() for path in folder.iterdir()}
    assert kinds["train-ben-2.jpg"] and kinds["train-ben-2_m000.jpg"]
    assert not kinds["train-anna-1.jpg"]
    copy = read_mark(folder / "train-anna-1_m000.jpg")
    assert copy.synthetic and copy.model == "tiny"
    assert copy.properties["fomaug:SourceHash"]


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 4), (np.uint8, 2), (np.uint16, 3), (np.uint16, 4)])
@pytest.mark.parametrize("format", ["voc", "fer", "recordio"])
def test_alpha_and_16_bits_become_plain_jpegs(
    format: str,
    dtype: type,
    channels: int,
    tmp_path: Path,
    to: Convert,
    labelled: Make,
    faces: Path,
) -> None:
    data = labelled()
    top = np.iinfo(dtype).max
    save_image(faces / "anna" / "1.png", np.full((48, 48, channels), top, dtype))
    report = to(data, format, **({"align": 32, "points": "annotations"} if format == "recordio" else {}))
    assert (report.originals, report.copies) == (4, 8)
    if format == "voc":
        with Image.open(report.dest / "VOCdevkit/VOC2012/JPEGImages/train-anna-1.jpg") as image:
            assert image.format == "JPEG"
            assert image.convert("L").getextrema()[0] > 250


@pytest.mark.parametrize("format", ["webdataset", "parquet"])
def test_archives_are_unpacked(labelled: Make, to: Convert, format: str) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    data = labelled(format=format, samples_per_shard=3, batch_size=1)
    report = to(data, "coco", include_sources="link")
    names = pictures(report.dest / "images/train")
    assert len(names) == 12
    for row in data.rows:
        path = report.dest / "images/train" / row["member"]
        assert not path.is_symlink()
        assert hashlib.sha256(path.read_bytes()).hexdigest() == row["hash"]


def test_splits_are_separate_and_held_out_originals_are_included(
    tmp_path: Path, tiny_model: Animator, tiny_pool: DrivingPool
) -> None:
    for split in ("training", "valid", "test"):
        for person in ("a", "b"):
            save_image(tmp_path / f"set/{split}/{person}/1.png", np.full((32, 32, 3), 90, np.uint8))
    expand(tmp_path / "set", tmp_path / "out", driving=tiny_pool, model=tiny_model, gates="off", copies=1)
    report = convert(tmp_path / "out", tmp_path / "dest", to="folder", on_note=quiet)
    assert pictures(report.dest) == {
        *(f"{split}/{person}/1.png" for split in ("train", "val", "test") for person in "ab"),
        *(f"train/{person}/1_m000.png" for person in "ab"),
    }


def test_pictures_that_exif_turns_are_written_upright(labelled: Make, to: Convert, faces: Path) -> None:
    data = labelled()
    with Image.open(faces / "ben" / "2.jpg") as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.resize((40, 56)).save(faces / "ben" / "2.jpg", exif=exif)
    report = to(data, "coco", include_sources="link")
    path = report.dest / "images/train/ben/2.jpg"
    assert not path.is_symlink()
    with Image.open(path) as image:
        assert image.size == (56, 40)
        assert image.getexif().get(0x0112, 1) == 1
    content = json.loads((report.dest / "annotations/instances_train.json").read_text())
    (entry,) = [entry for entry in content["images"] if entry["file_name"] == "train/ben/2.jpg"]
    assert (entry["width"], entry["height"]) == (56, 40)


def test_an_interrupted_conversion_resumes_to_the_same_bytes(
    labelled: Make, to: Convert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = labelled()
    whole = contents(to(data, "yolo").dest)
    add, count = CONVERTERS["yolo"].add, 0

    def interrupt(self: Converter, entry: Any) -> bool:
        nonlocal count
        count += 1
        if count == 6:
            raise KeyboardInterrupt
        return add(self, entry)

    with monkeypatch.context() as patch:
        patch.setattr(CONVERTERS["yolo"], "add", interrupt)
        with pytest.raises(KeyboardInterrupt):
            to(data, "yolo", "second")
    assert not (tmp_path / "second" / "data.yaml").exists()
    assert not [path for path in (tmp_path / "second").rglob(".*") if path.name.endswith("tmp")]
    with pytest.raises(ResumeError, match=r"second is not empty; give a new folder, or resume=True"):
        to(data, "yolo", "second")
    with pytest.raises(ResumeError, match="was made with another categories"):
        to(data, "yolo", "second", resume=True, categories="label")
    to(data, "yolo", "second", resume=True)
    assert contents(tmp_path / "second") == whole


def test_a_folder_with_other_content_is_an_error(labelled: Make, to: Convert, tmp_path: Path) -> None:
    (tmp_path / "dest").mkdir()
    (tmp_path / "dest" / "thesis.txt").write_text("mine")
    data = labelled()
    for resume in (False, True):
        with pytest.raises(ResumeError, match=r"is not empty|was not written by fomaug convert"):
            to(data, "yolo", resume=resume)
    assert contents(tmp_path / "dest") == {"thesis.txt": b"mine"}


def test_notes_on_left_out_labels_precede_the_work(
    labelled: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = labelled(68)
    notes: list[tuple[str, bool]] = []
    convert(
        data.out, tmp_path / "dest", to="coco", on_note=lambda note: notes.append((note, (tmp_path / "dest").exists()))
    )
    assert notes[0][0].startswith("coco cannot store landmarks")
    assert not any(exists for _, exists in notes)
    with pytest.warns(UserWarning, match="coco cannot store landmarks"):
        convert(data.out, tmp_path / "again", to="coco")


def test_missing_labels_that_a_format_requires_are_an_error(
    faces: Path, tmp_path: Path, tiny_model: Animator, tiny_pool: DrivingPool
) -> None:
    expand(faces, tmp_path / "out", driving=tiny_pool, model=tiny_model, gates="off", copies=1)
    for name, need in (("coco", "boxes"), ("yolo-pose", "landmarks"), ("300w", "landmarks")):
        with pytest.raises(LabelError, match=f"{name} needs {need}, but this dataset has none; expand it with"):
            convert(tmp_path / "out", tmp_path / "dest", to=name)
    assert not (tmp_path / "dest").exists()


def test_moved_originals_are_named_and_can_be_given(labelled: Make, to: Convert, tmp_path: Path) -> None:
    data = labelled()
    shutil.move(tmp_path / "faces", tmp_path / "elsewhere")
    with pytest.raises(ArgumentError, match=r"the originals are not in .*faces; give their folder as dataset"):
        to(data, "coco")
    report = to(data, "coco", dataset=tmp_path / "elsewhere")
    assert report.originals == 4
    (tmp_path / "annotations.json").rename(tmp_path / "labels.json")
    with pytest.raises(ArgumentError, match=r"annotations of the originals are not at .*annotations.json"):
        to(data, "coco", "other", dataset=tmp_path / "elsewhere")
    again = to(data, "coco", "other", dataset=tmp_path / "elsewhere", annotations=tmp_path / "labels.json")
    assert contents(again.dest / "annotations") == contents(report.dest / "annotations")


def test_originals_that_are_gone_or_damaged_are_named(labelled: Make, to: Convert, faces: Path) -> None:
    data = labelled()
    (faces / "anna" / "1.png").unlink()
    (faces / "ben" / "1.png").write_bytes(b"no picture")
    report = to(data, "coco")
    assert not report.complete
    assert {failure.source for failure in report.failed} == {"anna/1.png", "ben/1.png"}
    assert (report.originals, report.copies) == (2, 8)


def test_an_unfinished_expansion_is_refused(labelled: Make, to: Convert) -> None:
    data = labelled()
    summary = json.loads((data.out / "expand.json").read_text())
    (data.out / "expand.json").write_text(json.dumps({**summary, "state": "running"}))
    with pytest.raises(ArgumentError, match="is unfinished; complete it with fomaug expand --resume"):
        to(data, "coco")


@pytest.mark.parametrize("name", ["../outside.png", "/etc/hostname"])
def test_rows_cannot_read_or_write_outside(labelled: Make, to: Convert, tmp_path: Path, name: str) -> None:
    data = labelled()
    row = {**data.rows[0], "file": name}
    (data.out / "manifest.jsonl").write_text(json.dumps(row) + "\n")
    save_image(tmp_path / "outside.png", np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(ArgumentError, match="outside"):
        to(data, "coco", include_sources="none")


def test_names_with_spaces_become_one_word_in_lists(labelled: Make, to: Convert, tmp_path: Path, faces: Path) -> None:
    (faces / "anna").rename(faces / "anna b")
    text = tmp_path / "annotations.json"
    data = labelled(98)
    text.write_text(text.read_text().replace("anna/", "anna b/"))
    report = to(data, "wflw")
    for line in (report.dest / "WFLW_annotations/list_98pt_rect_attr_train.txt").read_text().splitlines():
        assert len(line.split(" ")) == 207
        assert (report.dest / "images" / line.split(" ")[-1]).is_file()


def test_two_pictures_of_one_name_both_survive(labelled: Make, to: Convert, faces: Path) -> None:
    """A picture of the dataset may have the name of a copy."""
    data = labelled()
    (faces / "anna" / "1_m000.png").write_bytes((faces / "ben" / "1.png").read_bytes())
    with (data.out / "sources.jsonl").open("a") as file:
        file.write(json.dumps(["anna/1_m000.png", "anna", "", 1]) + "\n")
    report = to(data, "folder")
    assert (report.dest / "train/anna/1_m000.png").read_bytes() == (faces / "ben/1.png").read_bytes()
    assert (report.dest / "train/anna/1_m000-2.png").read_bytes() == (data.out / "anna/1_m000.png").read_bytes()


def test_every_format_has_a_name_a_summary_and_a_page() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "formats.md").read_text()
    for name, converter in CONVERTERS.items():
        assert converter.name == name and converter.summary
        assert f"--to {name} " in page or f"--to {name}\n" in page, name


def test_a_second_converter_of_a_name_is_refused() -> None:
    with pytest.raises(AssertionError, match="format coco is registered twice"):
        register(CONVERTERS["coco"])


def test_an_abandoned_file_leaves_nothing(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path)
    outputs.text("a/list.txt", "head\n").write("more")
    outputs.binary("b.rec").write(b"1")
    outputs.abandon()
    assert not contents(tmp_path)
    outputs = Outputs(tmp_path)
    outputs.text("a/list.txt", "head\n").write("more\n")
    outputs.text("a/list.txt", "head\n").write("last\n")
    outputs.finish()
    assert contents(tmp_path) == {"a/list.txt": b"head\nmore\nlast\n"}


def test_the_command_lists_formats_and_prints_notes(
    labelled: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", "--list"]) == 0
    assert "recordio" in capsys.readouterr().out
    data = labelled(68)
    assert main(["convert", str(data.out), str(tmp_path / "dest"), "--to", "yolo", "--no-progress"]) == 0
    printed = capsys.readouterr()
    assert "Note: yolo cannot store landmarks" in printed.err
    assert "4 originals and 8 copies in" in printed.out
    assert main(["convert", str(data.out), str(tmp_path / "x"), "--to", "jolo"]) == 2
    assert "did you mean 'yolo'?" in capsys.readouterr().err


@pytest.mark.parametrize("include", ["copy", "link"])
@pytest.mark.parametrize("format", ["coco", "folder", "recordio"])
def test_cut_originals_are_named_and_left_out(
    labelled: Make, to: Convert, faces: Path, format: str, include: str
) -> None:
    data = labelled()
    cut = [faces / "anna" / "1.png", faces / "ben" / "2.jpg"]
    for path in cut:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    if format == "recordio":  # which takes pictures of one size
        rows = [row for row in data.rows if row["source"] != "anna/2.png"]
        (data.out / "manifest.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        lines = (data.out / "sources.jsonl").read_text().splitlines()
        (data.out / "sources.jsonl").write_text("".join(f"{line}\n" for line in lines if "anna/2.png" not in line))
    report = to(data, format, include_sources=include)
    assert {failure.source for failure in report.failed} == {"anna/1.png", "ben/2.jpg"}
    assert all("cannot be read as a picture" in failure.reason for failure in report.failed)
    if format != "recordio":
        names = {path.relative_to(report.dest).as_posix() for path in report.dest.rglob("*.*")}
        assert not any(name.endswith(("anna/1.png", "ben/2.jpg")) for name in names)
        assert any(name.endswith("ben/1.png") for name in names)
