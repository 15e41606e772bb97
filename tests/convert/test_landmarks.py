"""Lists of landmarks, read back by readers of the published layouts or by fomaug."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fomaug.convert import ConvertReport
from fomaug.errors import LabelError
from fomaug.labels import read_annotations

Convert = Callable[..., ConvertReport]
Make = Callable[..., Any]  # `labelled` and `Labelled` of conftest.py


def name_of(key: str, row: dict | None) -> str:
    return f"train/{key if row is None else row['file']}"


def test_pts_files_are_in_the_folders_of_their_pictures(labelled: Make, to: Convert) -> None:
    data = labelled(68)
    report = to(data, "300w")
    read = read_annotations(report.dest / "images", report.dest / "images")
    assert set(read) == {name_of(*each) for each in data.each()}
    for key, row in data.each():
        np.testing.assert_allclose(read[name_of(key, row)].points, data.points(key, 68, row)[0], atol=0.01)


def test_pts_files_of_pictures_with_one_stem_are_kept_apart(
    labelled: Make, to: Convert, faces: Path, tmp_path: Path
) -> None:
    data = labelled(68)
    (faces / "anna" / "1.jpg").write_bytes((faces / "ben" / "2.jpg").read_bytes())
    with (data.out / "sources.jsonl").open("a") as file:
        file.write(json.dumps(["anna/1.jpg", "anna", "", 1]) + "\n")
    content = json.loads((tmp_path / "annotations.json").read_text())
    content["images"].append({"id": 9, "file_name": "anna/1.jpg", "width": 48, "height": 48})
    faces_of = {face["image_id"]: face for face in content["annotations"]}
    content["annotations"].append({**faces_of[4], "id": 9, "image_id": 9})
    (tmp_path / "annotations.json").write_text(json.dumps(content))
    report = to(data, "300w")
    read = read_annotations(report.dest / "images", report.dest / "images")
    for name, key in (("anna/1.png", "anna/1.png"), ("anna/1-jpg-2.jpg", "ben/2.jpg")):
        np.testing.assert_allclose(read[f"train/{name}"].points, data.points(key, 68)[0], atol=0.01)


def test_wflw_has_207_fields(labelled: Make, to: Convert) -> None:
    data = labelled(98)
    report = to(data, "wflw")
    lines = (report.dest / "WFLW_annotations" / "list_98pt_rect_attr_train.txt").read_text().splitlines()
    for line, (key, row) in zip(lines, data.each(), strict=True):
        fields = line.split(" ")
        assert len(fields) == 207
        assert fields[-1] == name_of(key, row)
        assert (report.dest / "images" / fields[-1]).is_file()
        np.testing.assert_allclose(
            np.reshape(fields[:196], (98, 2)).astype(float), data.points(key, 98, row)[0], atol=0.01
        )
        x0, y0, x1, y1 = data.box(key, row)
        np.testing.assert_allclose(np.array(fields[196:200], int), [x0, y0, x1 - 1, y1 - 1], atol=1.01)
        assert fields[200:206] == ["0"] * 6


def test_aflw_has_scale_side_centre_and_points(labelled: Make, to: Convert) -> None:
    data = labelled(21)
    report = to(data, "aflw")
    with (report.dest / "face_landmarks_aflw_train.csv").open() as file:
        rows = list(csv.reader(file))[1:]
    for cells, (key, row) in zip(rows, data.each(), strict=True):
        assert cells[0] == name_of(key, row)
        scale, side, centre_x, centre_y = map(float, cells[1:5])
        assert scale * 200 == pytest.approx(side, abs=0.2)
        x0, y0, x1, y1 = data.box(key, row)
        np.testing.assert_allclose([centre_x, centre_y], [(x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2], atol=0.05)
        np.testing.assert_allclose(
            np.reshape(cells[5:], (21, 2)).astype(float), data.points(key, 21, row)[0], atol=0.01
        )


def test_cofw_marks_hidden_points(labelled: Make, to: Convert) -> None:
    data = labelled(29)
    report = to(data, "cofw")
    lines = (report.dest / "cofw_train.txt").read_text().splitlines()
    for line, (key, row) in zip(lines, data.each(), strict=True):
        name, *numbers = line.split(" ")
        assert name == name_of(key, row) and len(numbers) == 4 + 3 * 29
        phi = np.array(numbers[4:], float)
        points, visible = data.points(key, 29, row)
        np.testing.assert_allclose(phi[:58].reshape(2, 29).T, points, atol=0.01)
        assert (phi[58:][~visible] == 1).all()
        assert row is not None or not phi[58:].any()


def test_csv_is_read_by_fomaug_itself(labelled: Make, to: Convert) -> None:
    data = labelled(7)
    report = to(data, "csv")
    read = read_annotations(report.dest / "landmarks_train.csv", report.dest)
    for key, row in data.each():
        labels = read[f"images/{name_of(key, row)}"]
        np.testing.assert_allclose(labels.points, data.points(key, 7, row)[0], atol=0.01)
        assert labels.fields["label"] == key.split("/")[0]
        assert labels.fields["smiling"] == "yes"
        assert labels.fields["copy"] == ("" if row is None else str(row["copy"]))


@pytest.mark.parametrize(("format", "counts"), [("wflw", "98"), ("aflw", "19 or 21"), ("cofw", "29")])
def test_another_number_of_landmarks_is_refused_before_anything_is_written(
    labelled: Make, to: Convert, tmp_path: Path, format: str, counts: str
) -> None:
    with pytest.raises(LabelError, match=f"{format} needs {counts} landmarks for each face, but this dataset has 5"):
        to(labelled(5), format)
    assert not (tmp_path / "dest").exists()
