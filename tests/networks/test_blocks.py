from __future__ import annotations

import pytest
import torch
from torch import nn

from fomaug import Animator
from fomaug.networks import OFFICIAL, build_networks, fold_batch_norms
from fomaug.networks import convolutions as module
from fomaug.networks.blocks import ResBlock, UpBlock


@pytest.fixture
def folded(monkeypatch: pytest.MonkeyPatch) -> UpBlock:
    monkeypatch.setattr(module, "_LARGE", 1)
    block = UpBlock(5, 4)
    block.norm = nn.Identity()
    block.fold()
    return block


@torch.no_grad()
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 6)])
def test_a_map_that_is_convolved_before_it_is_doubled_is_the_same(folded: UpBlock, size: tuple[int, int]) -> None:
    x = torch.randn(2, 5, *size)
    quick = folded(x)
    folded.quarters = None
    torch.testing.assert_close(quick, folded(x), atol=1e-5, rtol=0)


@pytest.fixture
def residual(monkeypatch: pytest.MonkeyPatch) -> ResBlock:
    monkeypatch.setattr(module, "_LARGE", 1)
    block = ResBlock(6).eval()
    block.norm2 = nn.Identity()
    block.fold()
    return block


@torch.no_grad()
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("size", [(1, 4), (3, 8), (8, 12)])
def test_convolutions_in_tiles_are_the_same(
    residual: ResBlock, size: tuple[int, int], layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(2, 6, *size, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=layout)
    calls = []
    plain = module.convolve_positive
    monkeypatch.setattr("fomaug.networks.blocks.convolve_positive", lambda *a: calls.append(None) or plain(*a))
    quick = residual(x)
    assert len(calls) == 2
    residual.columns1 = None
    torch.testing.assert_close(quick, residual(x), atol=1e-5, rtol=0)


@torch.no_grad()
def test_maps_without_whole_tiles_and_half_precision_take_the_plain_way(residual: ResBlock) -> None:
    x = torch.randn(1, 6, 4, 8)
    assert module.has_tiles(x)
    assert not module.has_tiles(x[..., :7])
    assert not module.has_tiles(x.bfloat16())
    assert residual(x[..., :7]).shape == (1, 6, 4, 7)


@torch.no_grad()
@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_convolution_by_columns_is_the_same(kernel: int) -> None:
    convolution = nn.Conv2d(5, 3, kernel, padding=kernel // 2)
    x = torch.randn(2, 5, 6, 9, generator=torch.Generator().manual_seed(0))
    assert convolution.bias is not None
    found = module.convolve_by_columns(x, convolution.weight, convolution.bias)
    torch.testing.assert_close(found, convolution(x), atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_generator_paints_one_row_at_a_time(tiny_model: Animator) -> None:
    images = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    source, target = tiny_model.encode(images), tiny_model.detect(images.flip(3))
    rows: list[int] = []
    bottleneck = tiny_model.generator.get_submodule("bottleneck")
    bottleneck.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    try:
        together = tiny_model.animate(source, target)
    finally:
        bottleneck._forward_pre_hooks.clear()
    assert rows == [1, 1, 1]
    for row in range(3):
        alone = tiny_model.animate(source[row], target[row])
        torch.testing.assert_close(together.image[row], alone.image[0], atol=1e-5, rtol=0)


def test_with_gradients_the_plain_implementation_is_used(folded: UpBlock) -> None:
    x = torch.randn(1, 5, 3, 3, requires_grad=True)
    folded(x).sum().backward()
    assert x.grad is not None and folded.conv.weight.grad is not None


def test_a_block_with_its_batch_norm_is_not_folded() -> None:
    block = UpBlock(5, 4)
    block.fold()
    assert block.quarters is None


def test_only_the_generators_own_blocks_are_folded_and_the_weights_stay_the_same() -> None:
    with torch.device("meta"):
        generator = build_networks(OFFICIAL["vox-256"])[1].eval()
    names = set(generator.state_dict())
    generator.to_empty(device="cpu")
    fold_batch_norms(generator)
    blocks = {
        name for name, block in generator.named_modules() if isinstance(block, UpBlock) and block.quarters is not None
    }
    assert blocks == {"up_blocks.0", "up_blocks.1"}
    tiles = {name for name, block in generator.named_modules() if getattr(block, "columns1", None) is not None}
    assert tiles == {f"bottleneck.r{number}" for number in range(6)}
    assert {name for name in names if "norm" not in name} <= set(generator.state_dict())
    assert not any("quarters" in name or "columns" in name for name in generator.state_dict())
