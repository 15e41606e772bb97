"""A flawed annotation is named with its file, its row and the reason; all others are read."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomaug.errors import LabelError
from fomaug.geometry import identity_grid
from fomaug.labels import FaceLabels, Flaw, face_boxes, fit, move, read_annotations, write_annotations
from fomaug.labels.checks import read_flag
from fomaug.labels.rle import encode_mask

GOOD = {"id": 2, "image_id": 2, "category_id": 1, "bbox": [6, 5, 13, 15]}
POLYGON = [6, 5, 19, 5, 19, 20, 6, 20]
NUMBER = "9" * 5000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a/1.png", "b/1.png"):
        (tmp_path / "faces" / name).parent.mkdir(parents=True)
        Image.new("RGB", (40, 30)).save(tmp_path / "faces" / name)
    return tmp_path / "faces"


def read(path: Path, root: Path) -> tuple[dict[str, FaceLabels], list[Flaw]]:
    flaws: list[Flaw] = []
    return read_annotations(path, root, on_flaw=flaws.append), flaws


def coco(path: Path, *annotations: object, images: object = None) -> Path:
    images = images or [{"id": 1, "file_name": "a/1.png"}, {"id": 2, "file_name": "b/1.png"}]
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": []}))
    return path


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"segmentation": [[6, 5, 19, 20]]}, "three or more"),
        ({"segmentation": [POLYGON, [12.0, 12.0]]}, "three or more"),
        ({"segmentation": POLYGON}, "must be a list of polygons"),
        ({"segmentation": [[6, 5, 19, 5, 19, 1e15]]}, "beyond 100000 pixels"),
        ({"segmentation": [[0, 0] * 10_001]}, "up to 10000 corners, got 10001"),
        (
            {"segmentation": {"size": [100_000, 100_000], "counts": [0, 10**10]}},
            "up to 1073741824 pixels, got 100000 x 100000",
        ),
        ({"segmentation": {"size": [3, 2], "counts": [1, 2]}}, "do not fill"),
        ({"segmentation": {"size": [3, 2], "counts": [1.5, 4.5]}}, "do not fill"),
        ({"segmentation": {"size": [100, 100], "counts": "o" * 400_000 + "0"}}, "more than 60 bits"),
        ({"bbox": []}, r"bbox must be x, y, width and height, got \[\]"),
        ({"bbox": None}, "bbox must be a list of numbers, got None"),
        ({"bbox": [60, 200, 130, -150]}, "width and a height of more than 0"),
        ({"bbox": [60, 50, 0, 0]}, "width and a height of more than 0"),
        ({"bbox": [1, 2, float("inf"), 3]}, "not finite"),
        ({"bbox": [1, 2, None, 3]}, "missing"),
        ({"keypoints": [10, 20, 30, 40, 50, 60]}, "visibility must be 0, 1, 2"),
        ({"keypoints": [10, 20, 30, 40]}, "x, y and visibility of each point, got 4 numbers"),
        ({"keypoints": [10, 20, 2, None, None, 2]}, "a visible point has no coordinates"),
        ({"keypoints": [10, None, 0]}, "a coordinate is missing"),
        ({"score": float("inf")}, "a number is not finite"),
        ({"attributes": {"age": [10**400]}}, "a number is not finite"),
        ({"image_id": 99}, "no image has the id 99"),
        ({"image_id": [1]}, "must be a whole number or a string"),
    ],
)
def test_a_flawed_annotation_of_coco_is_left_out_and_all_others_are_read(
    root: Path, tmp_path: Path, fields: dict[str, object], reason: str
) -> None:
    flawed = {"id": 7, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], **fields}
    path = coco(tmp_path / "faces.json", flawed, {**GOOD, "image_id": 1}, GOOD)
    found, (flaw,) = read(path, root)
    assert flaw.where == f"{path}, annotation 0 (id 7)"
    with pytest.raises(LabelError, match=rf"faces\.json, annotation 0 \(id 7\): .*{reason}"):
        read_annotations(path, root)
    assert flaw.picture == ("" if "image_id" in fields else "a/1.png")
    for name in ("a/1.png", "b/1.png"):
        np.testing.assert_array_equal(found[name].boxes, [[6, 5, 18, 19]])


def test_a_picture_whose_annotations_are_all_flawed_has_no_labels(root: Path, tmp_path: Path) -> None:
    found, _ = read(coco(tmp_path / "faces.json", {**GOOD, "image_id": 1, "bbox": []}), root)
    assert set(found) == {"b/1.png"}, "b/1.png is listed, and has no face"
    assert found["b/1.png"].boxes is None


def test_two_pictures_of_one_id_are_both_named_and_neither_gets_the_labels(root: Path, tmp_path: Path) -> None:
    images = [{"id": 2, "file_name": name} for name in ("a/1.png", "b/1.png")]
    path = coco(tmp_path / "faces.json", GOOD, images=images)
    found, flaws = read(path, root)
    assert found == {}
    assert [(flaw.where, flaw.picture) for flaw in flaws] == [
        (f"{path}, image {number} (id 2)", name) for number, name in enumerate(("a/1.png", "b/1.png"))
    ]
    same = coco(tmp_path / "faces.json", GOOD, images=[images[0], images[0]])
    assert read_annotations(same, root)["a/1.png"].boxes is not None, "one picture that is listed twice is no flaw"


def test_numbers_in_the_fields_of_the_whole_file_must_be_finite(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "faces.json"
    path.write_text('{"info": {"version": 1e999}, "images": [], "annotations": []}')
    with pytest.raises(LabelError, match=r"faces\.json, in info, licenses, categories: a number is not finite"):
        read_annotations(path, root)


def test_confidences_of_points_are_kept(root: Path, tmp_path: Path) -> None:
    path = coco(tmp_path / "faces.json", {**GOOD, "keypoints": [10, 10, 0.93, 30, 20, 0.5, 5, 5, 2, 0, 0, 0]})
    moved = move(read_annotations(path, root)["b/1.png"], identity_grid((16, 16))[None], (30, 40))
    write_annotations([("b/1.png", (30, 40), moved)], tmp_path / "out", "coco", like=path)
    (face,) = json.loads((tmp_path / "out" / "faces.json").read_text())["annotations"]
    np.testing.assert_allclose(face["keypoints"], [10, 10, 0.93, 30, 20, 0.5, 5, 5, 2, 0, 0, 0], atol=2e-3)
    assert face["num_keypoints"] == 3


def test_crowds_are_not_faces(root: Path, tmp_path: Path) -> None:
    point = {"id": 3, "image_id": 2, "category_id": 1, "keypoints": [1, 2, 2]}
    path = coco(tmp_path / "faces.json", point, {**GOOD, "iscrowd": 1, "bbox": [1, 1, 30, 20]}, {**GOOD, "iscrowd": 0})
    labels = read_annotations(path, root)["b/1.png"]
    np.testing.assert_array_equal(face_boxes(labels), [[6, 5, 18, 19]])
    assert len(face_boxes(FaceLabels())) == 0
    rows = [
        {"file_name": "b/1.png", "objects": {"bbox": [[1, 1, 30, 20], [6, 5, 13, 15]], "iscrowd": [1, 0]}, "faces": 2},
        {"file_name": "b/1.png", "objects": {"bbox": [[2, 2, 4, 4]], "iscrowd": 1}},
    ]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    labels = read_annotations(tmp_path / "m.jsonl", root)["b/1.png"]
    np.testing.assert_array_equal(face_boxes(labels), [[6, 5, 18, 19], [2, 2, 5, 5]])
    hidden = FaceLabels(boxes=np.ones((2, 4)), box_visible=np.array([True, False]))
    assert len(face_boxes(hidden)) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('"points": [[10, 20, 7]]', "visibility must be 0, 1 or 2"),
        ('"points": [10, 20, 30, 40]', "points must be rows of 2 or 3 numbers"),
        ('"points": [[1, 2, 3, 4]]', "points must be rows of 2 or 3 numbers"),
        ('"points": [[1, 2], [3]]', "points must be rows of 2 or 3 numbers"),
        ('"points": [[1, 2, 1]], "points_visible": [true]', "given twice"),
        ('"points_visible": [true]', "points_visible and no points"),
        ('"points": [[1, 2]], "points_visible": [0.5]', "visibility must be 0, 1, 2, true or false"),
        ('"points": [[1, Infinity]]', "not finite"),
        (f'"points": [[1, {NUMBER}]]', "not finite"),
        (f'"age": {NUMBER}', "not finite"),
        ('"score": -Infinity', "not finite"),
        ('"fomaug:rows": 3', "reserved by fomaug"),
        ('"objects": [1]', "objects must be a JSON object"),
        ('"objects": {"bbox": [1, 2, 3, 4]}', "rows of 4 numbers"),
        ('"objects": {"bbox": [[1, 2, 3, -4]]}', "height of more than 0"),
        ('"objects": {"bbox": [[1, 2, 3, 4]], "visible": 1}', "visibility must be a list with one flag"),
        ('"x": ' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_a_flawed_row_of_jsonl_is_left_out_and_all_others_are_read(
    root: Path, tmp_path: Path, row: str, reason: str
) -> None:
    path = tmp_path / "metadata.jsonl"
    path.write_text(f'{{"file_name": "a/1.png", {row}}}\n{{"file_name": "b/1.png", "points": [[1, 2]]}}\n')
    found, (flaw,) = read(path, root)
    assert flaw.where == f"{path}, line 1"
    assert set(found) == {"b/1.png"}
    with pytest.raises(LabelError, match=rf"metadata\.jsonl, line 1: .*{reason}"):
        read_annotations(path, root)


def test_points_of_jsonl_may_have_visibility(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "metadata.jsonl"
    path.write_text('{"file_name": "a/1.png", "points": [[10, 20, 1], [30, 40, 0]]}\n')
    labels = read_annotations(path, root)["a/1.png"]
    np.testing.assert_array_equal(labels.points, [[10, 20], [30, 40]])
    assert labels.visible is not None
    assert labels.visible.tolist() == [True, False]
    (written,) = write_annotations([("a/1.png", (30, 40), labels)], tmp_path / "out", "jsonl")
    assert json.loads(written.read_text())["points_visible"] == [True, False]


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        ("x,2,1", "a coordinate is not a number: 'x'"),
        ("1,,0", "a coordinate is missing"),
        (",,1", "a visible point has no coordinates"),
        ("1,1e7,1", "beyond 100000 pixels"),
        ("1,2,maybe", "visibility must be 0, 1, 2, true or false, got 'maybe'"),
        ("1,2,0.5", "visibility must be"),
        ("1", "fewer cells than columns"),
        ("1,2,3,4", "more cells than columns"),
        ("1" * 200_000 + ",2,1", "field larger than field limit"),
    ],
)
def test_a_flawed_row_of_a_table_is_left_out_and_all_others_are_read(
    root: Path, tmp_path: Path, cells: str, reason: str
) -> None:
    path = tmp_path / "points.csv"
    path.write_text(f"file,x0,y0,v0\nb/1.png,1,2,1\na/1.png,{cells}\n")
    found, (flaw,) = read(path, root)
    assert flaw.where == f"{path}, line 3"
    assert set(found) == {"b/1.png"}
    with pytest.raises(LabelError, match=rf"points\.csv, line 3: .*{reason}"):
        read_annotations(path, root)


@pytest.mark.parametrize("name", ["points.csv", "metadata.jsonl"])
def test_a_row_that_is_not_utf8_keeps_no_other_from_being_read(root: Path, tmp_path: Path, name: str) -> None:
    texts = {
        "points.csv": b"file,x0,y0,note\ncaf\xe9.png,1,2,x\na/1.png,1,2,\xe9\nb/1.png,1,2,x\n",
        "metadata.jsonl": b'{"file_name": "caf\xe9.png"}\n{"file_name": "a/1.png", "note": "\xe9"}\n'
        b'{"file_name": "b/1.png"}\n',
    }
    (tmp_path / name).write_bytes(texts[name])
    found, flaws = read(tmp_path / name, root)
    assert {"a/1.png", "b/1.png"} <= set(found)
    assert not flaws


def test_a_reserved_column_name_is_an_error(root: Path, tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("file,x0,y0,fomaug:rows\nb/1.png,1,2,1\n")
    with pytest.raises(LabelError, match=r"points\.csv, line 1: the column name 'fomaug:rows' is reserved by fomaug"):
        read_annotations(tmp_path / "points.csv", root)


FLAGS = [("0", 0), ("0.0", 0), ("FALSE", 0), ("no", 0), (False, 0), ("1", 1), ("1.0", 1), (" True ", 1), ("2", 2)]


@pytest.mark.parametrize(("value", "wanted"), FLAGS)
def test_flags_are_read_as_they_are_written_elsewhere(value: object, wanted: float) -> None:
    assert read_flag(value) == wanted


def test_flags_in_a_table_hide_points(root: Path, tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("file,x0,y0,v0,x1,y1,v1\na/1.png,10,10,0.0,30,20,1.0\na/1.png,10,10,FALSE,30,20,\n")
    visible = read_annotations(path, root)["a/1.png"].visible
    assert visible is not None
    assert visible.tolist() == [False, True, False, True]


@pytest.mark.parametrize("name", ["faces.json", "metadata.jsonl", "points.csv", "a/1.pts"])
def test_a_byte_order_mark_is_accepted(root: Path, tmp_path: Path, name: str) -> None:
    texts = {
        "faces.json": json.dumps({"images": [{"id": 1, "file_name": "a/1.png"}], "annotations": []}),
        "metadata.jsonl": '{"file_name": "a/1.png"}',
        "points.csv": "file,x0,y0\na/1.png,1,2\n",
        "a/1.pts": "version: 1\n{\n1 2\n}\n",
    }
    path = root / name if name.endswith("pts") else tmp_path / name
    path.write_bytes(b"\xef\xbb\xbf" + texts[name].encode())
    assert set(read_annotations(root if name.endswith("pts") else path, root)) == {"a/1.png"}


def test_a_bad_file_of_points_is_left_out_and_all_others_are_read(root: Path) -> None:
    (root / "a" / "1.pts").write_text("{\n1 2\n3\n}\n")
    (root / "b" / "1.pts").write_text("{\n1 2\n}\n")
    found, (flaw,) = read(root, root)
    assert set(found) == {"b/1.png"}
    assert str(flaw) == f"{root / 'a' / '1.pts'}, line 3: two numbers were expected, got '3' (picture a/1.png)"


def test_a_bad_mask_is_left_out_and_all_others_are_read(root: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    for name in "ab":
        (masks / name).mkdir(parents=True)
        Image.new("L" if name == "b" else "RGB", (40, 30)).save(masks / name / "1.png")
    found, (flaw,) = read(masks, root)
    assert set(found) == {"b/1.png"}
    assert str(flaw).startswith(f"{masks / 'a' / '1.png'}: it is a colour picture (RGB)")
    whole = (masks / "b" / "1.png").read_bytes()
    (masks / "a" / "1.png").write_bytes(whole[: len(whole) // 2])
    assert "cannot be read" in read(masks, root)[1][0].reason


def test_white_of_a_black_and_white_mask_is_kept(root: Path, tmp_path: Path) -> None:
    (tmp_path / "masks" / "a").mkdir(parents=True)
    mask = np.zeros((30, 40), bool)
    mask[5:20, 9:30] = True
    Image.fromarray(mask).save(tmp_path / "masks" / "a" / "1.png")
    labels = read_annotations(tmp_path / "masks", root)["a/1.png"]
    moved = move(labels, identity_grid((16, 16))[None], (30, 40))
    write_annotations([("a/1.png", (30, 40), moved)], tmp_path / "out", "masks")
    with Image.open(tmp_path / "out" / "a" / "1.mask") as written:
        np.testing.assert_array_equal(np.asarray(written), mask * 255)


def test_masks_and_run_lengths_of_another_size_are_refused() -> None:
    flow = identity_grid((16, 16))[None]
    with pytest.raises(
        LabelError, match=r"a mask must be \(height, width\) = \(30, 40\) like its picture, got \(40, 30\)"
    ):
        move(FaceLabels(mask=np.zeros((40, 30), np.uint8)), flow, (30, 40))
    with pytest.raises(
        LabelError, match=r"a mask must be \(height, width\) = \(30, 40\) like its picture, got \(40, 30\)"
    ):
        move(FaceLabels(segments=(encode_mask(np.ones((40, 30)), packed=True),)), flow, (30, 40))


def test_labels_are_fitted_to_their_picture(root: Path, tmp_path: Path) -> None:
    wrong, right = (encode_mask(np.ones(size), packed=True) for size in ((40, 30), (30, 40)))
    faces = [
        {**GOOD, "id": 5, "segmentation": right, "keypoints": [1, 2, 2]},
        {**GOOD, "id": 6, "segmentation": wrong, "keypoints": [3, 4, 2, 5, 6, 1], "bbox": [1, 1, 2, 2]},
        {"id": 7, "image_id": 2, "category_id": 3, "keypoints": [7, 8, 1]},
    ]
    path = coco(tmp_path / "faces.json", *faces)
    labels = read_annotations(path, root)["b/1.png"]
    fitting, (flaw,) = fit(labels, (30, 40), picture="b/1.png")
    assert flaw.where == f"{path}, annotation 1 (id 6)"
    assert fitting is not None
    write_annotations([("b/1.png", (30, 40), fitting)], tmp_path / "out", "coco", like=path)
    first, second = json.loads((tmp_path / "out" / "faces.json").read_text())["annotations"]
    assert first["segmentation"] == right
    assert (first["keypoints"], second["keypoints"]) == ([1, 2, 2], [7, 8, 1])
    assert (second["category_id"], "bbox" in second) == (3, False)
    assert fit(fitting, (30, 40)) == (fitting, [])
    whole = FaceLabels(mask=np.zeros((40, 30), np.uint8), origins=("a.png",))
    assert fit(whole, (40, 30)) == (whole, [])
    nothing, (flaw,) = fit(whole, (30, 40))
    assert nothing is None
    assert flaw.where == "a.png"


def test_a_mask_with_an_empty_profile_is_named_and_the_others_are_read(tmp_path: Path, root: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "masks" / name).mkdir(parents=True)
        Image.new("L", (40, 30), 1).save(tmp_path / "masks" / name / "1.png")
    broken = tmp_path / "masks" / "a" / "1.png"
    profile = struct.pack(">I4sI", 0, b"iCCP", zlib.crc32(b"iCCP"))  # behind the pixels, which many readers ignore
    broken.write_bytes(broken.read_bytes()[:-12] + profile + broken.read_bytes()[-12:])
    found, flaws = read(tmp_path / "masks", root)
    assert list(found) == ["b/1.png"]
    assert [(flaw.where, flaw.picture) for flaw in flaws] == [(str(broken), "a/1.png")]
    assert "it cannot be read: index out of range" in flaws[0].reason
