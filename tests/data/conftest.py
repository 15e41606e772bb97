from __future__ import annotations

import pytest
import torch
from torch.utils.data import TensorDataset

from fomaug.augment import MotionAugment


@pytest.fixture
def augment(tiny_model, tiny_pool) -> MotionAugment:
    return MotionAugment(tiny_pool, tiny_model, p=0.8, seed=3)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(7, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def dataset(images) -> TensorDataset:
    """Seven pictures, each with its number as label."""
    return TensorDataset(images, torch.arange(7))
