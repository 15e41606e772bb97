from __future__ import annotations

import pytest
import torch
from torch import nn

from fomaug.networks import OFFICIAL, build_networks, fold_batch_norms
from fomaug.networks import blocks as module
from fomaug.networks.blocks import UpBlock


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
    assert {name for name in names if "norm" not in name} <= set(generator.state_dict())
    assert not any("quarters" in name for name in generator.state_dict())
