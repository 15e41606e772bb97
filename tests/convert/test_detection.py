"""Detection formats, read back by their readers and compared with the annotations moved by the flow."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml
from PIL import Image

from fomaug.convert import ConvertReport
from fomaug.media import read_picture

Convert = Callable[..., ConvertReport]
Make = Callable[..., Any]  # `labelled` and `Labelled` of conftest.py


def picture_of(key: str, row: dict | None) -> str:
    return key if row is None else row["file"]


@pytest.mark.parametrize("format", ["coco", "coco-keypoints"])
def test_pycocotools_reads_every_box_and_keypoint_moved(labelled: Make, to: Convert, format: str) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    data = labelled()
    report = to(data, format)
    with contextlib.redirect_stdout(io.StringIO()):
        read = coco.COCO(str(report.dest / report.files[0]))
    assert [entry["name"] for entry in read.loadCats(read.getCatIds())] == ["head"]
    by_name = {image["file_name"]: image for image in read.loadImgs(read.getImgIds())}
    assert set(by_name) == {f"train/{picture_of(*each)}" for each in data.each()}
    for key, row in data.each():
        image = by_name[f"train/{picture_of(key, row)}"]
        assert (report.dest / "images" / image["file_name"]).is_file()
        (face,) = read.loadAnns(read.getAnnIds(imgIds=image["id"]))
        x, y, w, h = face["bbox"]
        np.testing.assert_allclose([x, y, x + w, y + h], data.box(key, row), atol=0.05)
        assert (face["iscrowd"], face["smiling"], face["label"]) == (0, "yes", key.split("/")[0])
        if format == "coco-keypoints":
            points, visible = data.points(key, 5, row)
            found = np.reshape(face["keypoints"], (-1, 3))
            seen = found[:, 2] == 2
            assert (seen <= visible).all(), "occlusion can only hide more"
            np.testing.assert_allclose(found[seen, :2], points[seen], atol=0.05)
            assert face["num_keypoints"] == seen.sum()


def test_cocoeval_finds_the_annotations_perfect(labelled: Make, to: Convert) -> None:
    coco, cocoeval = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.cocoeval")
    report = to(labelled(), "coco")
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO(str(report.dest / report.files[0]))
        guesses = [{**entry, "score": 1.0} for entry in truth.loadAnns(truth.getAnnIds())]
        judge = cocoeval.COCOeval(truth, truth.loadRes(guesses), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    assert judge.stats[0] == pytest.approx(1)


def test_voc_reads_like_voc(labelled: Make, to: Convert) -> None:
    data = labelled()
    report = to(data, "voc")
    root = report.dest / "VOCdevkit" / "VOC2012"
    names = (root / "ImageSets" / "Main" / "train.txt").read_text().split()
    assert len(names) == len(data.each()) == len(list((root / "JPEGImages").glob("*.jpg")))
    for name, (key, row) in zip(names, data.each(), strict=True):
        tree = ElementTree.parse(root / "Annotations" / f"{name}.xml")
        assert tree.findtext("filename") == f"{name}.jpg"
        assert tree.findtext("object/name") == "head"
        found = [int(tree.findtext(f"object/bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
        x0, y0, x1, y1 = data.box(key, row)
        np.testing.assert_allclose(found, [x0 + 1, y0 + 1, x1, y1], atol=0.55)


def test_torchvision_opens_voc(labelled: Make, to: Convert) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    data = labelled()
    report = to(data, "voc")
    read = datasets.VOCDetection(str(report.dest), year="2012", image_set="train", download=False)
    assert len(read) == len(data.each())
    picture, target = read[0]
    assert (picture.height, picture.width) == (48, 48)
    assert target["annotation"]["object"][0]["name"] == "head"


def test_yolo_has_boxes_as_shares_of_the_picture(labelled: Make, to: Convert) -> None:
    data = labelled()
    report = to(data, "yolo", categories="label")
    content = yaml.safe_load((report.dest / "data.yaml").read_text())
    assert content["names"] == {0: "anna", 1: "ben"}
    assert content["train"] == content["val"] == "images/train"
    for key, row in data.each():
        path = report.dest / "labels" / "train" / Path(picture_of(key, row)).with_suffix(".txt")
        number, x, y, w, h = map(float, path.read_text().split())
        assert content["names"][int(number)] == key.split("/")[0]
        height, width = row["size"] if row else (40, 56) if key == "anna/2.png" else (48, 48)
        found = [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]
        np.testing.assert_allclose(found, data.box(key, row), atol=0.05)
        assert (report.dest / "images" / "train" / picture_of(key, row)).is_file()


def test_yolo_pose_has_points_and_their_mirror(labelled: Make, to: Convert) -> None:
    data = labelled(68)
    report = to(data, "yolo-pose")
    content = yaml.safe_load((report.dest / "data.yaml").read_text())
    assert content["kpt_shape"] == [68, 3]
    assert sorted(content["flip_idx"]) == list(range(68)) and content["flip_idx"][36] == 45
    for key, row in data.each():
        path = report.dest / "labels" / "train" / Path(picture_of(key, row)).with_suffix(".txt")
        found = np.reshape([float(word) for word in path.read_text().split()][5:], (68, 3))
        points, _ = data.points(key, 68, row)
        height, width = row["size"] if row else (40, 56) if key == "anna/2.png" else (48, 48)
        seen = found[:, 2] > 0
        assert seen.any() and (row is not None or seen.all())
        pixels = found[:, :2] * [width, height] - 0.5
        np.testing.assert_allclose(pixels[seen], points[seen], atol=0.05)


def add_source(out: Path, annotations: Path, name: str) -> None:
    """Add a picture of anna, whose face fills it, to the sources of an expansion and to its annotations."""
    with (out / "sources.jsonl").open("a") as file:
        file.write(json.dumps([name, "anna", "", 1]) + "\n")
    content = json.loads(annotations.read_text())
    content["images"].append({"id": 9, "file_name": name, "width": 48, "height": 48})
    content["annotations"].append({"id": 9, "image_id": 9, "category_id": 1, "bbox": [0, 0, 48, 48]})
    annotations.write_text(json.dumps(content))


def test_pictures_of_one_stem_have_text_files_of_their_own(
    labelled: Make, to: Convert, faces: Path, tmp_path: Path
) -> None:
    data = labelled()
    (faces / "anna" / "1.jpg").write_bytes((faces / "ben" / "2.jpg").read_bytes())
    add_source(data.out, tmp_path / "annotations.json", "anna/1.jpg")
    report = to(data, "yolo")
    assert (report.dest / "labels/train/anna/1-jpg-2.txt").read_text() == "0 0.5 0.5 1 1\n"
    assert (report.dest / "images/train/anna/1-jpg-2.jpg").is_file()


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_pictures_that_yolo_would_skip_become_png(
    labelled: Make, to: Convert, faces: Path, tmp_path: Path, mode: str
) -> None:
    data = labelled()
    picture = read_picture(faces / "ben" / "2.jpg")
    Image.fromarray(picture.rgb).save(faces / "anna" / "3.ppm")
    add_source(data.out, tmp_path / "annotations.json", "anna/3.ppm")
    report = to(data, "yolo", include_sources=mode)
    written = report.dest / "images/train/anna/3.png"
    assert not written.is_symlink() and written.read_bytes().startswith(b"\x89PNG")
    np.testing.assert_array_equal(read_picture(written).rgb, picture.rgb)
    assert (report.dest / "labels/train/anna/3.txt").read_text() == "0 0.5 0.5 1 1\n"
    assert not list(report.dest.rglob("*.ppm"))


def test_widerface_lists_pictures_numbers_and_faces(labelled: Make, to: Convert) -> None:
    data = labelled()
    report = to(data, "widerface")
    lines = (report.dest / "wider_face_split" / "wider_face_train_bbx_gt.txt").read_text().splitlines()
    assert len(lines) == 3 * len(data.each())
    for index, (key, row) in enumerate(data.each()):
        name, number, face = lines[3 * index : 3 * index + 3]
        assert (report.dest / "WIDER_train" / "images" / name).read_bytes()[:2] == b"\xff\xd8"
        assert number == "1"
        x, y, w, h, *attributes = map(int, face.split())
        assert attributes == [0] * 6
        np.testing.assert_allclose([x, y, x + w, y + h], data.box(key, row), atol=0.55)
