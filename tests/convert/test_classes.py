"""Formats of classes, attributes, expressions and forgery pairs, read by their own readers or published layouts."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fomaug.convert import ConvertReport
from fomaug.convert.formats.classes import AFFECTNET_ORDER, FER_ORDER, class_numbers
from fomaug.errors import LabelError
from fomaug.media import read_mark, read_picture

Convert = Callable[..., ConvertReport]
Make = Callable[..., Any]


def test_torchvision_reads_class_folders(labelled: Make, to: Convert) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    data = labelled()
    report = to(data, "folder")
    read = datasets.ImageFolder(str(report.dest / "train"))
    assert read.classes == ["anna", "ben"]
    wanted = {f"train/{key if row is None else row['file']}" for key, row in data.each()}
    assert {str(Path(path).relative_to(report.dest)) for path, _ in read.samples} == wanted


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_torchvision_reads_celeba(labelled: Make, to: Convert, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    data = labelled(68)
    report = to(data, "celeba")
    # torchvision compares the checksums of the original files.
    monkeypatch.setattr(datasets.CelebA, "_check_integrity", lambda self: True)
    kinds = ["attr", "identity", "bbox", "landmarks"]
    read = datasets.CelebA(str(report.dest), split="train", target_type=kinds)
    assert [name for name in read.attr_names if name] == ["smiling"]
    assert len(read) == len(data.each())
    for index, (key, row) in enumerate(data.each()):
        picture, (attributes, identity, box, points) = read[index]
        size = tuple(row["size"]) if row else read_picture(data.faces / key).size
        assert (picture.height, picture.width) == size
        assert attributes.tolist()[:1] == [1]
        assert identity.item() == 1 + ["anna", "ben"].index(key.split("/")[0])
        x0, y0, x1, y1 = data.box(key, row)
        np.testing.assert_allclose(box.tolist(), [x0, y0, x1 - x0, y1 - y0], atol=1.01)
        all_points, _ = data.points(key, 68, row)
        five = [all_points[36:42].mean(0), all_points[42:48].mean(0), *all_points[[30, 48, 54]]]
        np.testing.assert_allclose(np.reshape(points.tolist(), (5, 2)), five, atol=0.51)
    assert (report.dest / "celeba/names.txt").read_text().splitlines()[0] == "000001.jpg train/anna/1.png"


def test_torchvision_reads_fer(labelled: Make, to: Convert, monkeypatch: pytest.MonkeyPatch) -> None:
    fer = pytest.importorskip("torchvision.datasets.fer2013")
    data = labelled()
    report = to(data, "fer")
    with (report.dest / "fer2013.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["Usage"] for row in rows] == ["Training"] * len(data.each())
    (report.dest / "fer2013").mkdir()
    (report.dest / "fer2013.csv").rename(report.dest / "fer2013" / "fer2013.csv")
    monkeypatch.setattr(fer, "check_integrity", lambda path, md5: path.endswith("/fer2013.csv"))
    read = fer.FER2013(str(report.dest), split="train")
    assert len(read) == len(data.each())
    for index, (key, row) in enumerate(data.each()):
        picture, number = read[index]
        assert number == ["anna", "ben"].index(key.split("/")[0])
        path = data.faces / key if row is None else data.out / row["file"]
        wanted = Image.fromarray(read_picture(path).rgb).convert("L").resize((48, 48), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(wanted))
    assert (report.dest / "classes.txt").read_text() == "0 anna\n1 ben\n"


@pytest.mark.parametrize(
    ("classes", "order", "numbers"),
    [
        (("Happiness", "neutral"), FER_ORDER, [3, 6]),
        (("Happiness", "neutral"), AFFECTNET_ORDER, [1, 0]),
        (("anger", "contempt"), AFFECTNET_ORDER, [6, 7]),
        (("anger", "contempt"), FER_ORDER, [0, 1]),
        (("anger", "angry"), FER_ORDER, [0, 1]),
    ],
)
def test_expressions_have_the_numbers_of_their_dataset(
    classes: tuple[str, ...], order: tuple[str, ...], numbers: list[int]
) -> None:
    assert list(class_numbers(classes, order).values()) == numbers


def test_affectnet_has_boxes_landmarks_and_moods(labelled: Make, to: Convert) -> None:
    data = labelled(68)
    report = to(data, "affectnet")
    with (report.dest / "training.csv").open() as file:
        rows = list(csv.DictReader(file))
    for cells, (key, row) in zip(rows, data.each(), strict=True):
        assert (report.dest / "Manually_Annotated_Images" / cells["subDirectory_filePath"]).is_file()
        points = np.reshape([float(word) for word in cells["facial_landmarks"].split(";")], (68, 2))
        np.testing.assert_allclose(points, data.points(key, 68, row)[0], atol=0.01)
        assert cells["expression"] == str(["anna", "ben"].index(key.split("/")[0]))
        assert (cells["valence"], cells["smiling"]) == ("-2", "yes")


def test_forgery_pairs_share_a_key(labelled: Make, to: Convert) -> None:
    data = labelled()
    report = to(data, "forgery")
    with (report.dest / "pairs.csv").open() as file:
        rows = list(csv.DictReader(file))
    real = {row["key"]: row for row in rows if row["fake"] == "0"}
    fakes = [row for row in rows if row["fake"] == "1"]
    assert len(real) == 4 and len(fakes) == 8
    for row in fakes:
        assert real[row["key"]]["source"] == row["source"]
        assert read_mark(report.dest / row["file"]).synthetic
        assert row["file"].startswith("train/fake/")
    for row in real.values():
        assert (report.dest / row["file"]).read_bytes() == (data.faces / row["source"]).read_bytes()
    with pytest.raises(LabelError, match="forgery needs the originals as real pictures"):
        to(data, "forgery", "other", include_sources="none")


def test_hugging_face_reads_class_folders(labelled: Make, to: Convert, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    data = labelled()
    report = to(data, "folder")
    read = datasets.load_dataset("imagefolder", data_dir=str(report.dest), cache_dir=str(tmp_path / "cache"))
    assert list(read) == ["train"]
    assert read["train"].features["label"].names == ["anna", "ben"]
    assert len(read["train"]) == len(data.each())


def test_a_dataset_without_classes_is_refused(
    labelled: Make, to: Convert, faces: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = labelled(labels="drop", annotations=None)
    with pytest.raises(LabelError, match="folder needs class labels, but this dataset has none"):
        to(data, "folder", include_sources="none")


def test_the_folder_holds_only_json_and_visible_pictures(labelled: Make, to: Convert) -> None:
    """The state of a conversion is a hidden file, so that loaders ignore it."""
    report = to(labelled(), "folder")
    others = [path for path in report.dest.rglob("*") if path.is_file() and path.suffix not in (".png", ".jpg")]
    assert [path.name for path in others] == [".fomaug-convert.json"]
    assert json.loads(others[0].read_text())["state"] == "done"
    assert Image.open(io.BytesIO((report.dest / "train/ben/2.jpg").read_bytes())).format == "JPEG"
