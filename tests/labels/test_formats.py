from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomaug._errors import LabelError
from fomaug.labels import FORMATS, FaceLabels, find_format, read_annotations, write_annotations

POINTS = np.array([[1.5, 2.25], [10.0, 20.0], [5.125, 6.0]])
BOXES = np.array([[1.0, 2.0, 11.0, 22.0], [3.0, 4.0, 8.0, 9.0]])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures" / "a"
    folder.mkdir(parents=True)
    for name in ("one.jpg", "two.jpg"):
        Image.new("RGB", (40, 30)).save(folder / name)
    return tmp_path / "pictures"


def labels(name: str) -> FaceLabels:
    if name == "masks":
        mask = np.arange(1200, dtype=np.uint8).reshape(30, 40) % 5
        return FaceLabels(mask=mask, palette=tuple(range(15)) + (0,) * 753)
    if name in ("csv", "pts"):
        return FaceLabels(points=POINTS, visible=np.array([True, True, True]))
    return FaceLabels(points=POINTS, visible=np.array([True] * 3), boxes=BOXES[:1])


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_is_read_again(root: Path, name: str) -> None:
    given = labels(name)
    rows = [(f"a/{stem}.jpg", (30, 40), given) for stem in ("one", "two")]
    (path, *_) = write_annotations(rows, root, name)
    assert find_format(path).name == name
    found = read_annotations(path, root)
    assert set(found) == {"a/one.jpg", "a/two.jpg"}
    for read in found.values():
        for field in ("points", "boxes", "mask"):
            expected = getattr(given, field)
            if expected is not None:
                np.testing.assert_allclose(getattr(read, field), expected, atol=1e-3)
        assert name != "masks" or (read.palette or ())[:15] == tuple(range(15))


def test_coco_keeps_categories_faces_and_fields(root: Path, tmp_path: Path) -> None:
    source = tmp_path / "instances.json"
    faces = [
        {
            "id": 5,
            "image_id": 9,
            "category_id": 3,
            "bbox": [1, 2, 10, 20],
            "keypoints": [1, 2, 2, 0, 0, 0],
            "mood": "x",
        },
        {"id": 6, "image_id": 9, "category_id": 4, "bbox": [3, 4, 5, 5]},
    ]
    content = {
        "images": [{"id": 9, "file_name": "a/one.jpg"}],
        "annotations": faces,
        "categories": [{"id": 3}, {"id": 4}],
    }
    source.write_text(json.dumps(content))
    found = read_annotations(source, root)["a/one.jpg"]
    np.testing.assert_allclose(found.boxes, [[1, 2, 11, 22], [3, 4, 8, 9]])
    assert found.visible is not None
    assert found.visible.tolist() == [True, False]
    write_annotations([("b/new.jpg", (30, 40), found)], tmp_path / "out", "coco", like=source)
    again = json.loads((tmp_path / "out" / "instances.json").read_text())
    assert again["categories"] == content["categories"]
    assert [face["category_id"] for face in again["annotations"]] == [3, 4]
    assert again["annotations"][0]["keypoints"] == [1, 2, 2, 0, 0, 0]
    assert again["annotations"][0]["mood"] == "x"
    assert again["annotations"][1]["bbox"] == [3, 4, 5, 5]
    assert again["images"][0] == {"id": 1, "file_name": "b/new.jpg", "width": 40, "height": 30}


def test_coco_points_behind_something_stay_labelled(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "points.json"
    face = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [1, 2, 1, 3, 4, 2, 0, 0, 0]}
    path.write_text(json.dumps({"images": [{"id": 1, "file_name": "a/one.jpg"}], "annotations": [face]}))
    found = read_annotations(path, root)["a/one.jpg"]
    write_annotations([("a/one.jpg", (30, 40), found)], tmp_path / "out", "coco", like=path)
    (again,) = json.loads((tmp_path / "out" / "points.json").read_text())["annotations"]
    assert again["keypoints"] == face["keypoints"]
    assert again["num_keypoints"] == 2


def test_jsonl_keeps_what_is_hidden_hidden(root: Path) -> None:
    given = FaceLabels(
        points=POINTS,
        visible=np.array([True, False, True]),
        boxes=BOXES,
        box_visible=np.array([False, True]),
        fields={"text": "a\u2028b", "objects": {"kind": ["x", "y"]}},
    )
    (path,) = write_annotations([("a/one.jpg", (30, 40), given)], root, "jsonl")
    path.write_text(path.read_text().replace("\\u2028", "\u2028"), encoding="utf-8")
    found = read_annotations(path, root)["a/one.jpg"]
    np.testing.assert_array_equal(found.visible, given.visible)
    np.testing.assert_array_equal(found.box_visible, given.box_visible)
    assert found.fields == given.fields


def test_a_face_that_left_the_picture_leaves_coco(tmp_path: Path) -> None:
    given = FaceLabels(
        points=POINTS,
        boxes=BOXES,
        box_visible=np.array([False, True]),
        fields={"points": [2, 1], "has_box": [True, True], "faces": [{"category_id": 1}, {"category_id": 2}]},
    )
    write_annotations([("x.jpg", (30, 40), given)], tmp_path, "coco")
    (face,) = json.loads((tmp_path / "annotations.json").read_text())["annotations"]
    assert face["category_id"] == 2
    assert face["keypoints"][:2] == [5.125, 6.0]


def test_other_columns_are_carried_along(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "landmarks.csv"
    path.write_text("file,person,x0,y0,x1,y1\na/one.jpg,p7,1,2,3,4\n")
    found = read_annotations(path, root)
    assert found["a/one.jpg"].fields == {"person": "p7"}
    write_annotations([("a/n.jpg", (30, 40), found["a/one.jpg"])], tmp_path / "out", "csv", like=path)
    lines = (tmp_path / "out" / "landmarks.csv").read_text().splitlines()
    assert lines == ["file,person,x0,y0,v0,x1,y1,v1", "a/n.jpg,p7,1.000,2.000,1,3.000,4.000,1"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", r"a\.json, line 1"),
        ("a.json", "[]", "holds a list"),
        ("a.json", '{"images": [{"id": 1}]}', "is no COCO file"),
        ("a.json", '{"images": [], "annotations": [{"image_id": 3}]}', "annotation 0: no image has the id 3"),
        ("a.csv", "name,x0,y0\n", "no column 'file'"),
        ("a.csv", "file,x0,y0\na,1,2\nb,x,2\n", r"a\.csv, line 3: a coordinate"),
        ("a.jsonl", '{"file_name": "x"}\nnonsense\n', r"a\.jsonl, line 2"),
        ("one.pts", "version: 1\n{\n1 2\n3\n}\n", r"one\.pts, line 4: two numbers"),
        ("a.csv", "file,x0,y0\na,1,nan\n", r"a\.csv, line 2: a coordinate"),
        ("a.csv", "file,x0,y0\na,1,2,3\n", r"a\.csv, line 2: there are more cells"),
        ("a.csv", "x0,y0,file\n1,2\n", r"a\.csv, line 2: there are more cells than columns, or no name"),
        ("a.jsonl", '{"file_name": "x", "points": [[1, 2]], "points_visible": []}', r"a\.jsonl, line 1.*one flag"),
        (
            "a.json",
            '{"images": [{"id": 1, "file_name": "x"}], "annotations": [{"image_id": 1, "bbox": [1, 2, 3]}]}',
            "the annotations of x are damaged",
        ),
        ("one.pts", "n_points: 3\n{\n1 2\n}\n", "promises 3 points and holds 1"),
        ("one.pts", "{\n1 inf\n}\n", r"one\.pts, line 2: two numbers"),
        ("one.pts", "nothing\n", "holds no points"),
        ("a.xml", "", "is of no format known here"),
    ],
)
def test_damaged_files_are_named_with_their_line(
    root: Path, tmp_path: Path, name: str, content: str, message: str
) -> None:
    path = (root / "a" if name.endswith(".pts") else tmp_path) / name
    path.write_text(content)
    with pytest.raises(LabelError, match=message):
        read_annotations(path, path.parent if name.endswith(".pts") else root)


def test_missing_files_unknown_formats_and_colour_masks(root: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="there are no annotations at"):
        read_annotations(tmp_path / "none.csv", root)
    with pytest.raises(LabelError, match="did you mean 'coco'"):
        write_annotations([], tmp_path, "cocoa")
    folder = tmp_path / "masks" / "a"
    folder.mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(folder / "one.png")
    with pytest.raises(LabelError, match="is a colour picture"):
        read_annotations(tmp_path / "masks", root)


def test_names_that_leave_the_folder_match_no_picture(root: Path, tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "secret.jpg")
    path = tmp_path / "landmarks.csv"
    path.write_text("file,x0,y0\n../secret.jpg,1,2\n")
    assert "secret.jpg" not in read_annotations(path, root)
