from __future__ import annotations

import numpy as np
import pytest
import torch

from fomaug import warp
from fomaug.errors import ArgumentError, ShapeError
from fomaug.geometry import identity_grid

ZOOM = identity_grid((64, 64))[None] * 0.5  # everything twice as large
SHIFT = identity_grid((64, 64))[None] - torch.tensor([0.5, 0.0])  # everything a quarter of the width to the right


@pytest.mark.parametrize(
    "dtype",
    [torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int64, torch.bool, torch.float16, torch.float32],
)
def test_masks_keep_their_dtype_and_have_no_new_class(dtype: torch.dtype) -> None:
    masks = torch.randint(0, 2, (1, 50, 70)).to(dtype)
    moved = warp.mask(masks, ZOOM)
    assert moved.dtype == dtype
    assert moved.shape == masks.shape
    assert set(moved.unique().tolist()) <= set(masks.unique().tolist())


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.uint64])
def test_large_class_numbers_are_kept(dtype: torch.dtype) -> None:
    most = torch.iinfo(dtype).max
    masks = torch.full((1, 8, 9), most, dtype=dtype)
    assert warp.mask(masks, ZOOM).tolist() == masks.tolist()
    moved = warp.mask(masks, SHIFT, void=most - 1)[0].tolist()
    assert [row[0] for row in moved] == [most - 1] * 8
    assert [row[-1] for row in moved] == [most] * 8


def test_the_identity_moves_no_label() -> None:
    flow = identity_grid((16, 16))[None]
    masks = torch.randint(0, 2**40, (1, 3, 33, 47))
    assert warp.mask(masks, flow).equal(masks)
    xy, visible = warp.points(torch.tensor([[[10.0, 20.0], [0.0, 32.0]]]), flow, size=(33, 47))
    torch.testing.assert_close(xy, torch.tensor([[[10.0, 20.0], [0.0, 32.0]]]), atol=1e-3, rtol=0)
    assert visible.all()
    found, visible = warp.boxes(torch.tensor([[[5.0, 6.0, 20.0, 30.0]]]), flow, size=(33, 47))
    torch.testing.assert_close(found, torch.tensor([[[5.0, 6.0, 20.0, 30.0]]]), atol=1e-3, rtol=0)
    assert visible.all()


def test_pixels_from_outside_get_the_void_number() -> None:
    masks = torch.ones(1, 8, 9, dtype=torch.uint8)
    moved = warp.mask(masks, SHIFT, void=255)
    assert moved[0, :, 0].eq(255).all()
    assert moved[0, :, -1].eq(1).all()
    assert warp.mask(masks, SHIFT).eq(1).all()


def test_a_dot_in_the_picture_and_its_point_move_together() -> None:
    grid = identity_grid((64, 64))
    flow = (grid + 0.1 * torch.sin(3 * grid.flip(-1)))[None]
    picture = torch.zeros(1, 1, 256, 256)
    picture[0, 0, 98:103, 148:153] = 1  # centre (150, 100)
    moved = warp.image(picture, flow)[0, 0]
    rows, columns = torch.meshgrid(torch.arange(256.0), torch.arange(256.0), indexing="ij")
    centre = torch.stack([(moved * columns).sum(), (moved * rows).sum()]) / moved.sum()
    xy, visible = warp.points(torch.tensor([[150.0, 100.0]]), flow, size=(256, 256))
    assert visible.all()
    torch.testing.assert_close(xy[0], centre, atol=0.5, rtol=0)


def test_a_box_follows_its_content_not_its_corners() -> None:
    angle = torch.tensor(0.6)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
    flow = (identity_grid((64, 64)) @ turn.T)[None]
    box = torch.tensor([[[-0.4, -0.2, 0.4, 0.2]]])
    picture = torch.zeros(1, 1, 512, 512)
    grid = identity_grid((512, 512))
    inside = (grid[..., 0].abs() <= 0.4) & (grid[..., 1].abs() <= 0.2)
    picture[0, 0][inside] = 1
    seen = grid[warp.image(picture, flow)[0, 0] > 0.5]
    expected = torch.cat([seen.amin(0), seen.amax(0)])
    found, visible = warp.boxes(box, flow)
    assert visible.all()
    torch.testing.assert_close(found[0, 0], expected, atol=0.02, rtol=0)


def test_a_box_that_leaves_the_picture_is_clipped_and_then_invisible() -> None:
    box = torch.tensor([[[0.2, -0.2, 0.8, 0.2]]])
    cut, visible = warp.boxes(box, SHIFT)
    torch.testing.assert_close(cut[0, 0], torch.tensor([0.7, -0.2, 1.0, 0.2]), atol=0.02, rtol=0)
    assert visible.all()
    far = identity_grid((64, 64))[None] - torch.tensor([1.5, 0.0])
    assert not warp.boxes(box, far)[1].any()


@pytest.mark.parametrize("cells", [(2, 2), (64, 64), (300, 200)])
def test_results_do_not_depend_on_the_resolution_of_the_flow(cells: tuple[int, int]) -> None:
    shift = identity_grid(cells)[None] - torch.tensor([0.5, 0.1])
    box, _ = warp.boxes(torch.tensor([[[0.2, -0.2, 0.8, 0.2]]]), shift)
    torch.testing.assert_close(box[0, 0], torch.tensor([0.7, -0.1, 1.0, 0.3]), atol=1e-3, rtol=0)
    xy, visible = warp.points(torch.tensor([[[0.2, -0.2], [0.8, 0.0]]]), shift)
    torch.testing.assert_close(xy[0, 0], torch.tensor([0.7, -0.1]), atol=1e-4, rtol=0)
    assert visible.tolist() == [[True, False]]


def test_hidden_points_are_not_visible() -> None:
    occlusion = torch.ones(1, 1, 64, 64)
    occlusion[..., :32] = 0
    _, visible = warp.points(torch.tensor([[[-0.25, 0.0], [0.25, 0.0]]]), ZOOM, occlusion=occlusion)
    assert visible.tolist() == [[False, True]]


def test_points_on_a_surface_that_turns_away_are_not_visible() -> None:
    """The right half is compressed to a third of its width, like the far side of a turned head."""
    grid = identity_grid((65, 65))[None]
    flow = torch.stack([torch.where(grid[..., 0] > 0, 3 * grid[..., 0], grid[..., 0]), grid[..., 1]], -1)
    xy, occlusion = torch.tensor([[[-0.5, 0.0], [0.5, 0.0]]]), torch.ones(1, 1, 65, 65)
    assert warp.points(xy, flow, occlusion=occlusion)[1].tolist() == [[True, False]]
    assert warp.points(xy, flow)[1].all(), "of a flow alone nobody knows what it shows"


def test_points_at_an_edge_finer_than_the_occlusion_remain_visible() -> None:
    """Lids move like this: far, within few rows."""
    x, y = identity_grid((257, 257))[None].unbind(-1)
    flow = torch.stack([x, y + (2 * y).clamp(0, 0.032)], -1)
    xy = torch.tensor([[[0.0, 0.024]]])
    assert warp.points(xy, flow, occlusion=torch.ones(1, 1, 64, 64))[1].all()
    assert not warp.points(xy, flow, occlusion=torch.ones(1, 1, 257, 257))[1].any(), "as wide, it would turn away"


def test_a_face_that_becomes_small_remains_visible() -> None:
    xy, occlusion = torch.tensor([[[-0.5, 0.0], [0.5, 0.3]]]), torch.ones(1, 1, 64, 64)
    angle = torch.tensor(1.2)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
    for flow in (identity_grid((64, 64))[None] * 4, identity_grid((64, 64))[None] @ (1.8 * turn)):
        assert warp.points(xy, flow, occlusion=occlusion)[1].all()


def test_an_empty_set_of_boxes_is_accepted() -> None:
    found, visible = warp.boxes(torch.zeros(1, 0, 4), ZOOM)
    assert found.shape == (1, 0, 4)
    assert visible.shape == (1, 0)


def test_an_empty_batch_is_accepted() -> None:
    flow = ZOOM[:0]
    assert warp.image(torch.zeros(0, 3, 8, 8), flow).shape == (0, 3, 8, 8)
    assert warp.mask(torch.zeros(0, 8, 8), flow).shape == (0, 8, 8)
    assert warp.mask(torch.zeros(0, 2, 8, 8), flow).shape == (0, 2, 8, 8)
    for occlusion in (None, torch.ones(0, 1, 64, 64)):
        for move, columns in ((warp.points, 2), (warp.boxes, 4)):
            found, visible = move(torch.zeros(0, 3, columns), flow, occlusion=occlusion, size=(8, 8))
            assert found.shape == (0, 3, columns)
            assert visible.shape == (0, 3)
            assert visible.dtype == torch.bool


@pytest.mark.parametrize(
    "box",
    [
        pytest.param([0.0, 0.0, 96.0, 64.0], id="whole picture"),
        pytest.param([90.0, 60.0, 96.0, 64.0], id="at the far corner"),
        pytest.param([3.25, 4.5, 9.75, 20.0], id="between pixels"),
        pytest.param([5.0, 5.0, 6.0, 6.0], id="one pixel"),
    ],
)
def test_the_identity_returns_boxes_that_count_edges(box: list[float]) -> None:
    edges = torch.tensor([[box]])
    found, visible = warp.boxes(warp.edges_to_centres(edges), identity_grid((64, 64))[None], size=(64, 96))
    torch.testing.assert_close(warp.centres_to_edges(found), edges, atol=1e-3, rtol=0)
    assert visible.all()


def test_the_whole_picture_reaches_from_first_to_last_pixel_centre() -> None:
    assert warp.edges_to_centres(torch.tensor([0.0, 0.0, 64.0, 48.0])).tolist() == [0.0, 0.0, 63.0, 47.0]


def test_a_box_thinner_than_a_pixel_stays_in_order() -> None:
    first_x, first_y, last_x, last_y = warp.edges_to_centres(torch.tensor([5.0, 5.0, 5.4, 5.2])).tolist()
    assert first_x <= last_x and first_y <= last_y


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: warp.points(torch.zeros(3), ZOOM), ShapeError, r"xy must be \(B, M, 2\)"),
        (lambda: warp.boxes(torch.zeros(1, 2, 2), ZOOM), ShapeError, r"xyxy must be \(B, M, 4\)"),
        (lambda: warp.mask(torch.zeros(2, 4, 4), ZOOM), ShapeError, "2 labels or pictures for 1 flows"),
        (lambda: warp.image(torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4)), ShapeError, r"flow must be \(B, h, w, 2\)"),
        (lambda: warp.points(torch.zeros(1, 2, 2, dtype=torch.long), ZOOM), ArgumentError, "must be float"),
        (
            lambda: warp.points(np.zeros((1, 2, 2)), ZOOM),
            ShapeError,
            r"must be a tensor, got ndarray; use torch.from_numpy",
        ),
        (
            lambda: warp.boxes([[[0.0, 0.0, 1.0, 1.0]]], ZOOM),
            ShapeError,
            r"must be a tensor, got list; use torch.tensor",
        ),
        (lambda: warp.mask(np.zeros((1, 4, 4)), ZOOM), ShapeError, r"must be a tensor, got ndarray"),
        (lambda: warp.image(torch.zeros(1, 1, 4, 4), ZOOM.numpy()), ShapeError, r"flow must be a tensor, got ndarray"),
    ],
)
def test_wrong_shapes_are_named(call, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
