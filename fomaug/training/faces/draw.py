"""Random numbers, made where the source of randomness is: on the device that trains."""

from __future__ import annotations

import torch
from torch import Tensor


def uniform(generator: torch.Generator, *shape: int) -> Tensor:
    """Draw from [0, 1)."""
    return torch.rand(shape, generator=generator, device=generator.device)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Draw from the normal distribution of mean 0 and variance 1."""
    return torch.randn(shape, generator=generator, device=generator.device)


def integers(generator: torch.Generator, below: int, count: int) -> Tensor:
    """Draw (count,) int64 from 0 up to, but not including, `below`."""
    return torch.randint(below, (count,), generator=generator, device=generator.device)
