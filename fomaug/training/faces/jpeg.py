"""JPEG artefacts on tensors: round the frequencies of each block of 8 x 8 pixels."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

_YCBCR: Final = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def compress(image: Tensor, quality: Tensor) -> Tensor:
    """Add the artefacts of JPEG files of about the given qualities.

    In place of the quantisation tables of ITU-T T.81, steps grow linearly with the frequency; those of colour
    differences are twice those of brightness, and colour is not subsampled.

    Args:
        image: (B, 3, S, S) in [0, 1], S a multiple of 8.
        quality: (B,) from 1 to 100.
    """
    b, _, size, _ = image.shape
    mix, basis = _YCBCR.to(image.device), _basis(image.device)
    planes = torch.einsum("ij,bjhw->bihw", mix, image)
    blocks = planes.view(b, 3, size // 8, 8, size // 8, 8)
    frequencies = torch.einsum("ux,bcixjy,vy->bciujv", basis, blocks, basis)
    step = _steps(quality)[:, :, None, :, None, :]
    rounded = (frequencies / step).round() * step
    back = torch.einsum("ux,bciujv,vy->bcixjy", basis, rounded, basis).reshape(b, 3, size, size)
    return torch.einsum("ij,bjhw->bihw", torch.linalg.inv(mix), back).clamp(0, 1)


def _basis(device: torch.device) -> Tensor:
    """Make the orthonormal cosine basis (8, 8): a row for each frequency."""
    k = torch.arange(8, device=device)
    waves = torch.cos(math.pi / 8 * (k + 0.5) * k[:, None]) / 2
    waves[0] /= math.sqrt(2)
    return waves


def _steps(quality: Tensor) -> Tensor:
    """Compute the steps (B, 3, 8, 8) that frequencies are rounded to."""
    scale = torch.where(quality < 50, 50 / quality.clamp(min=1), 2 - quality / 50).clamp(min=0.02)
    k = torch.arange(8, device=quality.device)
    table = (10 + 8 * (k + k[:, None])) / 255
    return scale[:, None, None, None] * torch.stack([table, 2 * table, 2 * table])
