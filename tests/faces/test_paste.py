from __future__ import annotations

import pytest
import torch

from fomaug import warp
from fomaug.faces import MovedFace, Square, compose_motion, fades, put_back
from fomaug.geometry import identity_grid

SIZE = (180, 240)
SQUARE = Square(60, 20, 188, 148)
OTHER = Square(160, 40, 224, 104)  # over the edge of the first
EMPTY = torch.empty(0)  # motions compose without pixels


@pytest.fixture
def whole() -> torch.Tensor:
    return torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))


def flows(count: int) -> torch.Tensor:
    shifts = 0.05 * torch.arange(1, count + 1)[:, None, None, None] * torch.tensor([1.0, -1.0])
    return identity_grid((32, 32)) * 0.95 + shifts


def paste(whole: torch.Tensor, part: torch.Tensor, flow: torch.Tensor, square: Square) -> torch.Tensor:
    return put_back(whole, [MovedFace(square, part, flow, torch.ones(len(flow), 1, 32, 32))])


def test_a_batch_is_pasted_as_its_singles(whole: torch.Tensor) -> None:
    part, flow = torch.rand(2, 3, *SQUARE.size), flows(2)
    together = paste(whole, part, flow, SQUARE)
    for row in range(2):
        alone = paste(whole[[row]], part[[row]], flow[[row]], SQUARE)
        torch.testing.assert_close(together[[row]], alone, atol=1e-6, rtol=0)


def test_one_picture_can_have_many_faces(whole: torch.Tensor) -> None:
    """Frames of one face are pasted into one picture, as for a video."""
    part, flow = torch.rand(5, 3, *SQUARE.size), flows(5)
    together = paste(whole[:1], part, flow, SQUARE)
    assert torch.equal(together, paste(whole[:1].repeat(5, 1, 1, 1), part, flow, SQUARE))


def test_pasting_modifies_neither_the_input_nor_pixels_outside(whole: torch.Tensor) -> None:
    before = whole.clone()
    pasted = paste(whole, torch.rand(2, 3, *SQUARE.size), flows(2), SQUARE)
    assert torch.equal(whole, before)
    changed = (pasted != whole).any(1)
    assert SQUARE.cut(changed)[:, 40:80, 40:80].all()
    SQUARE.cut(changed)[:] = False
    assert not changed.any()


def test_motion_composes_as_its_singles() -> None:
    faces = [MovedFace(square, EMPTY, flows(2) * 1.0, torch.rand(2, 1, 16, 16)) for square in (SQUARE, OTHER)]
    flow, occlusion = compose_motion(SIZE, (90, 120), faces)
    assert flow.shape == (2, 90, 120, 2)
    assert occlusion.shape == (2, 1, 90, 120)
    for row in range(2):
        alone = [MovedFace(face.square, EMPTY, face.flow[[row]], face.occlusion[[row]]) for face in faces]
        for one, both in zip(compose_motion(SIZE, (90, 120), alone), (flow, occlusion), strict=True):
            torch.testing.assert_close(one, both[[row]], atol=1e-6, rtol=0)


def test_a_point_in_the_middle_moves_as_in_the_square_alone() -> None:
    flow, _ = compose_motion(SIZE, SIZE, [MovedFace(SQUARE, EMPTY, flows(1), torch.ones(1, 1, 32, 32))])
    point = torch.tensor([[[130.0, 90.0]]])
    corner = torch.tensor([SQUARE.left, SQUARE.top])
    inside, _ = warp.points(point - corner, flows(1), size=SQUARE.size)
    moved, visible = warp.points(point, flow, size=SIZE)
    assert visible.all()
    torch.testing.assert_close(moved, inside + corner, atol=0.05, rtol=0)


def test_weights_fade_one_after_the_other() -> None:
    for weight in fades(SQUARE, SIZE):
        assert weight[0].max() == weight[-1].max() == weight[:, 0].max() == weight[:, -1].max() == 0
        assert weight[64, 64] == 1
        assert max(weight.diff(dim=0).abs().max(), weight.diff(dim=1).abs().max()) < 0.2
    calm, cross = fades(SQUARE, SIZE)
    assert (calm[cross > 0] == 1).all()
    assert calm[cross == 0].max() > 0.95, "one begins where the other ends"


def test_at_the_edge_of_the_picture_there_is_no_seam() -> None:
    for weight in fades(Square(0, 0, 64, 64), (64, 100)):
        assert (weight[:, :40] == 1).all()
        assert weight[32, -1] == 0


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_integers_are_pasted_as_floats_would_be(whole: torch.Tensor, dtype: torch.dtype) -> None:
    top = torch.iinfo(dtype).max
    levels = (whole[:1].double() * top).round().to(dtype)
    part, flow = torch.rand(1, 3, *SQUARE.size), flows(1)
    wanted = paste(levels.double() / top, part, flow, SQUARE) * top
    of_levels = paste(levels, (part.double() * top).round().to(dtype), flow, SQUARE)
    of_unit = paste(levels, part, flow, SQUARE)
    assert of_levels.dtype == of_unit.dtype == dtype
    assert (of_unit.double() - wanted).abs().max() <= 0.51
    assert (of_levels.double() - wanted).abs().max() <= 1.02


def test_values_beyond_the_range_stay_outside_of_the_square(whole: torch.Tensor) -> None:
    wide = whole * 3 - 1
    pasted = paste(wide, torch.rand(2, 3, *SQUARE.size) * 3 - 1, flows(2), SQUARE)
    inside = SQUARE.cut(pasted)
    assert 0 <= inside.min() <= inside.max() <= 1
    assert pasted.min() == wide.min() < 0
    assert pasted.max() == wide.max() > 1
