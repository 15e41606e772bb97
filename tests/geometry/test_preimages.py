from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.geometry import identity_grid
from fomaug.geometry.inverse import find_preimages


def random_flow(size: tuple[int, int], strength: float, batch: int = 2) -> Tensor:
    coarse = strength * torch.randn(batch, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    shift = F.interpolate(coarse, size=size, mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    return (identity_grid(size) + shift).double()


def random_points(batch: int = 2, count: int = 12) -> Tensor:
    return torch.rand(batch, count, 2, generator=torch.Generator().manual_seed(2)).double() * 2 - 1


def every_triangle(points: Tensor, flow: Tensor) -> set[tuple[int, float, float, bool]]:
    """Test every point in both triangles of every cell by barycentric coordinates."""
    b, h, w, _ = flow.shape
    grid = identity_grid((h, w)).double()
    found = set()
    for sample in range(b):
        for row in range(h - 1):
            for column in range(w - 1):
                square = [(row, column), (row, column + 1), (row + 1, column), (row + 1, column + 1)]
                for corners in ((0, 1, 2), (3, 2, 1)):
                    shown = torch.stack([flow[sample][square[i]] for i in corners])
                    corner = torch.stack([grid[square[i]] for i in corners])
                    edges = (shown[1:] - shown[0]).T
                    for number, point in enumerate(points[sample]):
                        share = torch.linalg.solve(edges, point - shown[0])
                        if share.min() >= 0 and share.sum() <= 1:
                            x, y = (corner[0] + share @ (corner[1:] - corner[0])).tolist()
                            upright = bool(torch.linalg.det(edges) > 0)
                            found.add((sample * points.shape[1] + number, round(x, 4), round(y, 4), upright))
    return found


@pytest.mark.parametrize("size", [(2, 2), (2, 7), (9, 6), (11, 12)])
@pytest.mark.parametrize("strength", [0.05, 0.5])
def test_the_result_equals_a_search_of_every_triangle(size: tuple[int, int], strength: float) -> None:
    points, flow = random_points(), random_flow(size, strength)
    found = find_preimages(points, flow)
    coordinates = found.xy.tolist()
    rows = zip(found.point.tolist(), coordinates, found.upright.tolist(), strict=True)
    assert {(i, round(x, 4), round(y, 4), up) for i, (x, y), up in rows} == every_triangle(points, flow)


def test_folds_show_points_several_times() -> None:
    x, y = identity_grid((64, 64)).unbind(-1)
    flow = torch.stack([x - 0.45 * torch.sin(2 * torch.pi * x), y], -1)[None]
    found = find_preimages(torch.tensor([[[0.013, 0.02]]]), flow)
    assert len(found.point) == 3
    assert sorted(found.upright.tolist()) == [False, True, True]


def test_limits_on_memory_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    points, flow = random_points(count=30), random_flow((20, 33), 0.3)
    whole = find_preimages(points, flow)
    monkeypatch.setattr("fomaug.geometry.inverse._AT_ONCE", 50)
    parts = find_preimages(points, flow)
    for one, other in zip(whole, parts, strict=True):
        assert one.shape == other.shape
    assert whole.point.sort().values.equal(parts.point.sort().values)
    torch.testing.assert_close(whole.xy.sum(0), parts.xy.sum(0))


def test_nan_points_have_no_pre_image() -> None:
    flow = identity_grid((8, 8))[None].clone()
    points = torch.tensor([[[float("nan"), 0.0], [float("inf"), 0.0], [0.9, 0.9]]])
    assert find_preimages(points, flow).point.unique().tolist() == [2]
    assert len(find_preimages(points, flow * float("nan")).point) == 0
    assert len(find_preimages(points, flow * 0).point) == 0
