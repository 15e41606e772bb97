from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fomaug.geometry import identity_grid, resize_flow
from fomaug.geometry.inverse import invert_points, uneven_stretch
from fomaug.geometry.plane import cell_determinant

HALF_PIXEL = 0.5 * 2 / 255


def wavy(size: tuple[int, int] = (64, 64), strength: float = 0.08) -> Tensor:
    grid = identity_grid(size)
    x, y = grid.unbind(-1)
    shift = torch.stack([torch.sin(3 * y + 0.4) + 0.5 * torch.cos(5 * x), torch.cos(4 * x) * torch.sin(2 * y)], -1)
    return (grid + strength * shift)[None]


def dense_inverse(points: Tensor, flow: Tensor) -> Tensor:
    """Search a million coordinates for the one whose source is nearest."""
    x, y = resize_flow(flow, (1024, 1024))[0].reshape(-1, 2).T.contiguous()
    grid = identity_grid((1024, 1024)).reshape(-1, 2)
    squared = ((x - point[0]).square_().add_((y - point[1]).square_()) for point in points[0])
    return torch.stack([grid[distance.argmin()] for distance in squared])[None]


def inner_points(count: int = 40) -> Tensor:
    return torch.rand(1, count, 2, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8


@pytest.mark.parametrize("size", [(64, 64), (40, 72), (16, 16)])
def test_agrees_with_a_dense_search_to_half_a_pixel(size: tuple[int, int]) -> None:
    points, flow = inner_points(), wavy(size)
    found, valid = invert_points(points, flow)
    assert (cell_determinant(flow) > 0).all()
    assert valid.all()
    assert (found - dense_inverse(points, flow)).abs().max() < HALF_PIXEL


def test_the_flow_at_the_found_coordinates_is_the_point() -> None:
    points, flow = inner_points(300), wavy()
    found, valid = invert_points(points, flow)
    read = torch.nn.functional.grid_sample(flow.permute(0, 3, 1, 2), found[:, None], align_corners=True)
    assert valid.all()
    torch.testing.assert_close(read[:, :, 0].transpose(1, 2), points, atol=1e-4, rtol=0)


@pytest.mark.parametrize("angle", [0.0, 0.3, -1.0])
def test_rotation_and_scale_invert_exactly(angle: float) -> None:
    turn = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) * 0.8
    flow = identity_grid((32, 32))[None] @ turn.T + torch.tensor([0.05, -0.1])
    points = inner_points() * 0.5
    found, valid = invert_points(points, flow)
    expected = (points - torch.tensor([0.05, -0.1])) @ torch.linalg.inv(turn).T
    assert valid.all()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_big_motion_is_found_as_well() -> None:
    flow = identity_grid((64, 64))[None] + torch.tensor([0.9, -0.7])
    found, valid = invert_points(torch.tensor([[[0.95, -0.75], [-0.5, 0.5]]]), flow)
    torch.testing.assert_close(found[0, 0], torch.tensor([0.05, -0.05]), atol=1e-4, rtol=0)
    assert valid.tolist() == [[True, False]]  # the second one left the picture


def test_points_in_a_fold_are_not_valid_but_finite() -> None:
    grid = identity_grid((64, 64))
    x = grid[..., 0]
    flow = torch.stack([x - 0.45 * torch.sin(2 * math.pi * x), grid[..., 1]], -1)[None]  # folds around x = 0
    assert (cell_determinant(flow) < 0).float().mean() > 0.1
    found, valid = invert_points(torch.tensor([[[0.0, 0.0], [0.97, 0.1]]]), flow)
    assert torch.isfinite(found).all()
    assert valid.tolist() == [[False, True]]


def test_a_constant_flow_has_finite_points() -> None:
    found, valid = invert_points(inner_points(5), torch.zeros(1, 8, 8, 2))
    assert torch.isfinite(found).all()
    assert not valid.any()


def test_a_batch_equals_its_singles() -> None:
    flow = torch.cat([wavy(strength=0.05), wavy(strength=-0.08)])
    points = torch.cat([inner_points(), inner_points().flip(1)])
    together, valid = invert_points(points, flow)
    for i in range(2):
        alone, alone_valid = invert_points(points[i : i + 1], flow[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone)
        assert valid[i : i + 1].equal(alone_valid)


def test_an_empty_set_of_points_is_accepted() -> None:
    found, valid = invert_points(torch.zeros(2, 0, 2), wavy().expand(2, -1, -1, -1))
    assert found.shape == (2, 0, 2)
    assert valid.shape == (2, 0)


def test_the_determinant_is_the_area_of_affine_maps() -> None:
    matrix = torch.tensor([[0.9, 0.2], [-0.3, 1.1]])
    flow = identity_grid((9, 13))[None] @ matrix.T
    area = torch.full((1, 8, 12), torch.linalg.det(matrix).item())
    torch.testing.assert_close(cell_determinant(flow), area)
    torch.testing.assert_close(cell_determinant(flow * torch.tensor([-1.0, 1.0])), -area)


@pytest.mark.parametrize(("height", "width"), [(33, 33), (25, 49)])
def test_uneven_stretch_is_the_spread_of_the_singular_values(height: int, width: int) -> None:
    """A wide picture that is rotated as a whole is not stretched in pixels."""
    rng = torch.Generator().manual_seed(0)
    half = torch.tensor([(width - 1) / 2, (height - 1) / 2])
    points = torch.zeros(1, 1, 2)
    for _ in range(20):
        matrix = torch.randn(2, 2, generator=rng)
        flow = ((identity_grid((height, width)) * half) @ matrix.T / half)[None]
        largest, least = torch.linalg.svdvals(matrix)
        torch.testing.assert_close(uneven_stretch(points, flow)[0, 0], largest - least, atol=1e-3, rtol=1e-3)
