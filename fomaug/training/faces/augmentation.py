"""Random numbers on the training device, and random changes of images that do not change the motion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.geometry import identity_grid

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


@dataclass(frozen=True)
class Degradation:
    """Shares of the pairs whose source and driving picture are degraded alike.

    Attributes:
        small_share: share of the pairs that are reduced and enlarged again.
        side_range: interval of the sides in pixels that they are reduced to.
        grey_share: share of the pairs without colour.
        jpeg_share: share of the pairs that are compressed.
        quality_range: interval of the JPEG qualities of these.
    """

    small_share: float = 0.12
    side_range: tuple[int, int] = (48, 128)
    grey_share: float = 0.1
    jpeg_share: float = 0.06
    quality_range: tuple[int, int] = (20, 80)


def uniform(generator: torch.Generator, *shape: int) -> Tensor:
    """Draw from the uniform distribution on [0, 1)."""
    return torch.rand(shape, generator=generator, device=generator.device)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Draw from the normal distribution of mean 0 and variance 1."""
    return torch.randn(shape, generator=generator, device=generator.device)


def integers(generator: torch.Generator, below: int, count: int) -> Tensor:
    """Draw (count,) int64 from 0 up to, but not including, `below`."""
    return torch.randint(below, (count,), generator=generator, device=generator.device)


def tint(images: tuple[Tensor, Tensor], generator: torch.Generator, grey_share: float) -> tuple[Tensor, Tensor]:
    """Change the colours of both images (B, 3, S, S) of each pair alike, and remove those of a share of the pairs."""
    b = len(images[0])
    gain = torch.exp(0.15 * normal(generator, b, 3, 1, 1))
    gain = gain * torch.exp(0.15 * normal(generator, b, 1, 1, 1))
    gamma = torch.exp(0.15 * normal(generator, b, 1, 1, 1))
    grey = uniform(generator, b, 1, 1, 1) < grey_share
    first, second = (_toned(image, gain, gamma, grey) for image in images)
    return first, second


def degrade(
    images: tuple[Tensor, Tensor], generator: torch.Generator, degradation: Degradation
) -> tuple[Tensor, Tensor]:
    """Reduce and compress both images (B, 3, S, S) of shares of the pairs alike."""
    b = len(images[0])
    small = torch.nonzero(uniform(generator, b) < degradation.small_share).flatten()
    jpeg = torch.nonzero(uniform(generator, b) < degradation.jpeg_share).flatten()
    sides = _between(degradation.side_range, len(small), generator).int()
    quality = _between(degradation.quality_range, len(jpeg), generator)
    first, second = (_compressed(_reduced(image, small, sides), jpeg, quality) for image in images)
    return first, second


def _between(interval: tuple[int, int], count: int, generator: torch.Generator) -> Tensor:
    low, high = interval
    return low + (high - low) * uniform(generator, count)


def _compressed(image: Tensor, rows: Tensor, quality: Tensor) -> Tensor:
    return image.index_copy(0, rows, compress(image[rows], quality)) if len(rows) else image


def _reduced(image: Tensor, rows: Tensor, sides: Tensor) -> Tensor:
    coarse = [_low_resolution(image[row : row + 1], side) for row, side in zip(rows, sides.tolist(), strict=True)]
    return image.index_copy(0, rows, torch.cat(coarse)) if coarse else image


def _low_resolution(image: Tensor, side: int) -> Tensor:
    small = F.interpolate(image, size=(side, side), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    return F.interpolate(small, size=image.shape[2:], mode="bicubic", align_corners=False).clamp(0, 1)


def disturb(image: Tensor, generator: torch.Generator) -> Tensor:
    """Change light, contrast, blur, resolution and noise of single images (B, 3, S, S), and cover parts of them."""
    b = len(image)

    def chance(share: float) -> Tensor:
        return uniform(generator, b, 1, 1, 1) < share

    gain = torch.exp(0.15 * normal(generator, b, 3, 1, 1))
    gamma = torch.exp(0.3 * normal(generator, b, 1, 1, 1))
    image = _toned(_shaded(image, generator), gain, gamma, chance(0.15))
    image = torch.where(chance(0.2), F.avg_pool2d(image, 5, 1, 2, count_include_pad=False), image)
    coarse = F.interpolate(F.avg_pool2d(image, 4), scale_factor=4.0, mode="bilinear")
    image = torch.where(chance(0.15), coarse, image)
    noise = normal(generator, *image.shape) * uniform(generator, b, 1, 1, 1).square()
    return _covered(image + 0.08 * noise, generator).clamp(0, 1)


def _toned(image: Tensor, gain: Tensor, gamma: Tensor, grey: Tensor) -> Tensor:
    image = image.clamp(min=1e-3).pow(gamma) * gain
    return torch.where(grey, image.mean(1, keepdim=True), image).clamp(0, 1)


def _shaded(image: Tensor, generator: torch.Generator) -> Tensor:
    """Apply a gradient of brightness, as by light from one side."""
    b, _, h, w = image.shape
    slope = 0.35 * normal(generator, 2, b, 1, 1, 1)
    x, y = identity_grid((h, w), device=image.device).unbind(-1)
    return image * torch.exp(slope[0] * x + slope[1] * y)


def _covered(image: Tensor, generator: torch.Generator) -> Tensor:
    """Cover a box in a third of the images with one colour."""
    b, _, h, w = image.shape
    centre = 2 * uniform(generator, 2, b, 1, 1, 1) - 1
    extent = 0.05 + 0.25 * uniform(generator, 2, b, 1, 1, 1)
    x, y = identity_grid((h, w), device=image.device).unbind(-1)
    inside = ((x - centre[0]).abs() < extent[0]) & ((y - centre[1]).abs() < extent[1])
    chosen = uniform(generator, b, 1, 1, 1) < 0.33
    return torch.where(inside & chosen, uniform(generator, b, 3, 1, 1), image)
