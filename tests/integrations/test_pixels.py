from __future__ import annotations

import pytest
import torch
from exact_animator import ZOOM, moved_px

from fomaug.geometry import identity_grid
from fomaug.integrations.pixels import move_boxes_px, move_points_px

SIZE = (48, 64)


def _flow(dx, dy):
    return (identity_grid(SIZE)[None] - torch.tensor([dx, dy])) / ZOOM


def test_points_follow_the_formula_of_the_flow():
    xy = torch.tensor([[[20.0, 16.0], [40.0, 20.0], [31.5, 23.5]]])
    flow = _flow(0.1, -0.05)
    assert torch.allclose(move_points_px(xy, flow, SIZE)[0], moved_px(xy, flow, SIZE), atol=0.1)


def test_boxes_follow_the_formula_of_the_flow():
    box = torch.tensor([[[20.0, 12.0, 44.0, 36.0]]])
    flow = _flow(-0.1, 0.02)
    wanted = moved_px(box.reshape(1, 2, 2), flow, SIZE).reshape(1, 1, 4)
    assert torch.allclose(move_boxes_px(box, flow, SIZE)[0], wanted, atol=0.3)


def test_the_middle_of_the_picture_is_where_it_is_under_a_mere_zoom():
    middle = torch.tensor([[[31.5, 23.5]]])
    assert torch.allclose(move_points_px(middle, _flow(0.0, 0.0), SIZE)[0], middle, atol=0.05)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_labels_keep_their_dtype(dtype):
    xy = torch.tensor([[[20, 16]]], dtype=dtype)
    assert move_points_px(xy, _flow(0.1, 0.0), SIZE)[0].dtype == dtype


def test_whole_numbers_are_rounded_not_cut():
    flow = _flow(0.1, -0.05)
    xy = torch.tensor([[[20, 16], [40, 20]]])
    assert torch.equal(move_points_px(xy, flow, SIZE)[0], move_points_px(xy.float(), flow, SIZE)[0].round().long())


def test_what_leaves_the_picture_is_not_visible():
    corner, middle = [0.0, 0.0], [31.5, 23.5]
    _, visible = move_points_px(torch.tensor([[corner, middle]]), _flow(-0.3, -0.3), SIZE)
    assert visible.tolist() == [[False, True]]
    _, visible = move_boxes_px(
        torch.tensor([[[0.0, 0.0, 3.0, 3.0], [20.0, 20.0, 40.0, 40.0]]]), _flow(-0.3, -0.3), SIZE
    )
    assert visible.tolist() == [[False, True]]


def test_no_labels_stay_no_labels():
    for move, columns in ((move_points_px, 2), (move_boxes_px, 4)):
        moved, visible = move(torch.zeros(1, 0, columns), _flow(0, 0), SIZE)
        assert moved.shape == (1, 0, columns) and visible.shape == (1, 0)
