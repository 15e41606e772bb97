"""Faster warps of feature maps and of single pictures equal the plain warp."""

from __future__ import annotations

import pytest
import torch

from fomaug.geometry import identity_grid, resize_flow, resize_map, warp_image
from fomaug.geometry.plane import Interpolation, warp_features


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("size", [(8, 8), (6, 9), (1, 5)])
def test_rows_of_features_equal_the_plain_warp(size: tuple[int, int], dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(3, 5, *size, generator=random).to(dtype)
    flow = identity_grid((8, 8)) + 0.5 * torch.randn(3, 8, 8, 2, generator=random)  # much of it leaves the maps
    share = torch.rand(3, 1, 8, 8, generator=random)
    expected = warp_image(features.to(torch.promote_types(dtype, torch.float32)), flow, padding="border")
    expected = (expected * resize_map(share.to(expected.dtype), size)).to(dtype)
    with torch.no_grad():
        found = warp_features(features, flow, share)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-2 if dtype == torch.bfloat16 else 1e-5)


def test_the_corners_of_a_map_stay_in_it() -> None:
    features = torch.arange(12.0).view(1, 1, 3, 4)
    with torch.no_grad():
        found = warp_features(features, identity_grid((3, 4))[None], torch.ones(1, 1, 3, 4))
        far = warp_features(features, torch.full((1, 3, 4, 2), 7.0), torch.ones(1, 1, 3, 4))
    torch.testing.assert_close(found, features, atol=1e-5, rtol=0)
    assert (far == 11).all()


def test_a_nan_flow_reads_inside_the_map() -> None:
    features = torch.rand(1, 1, 3, 4)
    flow = torch.tensor([float("nan"), float("inf")]).expand(1, 3, 4, 2)
    with torch.no_grad():
        found = warp_features(features, flow, torch.ones(1, 1, 3, 4))
    assert found.isfinite().all()
    assert found.max() <= features.max()


def test_an_empty_batch_has_an_empty_result() -> None:
    features = torch.randn(0, 5, 8, 8)
    with torch.no_grad():
        assert warp_features(features, torch.zeros(0, 4, 4, 2), torch.ones(0, 1, 4, 4)).shape == (0, 5, 8, 8)


def test_gradients_reach_features_flow_and_share() -> None:
    features, flow, share = torch.randn(1, 2, 4, 4), 0.9 * identity_grid((4, 4))[None], torch.rand(1, 1, 4, 4)
    leaves = [tensor.double().requires_grad_() for tensor in (features, flow, share)]
    assert torch.autograd.gradcheck(lambda *args: warp_features(*args), leaves)


def test_channels_are_innermost_without_gradients() -> None:
    with torch.no_grad():
        found = warp_features(torch.randn(2, 3, 8, 8), torch.zeros(2, 4, 4, 2), torch.ones(2, 1, 4, 4))
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_a_flow_in_planes_resizes_as_one_in_pairs() -> None:
    planes = torch.randn(2, 2, 5, 7)
    torch.testing.assert_close(
        resize_flow(planes.permute(0, 2, 3, 1), (9, 4)), resize_flow(planes.permute(0, 2, 3, 1).contiguous(), (9, 4))
    )


@pytest.mark.parametrize("mode", ["bilinear", "bicubic", "nearest"])
def test_bands_of_rows_equal_the_whole_picture(mode: Interpolation, monkeypatch: pytest.MonkeyPatch) -> None:
    picture, flow = torch.rand(1, 3, 9, 7), 1.2 * torch.rand(1, 6, 5, 2)
    with torch.no_grad():
        monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
        whole = warp_image(picture, flow, mode=mode)
        monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
        assert torch.equal(warp_image(picture, flow, mode=mode), whole)
