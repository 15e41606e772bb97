from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomaug.errors import LabelError
from fomaug.geometry import identity_grid
from fomaug.labels import FORMATS, FaceLabels, find_format, move, read_annotations, write_annotations

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
def test_written_labels_are_read_again(root: Path, name: str) -> None:
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
    np.testing.assert_allclose(found.boxes, [[1, 2, 10, 21], [3, 4, 7, 8]])  # first and last pixel
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


EDGE_BOXES = [[0, 0, 40, 30], [36.5, 27, 3.5, 3], [0, 29, 1, 1], [10, 5, 8, 9]]  # x, y, w, h in 40 x 30 pixels


@pytest.mark.parametrize("name", ["coco", "jsonl"])
def test_the_identity_returns_boxes_up_to_the_edges_of_the_picture(root: Path, tmp_path: Path, name: str) -> None:
    if name == "coco":
        faces = [{"id": i, "image_id": 1, "category_id": 1, "bbox": box} for i, box in enumerate(EDGE_BOXES, start=1)]
        content = {"images": [{"id": 1, "file_name": "a/one.jpg"}], "annotations": faces}
    else:
        content = {"file_name": "a/one.jpg", "objects": {"bbox": EDGE_BOXES}}
    path = tmp_path / ("boxes.json" if name == "coco" else "boxes.jsonl")
    path.write_text(json.dumps(content))
    moved = move(read_annotations(path, root)["a/one.jpg"], identity_grid((64, 64))[None], (30, 40))
    (written,) = write_annotations([("a/n.jpg", (30, 40), moved)], tmp_path / "out", name)
    again = json.loads(written.read_text())
    boxes = [face["bbox"] for face in again["annotations"]] if name == "coco" else again["objects"]["bbox"]
    np.testing.assert_allclose(boxes, EDGE_BOXES, atol=1e-3)


def test_hidden_coco_points_remain_labelled(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "points.json"
    face = {"id": 1, "image_id": 1, "category_id": 1, "keypoints": [1, 2, 1, 3, 4, 2, 0, 0, 0]}
    path.write_text(json.dumps({"images": [{"id": 1, "file_name": "a/one.jpg"}], "annotations": [face]}))
    found = read_annotations(path, root)["a/one.jpg"]
    write_annotations([("a/one.jpg", (30, 40), found)], tmp_path / "out", "coco", like=path)
    (again,) = json.loads((tmp_path / "out" / "points.json").read_text())["annotations"]
    assert again["keypoints"] == face["keypoints"]
    assert again["num_keypoints"] == 2


def test_jsonl_keeps_hidden_points_and_boxes_hidden(root: Path) -> None:
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


def test_a_face_that_left_the_picture_is_not_written_to_coco(tmp_path: Path) -> None:
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


def test_other_columns_are_kept(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "landmarks.csv"
    path.write_text("file,person,x0,y0,x1,y1\na/one.jpg,p7,1,2,3,4\n")
    found = read_annotations(path, root)
    assert found["a/one.jpg"].fields == {"person": "p7"}
    write_annotations([("a/n.jpg", (30, 40), found["a/one.jpg"])], tmp_path / "out", "csv", like=path)
    lines = (tmp_path / "out" / "landmarks.csv").read_text().splitlines()
    assert lines == ["file,person,x0,y0,x1,y1,v0,v1", "a/n.jpg,p7,1.000,2.000,3.000,4.000,1,1"]


def test_columns_keep_their_order_and_new_ones_follow_them(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "landmarks.csv"
    path.write_text("x0,y0,x1,y1,person,path,v1\n1,2,3,4,p7,a/one.jpg,0\n")
    labels = read_annotations(path, root)["a/one.jpg"]
    write_annotations([("a/n.jpg", (30, 40), labels)], tmp_path / "out", "csv", like=path)
    lines = (tmp_path / "out" / "landmarks.csv").read_text().splitlines()
    assert lines == ["x0,y0,x1,y1,person,file,v1,v0", "1.000,2.000,3.000,4.000,p7,a/n.jpg,0,1"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", r"a\.json, line 1"),
        ("a.json", "[]", "a JSON object was expected, got a list"),
        ("a.json", '{"images": [{"id": 1}]}', r"a\.json, image 0 \(id 1\): 'file_name' is missing"),
        ("a.json", '{"images": {}}', "is not a COCO file"),
        ("a.json", '{"images": [], "annotations": [{"image_id": 3}]}', "annotation 0: no image has the id 3"),
        ("a.csv", "name,x0,y0\n", "a column 'file' was expected, got the columns name, x0, y0"),
        ("a.csv", "file,x0,y0\na,1,2\nb,x,2\n", r"a\.csv, line 3: a coordinate"),
        (
            "a.csv",
            "file,x0,y0,x2,y2\na,1,2,3,4\n",
            "a column x2, but not both of x1 and y1; points are numbered",
        ),
        ("a.csv", "file,x0,y0,x1\na,1,2,3\n", "line 1: there is a column x1, but not both of x1 and y1"),
        ("a.jsonl", '{"file_name": "x"}\nnonsense\n', r"a\.jsonl, line 2"),
        ("one.pts", "version: 1\n{\n1 2\n3\n}\n", r"one\.pts, line 4: two numbers"),
        ("a.csv", "file,x0,y0\na,1,nan\n", r"a\.csv, line 2: a coordinate"),
        ("a.csv", "file,x0,y0\na,1,2,3\n", r"a\.csv, line 2: the row has more cells"),
        ("a.csv", "x0,y0,file\n1,2\n", r"a\.csv, line 2: the row has more cells than columns, or no name"),
        ("a.jsonl", '{"file_name": "x", "points": [[1, 2]], "points_visible": []}', r"a\.jsonl, line 1.*one flag"),
        (
            "a.json",
            '{"images": [{"id": 1, "file_name": "x"}], "annotations": [{"image_id": 1, "bbox": [1, 2, 3]}]}',
            r"a\.json, annotation 0: bbox must be x, y, width and height, got \[1, 2, 3\] \(picture x\)",
        ),
        ("one.pts", "n_points: 3\n{\n1 2\n}\n", "n_points is 3, and the file has 1 points"),
        ("one.pts", "{\n1 inf\n}\n", r"one\.pts, line 2: two numbers"),
        ("one.pts", "nothing\n", "has no points between braces"),
        (
            "a.xml",
            "",
            "the format of .*a.xml cannot be recognised; give its name, one of coco.*convert boxes of YOLO",
        ),
    ],
)
def test_damaged_files_are_named_with_their_line(
    root: Path, tmp_path: Path, name: str, content: str, message: str
) -> None:
    path = (root / "a" if name.endswith(".pts") else tmp_path) / name
    path.write_text(content)
    with pytest.raises(LabelError, match=message):
        read_annotations(path, path.parent if name.endswith(".pts") else root)


def test_missing_files_unknown_formats_and_colour_masks_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(LabelError, match="there are no annotations at"):
        read_annotations(tmp_path / "none.csv", root)
    with pytest.raises(LabelError, match=r"there are no annotations at .*none"):
        find_format(tmp_path / "none")
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


def test_rows_of_one_picture_are_faces_of_it_in_a_table(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "landmarks.csv"
    lines = ["file,person,x0,y0,v0,x1,y1,v1", "a/one.jpg,p7,1.000,2.000,1,3.000,4.000,0"]
    lines += ["a/two.jpg,p8,5.000,6.000,1,7.000,8.000,1", "a/one.jpg,p9,9.000,1.000,0,2.000,3.000,1"]
    path.write_text("\n".join(lines) + "\n")
    found = read_annotations(path, root)
    np.testing.assert_array_equal(found["a/one.jpg"].points, [[1, 2], [3, 4], [9, 1], [2, 3]])
    np.testing.assert_array_equal(found["a/one.jpg"].visible, [True, False, False, True])
    rows = [(name, (30, 40), labels) for name, labels in found.items()]
    write_annotations(rows, tmp_path / "out", "csv", like=path)
    assert sorted((tmp_path / "out" / "landmarks.csv").read_text().splitlines()[1:]) == sorted(lines[1:])


def test_rows_of_one_picture_are_faces_of_it_in_jsonl(root: Path, tmp_path: Path) -> None:
    rows = [
        {"file_name": "a/one.jpg", "text": "x", "objects": {"kind": ["p", "q"], "bbox": [[1, 2, 3, 4], [5, 6, 7, 8]]}},
        {"file_name": "a/one.jpg", "text": "y", "points": [[1, 2], [3, 4]], "points_visible": [True, False]},
        {"file_name": "a/one.jpg", "objects": {"bbox": [[2, 2, 2, 2]], "visible": [False]}, "points": []},
    ]
    path = tmp_path / "metadata.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_annotations(path, root)["a/one.jpg"]
    np.testing.assert_array_equal(found.boxes, [[1, 2, 3, 5], [5, 6, 11, 13], [2, 2, 3, 3]])
    np.testing.assert_array_equal(found.box_visible, [True, True, False])
    np.testing.assert_array_equal(found.points, [[1, 2], [3, 4]])
    (written,) = write_annotations([("a/n.jpg", (30, 40), found)], tmp_path / "out", "jsonl", like=path)
    again = [json.loads(line) for line in written.read_text().splitlines()]
    rows[0]["objects"]["visible"] = [True, True]
    rows[2]["points_visible"] = []
    assert again == [{**row, "file_name": "a/n.jpg"} for row in rows]


def test_a_linked_picture_has_its_own_name(root: Path, tmp_path: Path) -> None:
    (root / "a" / "link.jpg").symlink_to(root / "a" / "one.jpg")
    Image.new("RGB", (4, 4)).save(tmp_path / "far.jpg")
    (root / "a" / "far.jpg").symlink_to(tmp_path / "far.jpg")
    path = root / "a" / "landmarks.csv"
    path.write_text("file,x0,y0\na/link.jpg,1,2\nfar.jpg,3,4\n./../a/two.jpg,5,6\n")
    assert set(read_annotations(path, root)) == {"a/link.jpg", "a/far.jpg", "a/two.jpg"}


def test_the_folder_may_be_given_by_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "given").symlink_to(root)
    path = root / "a" / "landmarks.csv"
    for name in ("one.jpg", "a/one.jpg", root / "a" / "one.jpg", tmp_path / "given" / "a" / "one.jpg"):
        path.write_text(f"file,x0,y0\n{name},1,2\n")
        assert set(read_annotations(path, tmp_path / "given")) == {"a/one.jpg"}, name


@pytest.mark.parametrize("suffix", [".jfif", ".jpe", ".gif", ".tif"])
def test_pts_files_match_pictures_of_any_suffix(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"a{suffix}").touch()
    (tmp_path / "a.pts").write_text("n_points: 1\n{\n5 6\n}\n")
    assert set(read_annotations(tmp_path, tmp_path)) == {f"a{suffix}"}
