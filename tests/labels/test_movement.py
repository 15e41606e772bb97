from __future__ import annotations

import numpy as np
import pytest
import torch

from fomaug.geometry import identity_grid
from fomaug.labels import FaceLabels, Movement, move

ZOOM = identity_grid((64, 64))[None] * 0.5
SIZE = (101, 201)


def test_points_boxes_and_masks_move_by_one_flow() -> None:
    mask = np.zeros(SIZE, np.uint8)
    mask[45:56, 90:111] = 3
    given = FaceLabels(
        points=np.array([[100.0, 50.0], [120.0, 60.0]]),
        boxes=np.array([[90.0, 45.0, 110.0, 55.0]]),
        mask=mask,
        fields={"name": "kept"},
    )
    moved = move(given, ZOOM, SIZE)
    np.testing.assert_allclose(moved.points, [[100, 50], [140, 70]], atol=1e-3)
    np.testing.assert_allclose(moved.boxes, [[80, 40, 120, 60]], atol=1e-3)
    rows, columns = np.nonzero(moved.mask)
    np.testing.assert_allclose([rows.min(), rows.max(), columns.min(), columns.max()], [40, 60, 80, 120], atol=1)
    assert moved.mask is not None
    assert moved.mask.dtype == np.uint8
    assert moved.fields == {"name": "kept"}


def test_the_identity_changes_nothing() -> None:
    given = FaceLabels(points=np.array([[3.0, 4.0]]), boxes=np.array([[1.0, 2.0, 30.0, 40.0]]))
    moved = move(given, identity_grid((16, 16))[None], SIZE)
    np.testing.assert_allclose(moved.points, given.points, atol=1e-3)
    np.testing.assert_allclose(moved.boxes, given.boxes, atol=1e-3)


def test_invisible_points_remain_invisible_and_painted_ones_become_invisible() -> None:
    given = FaceLabels(points=np.array([[90.0, 50.0], [110.0, 50.0]]), visible=np.array([False, True]))
    moved = move(given, ZOOM, SIZE)
    assert moved.visible is not None
    assert moved.visible.tolist() == [False, True]
    hidden = move(given, ZOOM, SIZE, occlusion=torch.zeros(1, 1, 64, 64))
    assert hidden.visible is not None
    assert hidden.visible.tolist() == [False, False]


def test_void_fills_pixels_from_outside_the_source() -> None:
    shrink = identity_grid((64, 64))[None] * 2
    given = FaceLabels(mask=np.ones((32, 32), np.uint8), void=255)
    moved = move(given, shrink, (32, 32)).mask
    assert moved is not None
    assert moved[0, 0] == 255
    assert moved[16, 16] == 1


# Batches of points and boxes, against the formula of a flow that zooms by 0.9 and shifts.

SMALL = (48, 64)


def zoomed(dx: float, dy: float, occlusion: torch.Tensor | None = None) -> Movement:
    return Movement((identity_grid(SMALL)[None] - torch.tensor([dx, dy])) / 0.9, occlusion, SMALL)


def zoomed_px(xy: torch.Tensor, dx: float, dy: float) -> torch.Tensor:
    half = torch.tensor([(SMALL[1] - 1) / 2, (SMALL[0] - 1) / 2])
    return ((xy / half - 1) * 0.9 + torch.tensor([dx, dy]) + 1) * half


def test_points_follow_the_formula_of_the_flow() -> None:
    xy = torch.tensor([[[20.0, 16.0], [40.0, 20.0], [31.5, 23.5]]])
    assert torch.allclose(zoomed(0.1, -0.05).points(xy)[0], zoomed_px(xy, 0.1, -0.05), atol=0.1)


def test_boxes_follow_the_formula_of_the_flow() -> None:
    box = torch.tensor([[[20.0, 12.0, 44.0, 36.0]]])
    wanted = zoomed_px(box.reshape(1, 2, 2), -0.1, 0.02).reshape(1, 1, 4)
    assert torch.allclose(zoomed(-0.1, 0.02).boxes(box)[0], wanted, atol=0.3)


def test_a_zoom_keeps_the_middle_of_the_picture() -> None:
    middle = torch.tensor([[[31.5, 23.5]]])
    assert torch.allclose(zoomed(0.0, 0.0).points(middle)[0], middle, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.int64])
def test_labels_keep_their_dtype(dtype: torch.dtype) -> None:
    xy = torch.tensor([[[20, 16]]], dtype=dtype)
    assert zoomed(0.1, 0.0).points(xy)[0].dtype == dtype


def test_whole_numbers_are_rounded() -> None:
    movement, xy = zoomed(0.1, -0.05), torch.tensor([[[20, 16], [40, 20]]])
    assert torch.equal(movement.points(xy)[0], movement.points(xy.float())[0].round().long())


def test_labels_outside_the_picture_are_not_visible() -> None:
    movement = zoomed(-0.3, -0.3)
    _, visible = movement.points(torch.tensor([[[0.0, 0.0], [31.5, 23.5]]]))
    assert visible.tolist() == [[False, True]]
    _, visible = movement.boxes(torch.tensor([[[0.0, 0.0, 3.0, 3.0], [20.0, 20.0, 40.0, 40.0]]]))
    assert visible.tolist() == [[False, True]]


def test_painted_labels_are_not_visible() -> None:
    left = torch.ones(1, 1, 12, 16)
    left[..., :8] = 0
    movement = zoomed(0.0, 0.0, left)
    _, visible = movement.points(torch.tensor([[[15.0, 20.0], [50.0, 20.0]]]))
    assert visible.tolist() == [[False, True]]
    _, visible = movement.boxes(torch.tensor([[[5.0, 5.0, 20.0, 20.0], [40.0, 20.0, 60.0, 40.0]]]))
    assert visible.tolist() == [[False, True]]


def test_empty_labels_remain_empty() -> None:
    movement = zoomed(0.0, 0.0, torch.ones(1, 1, 12, 16))
    for function, columns in ((movement.points, 2), (movement.boxes, 4)):
        moved, visible = function(torch.zeros(1, 0, columns))
        assert moved.shape == (1, 0, columns)
        assert visible.shape == (1, 0)


def test_selected_rows_move_as_they_do_in_the_batch() -> None:
    flows = torch.cat([zoomed(0.1, 0.0).flow, zoomed(-0.1, 0.05).flow])
    movement, xy = Movement(flows, torch.ones(2, 1, 12, 16), SMALL), torch.tensor([[[20.0, 16.0]], [[40.0, 20.0]]])
    alone = movement.of([1], torch.device("cpu")).points(xy[1:])[0]
    torch.testing.assert_close(alone, movement.points(xy)[0][1:])
