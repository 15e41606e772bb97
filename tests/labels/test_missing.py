"""Missing points stay missing, and every format has its own way to store them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fomaug import warp
from fomaug.geometry import identity_grid
from fomaug.labels import FaceLabels, move, read_annotations, write_annotations

SIZE = (30, 40)
ZOOM = identity_grid((16, 16))[None] * 0.5
NAN = float("nan")
POINTS = np.array([[20.0, 15.0], [NAN, NAN], [-1.0, -1.0], [25.0, 18.0]])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_missing_points_remain_and_do_not_affect_others(dtype: torch.dtype) -> None:
    points = torch.from_numpy(POINTS).to(dtype)
    moved, visible = warp.points(points[None], ZOOM.to(dtype), occlusion=torch.ones(1, 1, 16, 16), size=SIZE)
    torch.testing.assert_close(moved[0, 1:3], points[1:3], rtol=0, atol=0, equal_nan=True)
    assert visible.tolist() == [[True, False, False, True]]
    alone, _ = warp.points(points[None, [0, 3]], ZOOM.to(dtype), size=SIZE)
    torch.testing.assert_close(moved[:, [0, 3]], alone, rtol=0, atol=0)


def test_minus_one_is_an_ordinary_coordinate_in_the_unit_square() -> None:
    moved, _ = warp.points(torch.tensor([[-1.0, -1.0]]), identity_grid((16, 16))[None] * 2)
    torch.testing.assert_close(moved, torch.tensor([[-0.5, -0.5]]))


def test_missing_boxes_remain() -> None:
    boxes = torch.tensor([[5.0, 5, 20, 20], [NAN] * 4, [-1.0] * 4])
    moved, visible = warp.boxes(boxes, ZOOM, size=SIZE)
    torch.testing.assert_close(moved[1:], boxes[1:], rtol=0, atol=0, equal_nan=True)
    assert visible.tolist() == [True, False, False]
    torch.testing.assert_close(moved[:1], warp.boxes(boxes[:1], ZOOM, size=SIZE)[0], rtol=0, atol=0)


@pytest.mark.parametrize("name", ["coco", "csv", "jsonl", "pts"])
def test_missing_points_survive_files(tmp_path: Path, name: str) -> None:
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "a.png")
    moved = move(FaceLabels(points=POINTS), identity_grid((16, 16))[None], SIZE)
    assert moved.visible is not None
    assert moved.visible.tolist() == [True, False, False, True]
    (path,) = write_annotations([("a.png", SIZE, moved)], tmp_path, name)
    found = read_annotations(path, tmp_path)["a.png"]
    assert found.points is not None
    np.testing.assert_allclose(found.points[[0, 3]], POINTS[[0, 3]], atol=2e-3)
    if name != "coco":  # COCO stores (0, 0) for a missing point.
        np.testing.assert_array_equal(found.points[1:3], POINTS[1:3])
    assert found.points_seen.tolist() == [True, False, False, True]
    text = (tmp_path / "a.pts" if name == "pts" else path).read_text()
    assert {"coco": "0, 0, 0", "csv": ",,,0,", "jsonl": "[null, null]", "pts": "nan nan"}[name] in text
    assert "NaN" not in text


def test_a_table_and_a_coco_file_may_leave_hidden_points_empty(tmp_path: Path) -> None:
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "a.png")
    (tmp_path / "a.csv").write_text("file,x0,y0,v0,x1,y1,v1\na.png,,,0,15,10,1\n")
    face = {"id": 1, "image_id": 1, "keypoints": [None, None, 0, 15, 10, 2]}
    content = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [face]}
    (tmp_path / "a.json").write_text(json.dumps(content))
    for name in ("a.csv", "a.json"):
        labels = read_annotations(tmp_path / name, tmp_path)["a.png"]
        np.testing.assert_array_equal(labels.points, [[NAN, NAN], [15, 10]])
        assert labels.points_seen.tolist() == [False, True]


def test_kept_fields_have_null_for_nan(tmp_path: Path) -> None:
    Image.new("RGB", SIZE[::-1]).save(tmp_path / "a.png")
    (tmp_path / "m.jsonl").write_text('{"file_name": "a.png", "age": NaN, "points": [[NaN, NaN], [1, 2]]}\n')
    labels = read_annotations(tmp_path / "m.jsonl", tmp_path)["a.png"]
    assert labels.fields == {"age": None}
    np.testing.assert_array_equal(labels.points, [[NAN, NAN], [1, 2]])
