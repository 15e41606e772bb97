"""Head poses and expressions of views are columns in the formats that have columns."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fomaug import Animator
from fomaug.convert import convert
from fomaug.expand import expand

ANGLES = "yaw=-20:20:20 pitch=0,10 expressions=neutral,smile"
TABLES = {
    "csv": "landmarks_train.csv",
    "affectnet": "training.csv",
    "table": "labels_train.csv",
    "coco": "annotations/instances_train.json",
}
COLUMNS = {f"{kind}_{axis}" for kind in ("asked", "reached") for axis in ("yaw", "pitch", "roll")}


@pytest.fixture
def made(faces: Path, tmp_path: Path, face_model: Animator) -> Path:
    keys = sorted(path.relative_to(faces).as_posix() for path in faces.rglob("*.*"))
    (tmp_path / "points.csv").write_text("file,x0,y0\n" + "".join(f"{key},20,20\n" for key in keys))
    options: dict[str, Any] = {"driving": "views", "views": ANGLES, "copies": 3, "gates": "off", "seed": 4}
    expand(faces, tmp_path / "out", model=face_model, annotations=str(tmp_path / "points.csv"), **options)
    return tmp_path / "out"


def read_table(path: Path) -> list[dict[str, str]]:
    if path.suffix == ".json":
        return [{name: str(value) for name, value in image.items()} for image in json.loads(path.read_text())["images"]]
    with path.open() as file:
        return list(csv.DictReader(file))


def file_of(row: dict[str, str]) -> str:
    """Path of the picture below its split."""
    name = row.get("file") or row.get("file_name") or row["subDirectory_filePath"]
    return "/".join(name.split("/")[-2:])


@pytest.mark.parametrize("format", TABLES)
def test_a_table_has_the_view_of_every_copy(made: Path, tmp_path: Path, format: str) -> None:
    report = convert(made, tmp_path / "dest", to=format, on_note=[].append)
    table = {file_of(row): row for row in read_table(report.dest / TABLES[format])}
    rows = [json.loads(line) for line in (made / "manifest.jsonl").read_text().splitlines()]
    assert len(table) == 16
    for row in rows:
        found, view = table[row["file"]], row["view"]
        for kind in ("asked", "reached"):
            angles = [float(found[f"{kind}_{axis}"]) for axis in ("yaw", "pitch", "roll")]
            assert angles == pytest.approx(view[kind])
        assert found["view_expression"] == view["expression"]
        assert [float(found[f"view_{name}"]) for name in view["values"]] == list(view["values"].values())
    originals = [row for name, row in table.items() if "_m0" not in name]
    assert len(originals) == 4
    assert all(not row.get(column) for row in originals for column in COLUMNS), "nothing is known of originals"


def test_formats_without_columns_say_that_views_are_left_out(made: Path, tmp_path: Path) -> None:
    notes: list[str] = []
    convert(made, tmp_path / "dest", to="folder", on_note=notes.append)
    assert any("head poses and expressions of views" in note for note in notes)


def test_a_table_needs_no_labels(faces: Path, tmp_path: Path, labelled: Callable[..., Any]) -> None:
    data = labelled()
    report = convert(data.out, tmp_path / "dest", to="table", on_note=[].append)
    rows = read_table(report.dest / "labels_train.csv")
    assert list(rows[0]) == ["file", "label", "source", "copy", "synthetic", "smiling"]
    assert {(row["copy"] != "", row["synthetic"]) for row in rows} == {(True, "1"), (False, "0")}
    assert all((report.dest / row["file"]).is_file() and row["label"] in row["file"] for row in rows)
