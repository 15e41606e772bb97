from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from fomaug import warp
from fomaug.errors import LabelError
from fomaug.geometry import identity_grid
from fomaug.labels import move, read_annotations, write_annotations
from fomaug.labels.rle import decode_mask, encode_mask
from fomaug.labels.segments import move_segment, segment_area, segment_box

SIZE = (96, 128)
HEXAGON = [30.0, 20.0, 60.0, 16.0, 84.0, 40.0, 70.0, 70.0, 40.0, 76.0, 24.0, 50.0]
DISC = (np.hypot(*np.mgrid[-45:51, -60:68]) < 25).astype(np.uint8)


def affine(scale: float = 0.9, shift: tuple[float, float] = (0.1, -0.05)) -> torch.Tensor:
    return identity_grid((33, 33))[None] * scale + torch.tensor(shift)


def bent() -> torch.Tensor:
    grid = identity_grid((48, 64))[None]
    waves = torch.stack([torch.sin(3 * grid[..., 1]), torch.cos(4 * grid[..., 0])], -1)
    return grid + 0.08 * waves


def filled(polygons: list[list[float]], scale: int = 8) -> np.ndarray:
    """Draw polygons with another library, eight times as large, so that its rounding is negligible."""
    canvas = Image.new("L", (SIZE[1] * scale, SIZE[0] * scale))
    for polygon in polygons:
        corners = (np.reshape(polygon, (-1, 2)) + 0.5) * scale - 0.5
        ImageDraw.Draw(canvas).polygon([tuple(corner) for corner in corners], fill=1)
    return np.asarray(canvas)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


def test_polygons_without_motion_are_unchanged() -> None:
    assert move_segment([HEXAGON], identity_grid((32, 32))[None], SIZE) == [HEXAGON]


def test_an_affine_motion_moves_the_corners_and_adds_none() -> None:
    (moved,) = move_segment([HEXAGON], affine(), SIZE)
    half = np.array([(SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2])
    unit = np.reshape(HEXAGON, (-1, 2)) / half - 1
    wanted = ((unit - (0.1, -0.05)) / 0.9 + 1) * half
    np.testing.assert_allclose(np.reshape(moved, (-1, 2)), wanted, atol=0.02)
    assert segment_area([moved]) == pytest.approx(segment_area([HEXAGON]) / 0.81, rel=1e-3)


def test_a_bent_polygon_covers_what_its_moved_picture_covers() -> None:
    moved = move_segment([HEXAGON], bent(), SIZE)
    assert len(moved[0]) > len(HEXAGON), "bent edges have corners of their own"
    big = torch.from_numpy(filled([HEXAGON]).copy())[None]
    # The picture's frame begins at the centre of its first pixel.
    rows, columns = (torch.arange(side * 8) / 8 + 0.5 / 8 - 0.5 for side in SIZE)
    flow = warp.image(bent().permute(0, 3, 1, 2), fine_grid(rows, columns), padding="border").permute(0, 2, 3, 1)
    wanted = warp.mask(big, to_fine(flow))[0].numpy()
    assert overlap(filled(moved), wanted) > 0.985
    corners_only = warp.points(torch.tensor(HEXAGON).view(-1, 2), bent(), size=SIZE)[0]
    assert overlap(filled([corners_only.flatten().tolist()]), wanted) < overlap(filled(moved), wanted) - 0.003


def fine_grid(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    y, x = torch.meshgrid(rows / (SIZE[0] - 1) * 2 - 1, columns / (SIZE[1] - 1) * 2 - 1, indexing="ij")
    return torch.stack([x, y], -1)[None]


def to_fine(flow: torch.Tensor) -> torch.Tensor:
    """Convert coordinates to those of a picture with eight times as many pixels."""
    low = torch.tensor(SIZE[::-1]) - 1.0
    pixels = (flow + 1) / 2 * low
    return ((pixels + 0.5) * 8 - 0.5) / (torch.tensor(SIZE[::-1]) * 8 - 1) * 2 - 1


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("flow", [affine(), bent()], ids=["affine", "bent"])
def test_run_lengths_move_as_masks_do_and_keep_their_form(flow: torch.Tensor, *, packed: bool) -> None:
    moved = move_segment(encode_mask(DISC, packed=packed), flow, SIZE)
    wanted = warp.mask(torch.from_numpy(DISC)[None], flow, void=0)[0].numpy()
    np.testing.assert_array_equal(decode_mask(moved), wanted)
    assert isinstance(moved["counts"], str) == packed
    assert segment_area(moved) == wanted.sum()
    rows, columns = np.nonzero(wanted)
    assert segment_box(moved) == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_polygons_and_run_lengths_agree() -> None:
    angles = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.stack([60 + 25 * np.cos(angles), 45 + 25 * np.sin(angles)], -1).flatten().tolist()
    runs, polygon = move_segment(encode_mask(DISC, packed=True), bent(), SIZE), move_segment([circle], bent(), SIZE)
    assert segment_area(polygon) == pytest.approx(segment_area(runs), rel=0.02)
    np.testing.assert_allclose(segment_box(polygon), np.subtract(segment_box(runs), (0, 0, 1, 1)), atol=1.2)


def test_a_segmentation_outside_the_picture_becomes_none() -> None:
    away = affine(1.0, (2.5, 0.0))
    assert move_segment([HEXAGON], away, SIZE) is None
    assert move_segment(encode_mask(DISC, packed=True), away, SIZE) is None


def test_a_mask_of_another_picture_is_refused() -> None:
    with pytest.raises(LabelError, match=r"must be \(height, width\) = \(96, 128\) like its picture, got \(95, 128\)"):
        move_segment(encode_mask(DISC[:-1], packed=True), affine(), SIZE)


def coco(path: Path, *faces: dict[str, object]) -> Path:
    own = [{"id": i, "image_id": 1, "category_id": 1, "iscrowd": 0, **face} for i, face in enumerate(faces)]
    content = {"images": [{"id": 1, "file_name": "one.jpg"}], "annotations": own, "categories": [{"id": 1}]}
    path.write_text(json.dumps(content))
    return path


def test_coco_faces_move_with_segmentation_area_and_box(tmp_path: Path) -> None:
    x0, y0, x1, y1 = segment_box([HEXAGON])
    crowd = encode_mask(DISC, packed=True)
    faces = [
        {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": 1.0, "segmentation": [HEXAGON]},
        {"bbox": [5, 5, 90, 80], "segmentation": [HEXAGON], "iscrowd": 0},
        {"bbox": list(np.subtract(segment_box(crowd), (0, 0, 35, 20))), "segmentation": crowd, "iscrowd": 1},
        {"bbox": [1, 1, 20, 20], "segmentation": []},
    ]
    path = coco(tmp_path / "faces.json", *faces)
    labels = read_annotations(path, tmp_path)["one.jpg"]
    flow = bent()
    moved = move(labels, flow, SIZE)
    write_annotations([("one_m000.jpg", SIZE, moved)], tmp_path / "out", "coco", like=path)
    found = json.loads((tmp_path / "out" / "faces.json").read_text())["annotations"]
    wanted = move_segment([HEXAGON], flow, SIZE)
    assert found[0]["segmentation"] == found[1]["segmentation"] == wanted
    assert found[0]["area"] == found[1]["area"] == pytest.approx(segment_area(wanted), abs=1e-3)
    x0, y0, x1, y1 = segment_box(wanted)
    np.testing.assert_allclose(found[0]["bbox"], [x0, y0, x1 - x0, y1 - y0], atol=1e-3)
    boxes, _ = warp.boxes(warp.edges_to_centres(torch.tensor([[5.0, 5.0, 95.0, 85.0]])), flow, size=SIZE)
    edges = warp.centres_to_edges(boxes[0])
    np.testing.assert_allclose(np.add(found[1]["bbox"], (0, 0, *found[1]["bbox"][:2])), edges, atol=1e-2)
    assert found[2]["iscrowd"] == 1
    assert found[2]["segmentation"] == move_segment(crowd, flow, SIZE)
    assert "segmentation" not in found[3]


def test_a_face_whose_segmentation_left_is_dropped(tmp_path: Path) -> None:
    box = segment_box([HEXAGON])
    path = coco(
        tmp_path / "faces.json", {"bbox": [*box[:2], box[2] - box[0], box[3] - box[1]], "segmentation": [HEXAGON]}
    )
    moved = move(read_annotations(path, tmp_path)["one.jpg"], affine(1.0, (2.5, 0.0)), SIZE)
    write_annotations([("one_m000.jpg", SIZE, moved)], tmp_path / "out", "coco", like=path)
    assert json.loads((tmp_path / "out" / "faces.json").read_text())["annotations"] == []


@pytest.mark.parametrize(
    ("segment", "message"),
    [([[1, 2, 3, 4]], "three or more"), ([[1, 2, 3, 4, 5]], "three or more"), ({"size": [2, 2]}, "counts")],
)
def test_damaged_segmentations_are_named(tmp_path: Path, segment: object, message: str) -> None:
    path = coco(tmp_path / "faces.json", {"segmentation": segment})
    with pytest.raises(LabelError, match=rf"faces\.json, annotation 0 \(id 0\): .*{message}.*\(picture one\.jpg\)"):
        read_annotations(path, tmp_path)
