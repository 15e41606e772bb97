"""Flawed annotations in a job: named, counted, and everything else is done; or the job stops at once."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fomaug import DrivingPool
from fomaug.cli import main
from fomaug.errors import LabelError
from fomaug.expand import ExpandReport, summarise
from fomaug.labels import read_annotations
from fomaug.labels.rle import encode_mask
from fomaug.media import save_image

GOOD = {"id": 2, "image_id": 2, "category_id": 1, "bbox": [8, 8, 30, 30]}
IMAGES = [{"id": 1, "file_name": "anna/1.png"}, {"id": 2, "file_name": "ben/1.png"}]


def coco(path: Path, *annotations: dict[str, object]) -> Path:
    path.write_text(json.dumps({"images": IMAGES, "annotations": annotations, "categories": []}))
    return path


def rows_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def boxes_by_file(path: Path) -> dict[str, int]:
    content = json.loads(path.read_text())
    names = {image["id"]: image["file_name"] for image in content["images"]}
    found = dict.fromkeys(names.values(), 0)
    for face in content["annotations"]:
        found[names[face["image_id"]]] += 1
    return found


def test_flawed_annotations_are_named_and_all_others_move(run: Callable[..., ExpandReport], tmp_path: Path) -> None:
    orphan = {**GOOD, "id": 3, "image_id": 99}
    flawed = {**GOOD, "id": 1, "image_id": 1, "bbox": []}
    report = run(coco(tmp_path / "faces.json", flawed, GOOD, orphan))
    assert not report.complete
    assert (report.written, report.unannotated, report.failed) == (10, 4, ())
    path = tmp_path / "faces.json"
    assert [failure.source for failure in report.flawed] == [
        f"{path}, annotation 0 (id 1)",
        f"{path}, annotation 2 (id 3)",
    ]
    assert report.flawed[0].reason.endswith("(picture anna/1.png)")
    assert boxes_by_file(report.out / "faces.json") == {"ben/1_m000.png": 1, "ben/1_m001.png": 1}
    summary = json.loads((report.out / "expand.json").read_text())
    assert len(summary["flawed"]) == 2
    assert summarise(report.out).flawed == 2


def test_raise_stops_before_anything_is_written(run: Callable[..., ExpandReport], tmp_path: Path) -> None:
    path = coco(tmp_path / "faces.json", GOOD, {**GOOD, "id": 1, "bbox": None})
    with pytest.raises(LabelError, match=r"faces\.json, annotation 1 \(id 1\): bbox must .* with on_error='skip'"):
        run(path, on_error="raise")
    assert not (tmp_path / "out").exists()


def test_flaws_of_pictures_that_are_not_expanded_do_not_matter(
    run: Callable[..., ExpandReport], tmp_path: Path, faces: Path
) -> None:
    (faces / "anna" / "1.png").unlink()
    assert run(coco(tmp_path / "faces.json", {**GOOD, "id": 1, "image_id": 1, "bbox": []}, GOOD)).complete


def test_only_flawed_annotations_are_an_error_that_names_the_first(
    run: Callable[..., ExpandReport], tmp_path: Path
) -> None:
    (tmp_path / "points.csv").write_text("file,x0,y0\nanna/1.png,1,x\n")
    with pytest.raises(LabelError, match=r"none of the annotations .* line 2: a coordinate is not a number"):
        run(tmp_path / "points.csv")


@pytest.mark.parametrize("gates", ["off", {"min_sharpness": 1e9}], ids=["written", "rejected"])
def test_run_lengths_of_another_size_are_named_by_every_run_of_the_job(
    run: Callable[..., ExpandReport], tmp_path: Path, contents: Callable[[Path], dict[str, bytes]], gates: object
) -> None:
    wrong, right = (encode_mask(np.ones((side, side)), packed=False) for side in (40, 48))
    faces = [
        {**GOOD, "id": 5, "image_id": 1, "segmentation": wrong},
        {**GOOD, "id": 6, "image_id": 1, "segmentation": right},
        {**GOOD, "id": 7},
    ]
    path = coco(tmp_path / "faces.json", *faces)
    report = run(path, gates=gates)
    (flaw,) = report.flawed
    assert flaw.source == f"{path}, annotation 0 (id 5)"
    assert "a mask must be (height, width) = (48, 48) like its picture, got (40, 40)" in flaw.reason
    whole = contents(report.out)
    if gates == "off":
        assert boxes_by_file(report.out / "faces.json")["anna/1_m000.png"] == 1
        (report.out / "carla" / "1_m001.png").unlink()
    again = run(path, gates=gates, resume=True)
    assert again.flawed == report.flawed
    assert contents(report.out) == whole
    with pytest.raises(LabelError, match=r"annotation 0 \(id 5\): a mask must be"):
        run(path, "other", on_error="raise", gates=gates)


def test_a_mask_of_another_size_is_named_and_its_picture_keeps_its_copies(
    run: Callable[..., ExpandReport], tmp_path: Path
) -> None:
    masks = tmp_path / "masks"
    for name, side in (("anna", 40), ("ben", 48)):
        (masks / name).mkdir(parents=True)
        save_image(masks / name / "1.png", np.zeros((side, side), np.uint8))
    report = run(masks)
    assert [failure.source for failure in report.flawed] == [str(masks / "anna" / "1.png")]
    assert report.written == 10
    assert sorted(str(path.relative_to(report.out)) for path in report.out.rglob("*.mask")) == [
        "ben/1_m000.mask",
        "ben/1_m001.mask",
    ]


def test_a_face_whose_only_box_is_flawed_is_named_besides_its_picture(
    run: Callable[..., ExpandReport], tmp_path: Path
) -> None:
    wrong = encode_mask(np.ones((40, 40)), packed=True)
    crowd = {**GOOD, "id": 8, "iscrowd": 1}
    path = coco(tmp_path / "faces.json", {**GOOD, "id": 5, "image_id": 1, "segmentation": wrong}, crowd)
    report = run(path, faces="boxes")
    assert [failure.source for failure in report.flawed] == [f"{path}, annotation 0 (id 5)"]
    assert {failure.source: failure.reason for failure in report.failed}["ben/1.png"] == "has no face that can be used"
    assert report.written == 0


def test_hidden_points_without_coordinates_remain_missing(run: Callable[..., ExpandReport], tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("file,x0,y0,v0,x1,y1,v1\nanna/1.png,,,0,30,20,1\n")
    report = run(tmp_path / "points.csv")
    assert report.complete
    assert {tuple(line.split(",")[1:4]) for line in (report.out / "points.csv").read_text().splitlines()[1:]} == {
        ("", "", "0")
    }
    text = (report.out / "manifest.jsonl").read_text()
    assert "NaN" not in text
    assert rows_of(report.out)[0]["annotation"]["points"][0] == [None, None]
    whole = (report.out / "points.csv").read_bytes()
    (report.out / "points.csv").unlink()
    run(tmp_path / "points.csv", resume=True)
    assert (report.out / "points.csv").read_bytes() == whole


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
@pytest.mark.parametrize("kind", ["pts", "masks", "csv", "jsonl"])
def test_names_that_are_not_utf8_have_annotations(
    run: Callable[..., ExpandReport], tmp_path: Path, faces: Path, kind: str
) -> None:
    odd = os.fsdecode(b"caf\xe9")
    tables = {
        "csv": b"file,x0,y0\ncaf\xe9/1.png,10,12\n",
        "jsonl": b'{"file_name": "caf\xe9/1.png", "points": [[10, 12]]}\n',
    }
    (faces / "anna").rename(faces / odd)
    (tmp_path / kind / odd).mkdir(parents=True)
    if kind == "pts":
        (tmp_path / kind / odd / "1.pts").write_text("{\n10 12\n}\n")
    elif kind in tables:
        (tmp_path / f"points.{kind}").write_bytes(tables[kind])
    else:
        save_image(tmp_path / kind / odd / "1.png", np.zeros((48, 48), np.uint8))
    path = tmp_path / (f"points.{kind}" if kind in tables else kind)
    report = run(path)
    assert report.complete
    if kind in tables:
        written = read_annotations(report.out / ("points.csv" if kind == "csv" else "metadata.jsonl"), report.out)
        assert f"{odd}/1_m001.png" in written
        return
    assert (report.out / odd / ("1_m001.mask" if kind == "masks" else "1_m001.pts")).is_file()
    assert run(tmp_path / kind, resume=True).new == 0


def test_the_command_exits_with_3_and_prints_the_flaws(
    tiny_pool: DrivingPool,
    faces: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = coco(tmp_path / "faces.json", {**GOOD, "id": 1, "image_id": 1, "bbox": []}, GOOD)
    words = ["expand", str(faces), str(tmp_path / "out"), "--annotations", str(path), "--copies", "1", "--gates", "off"]
    assert main([*words, "--no-progress"]) == 3
    printed = capsys.readouterr().err
    assert "1 annotation could not be used:" in printed
    assert f"{path}, annotation 0 (id 1): bbox must be x, y, width and height" in printed
    assert main([*words, "--no-progress", "--resume"]) == 3
    assert main(["report", str(tmp_path / "out")]) == 0
    assert "1 annotations could not be used" in capsys.readouterr().out
