"""Classic augmentation of a batch (flip, affine, colour, blur, noise, cutout), drawn first and applied afterwards."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

_TURN: Final = math.radians(20)
_SHEAR: Final = math.radians(8)
_SCALE: Final = 0.15  # Scales are drawn from 1 - _SCALE to 1 + _SCALE.
_SHIFT: Final = 0.2  # Largest shift, as a share of half the picture.
_BRIGHTNESS: Final = 0.2
_CONTRAST: Final = 0.4  # Drawn from exp(-_CONTRAST) to exp(_CONTRAST), like gamma and the gains of the channels.
_GAMMA: Final = 0.4
_TINT: Final = 0.15
_NOISE: Final = 0.06  # Largest standard deviation.
_CUTOUT: Final = (0.2, 0.7)  # Sides of the hole; the picture's side is 2.
_BLUR: Final = (1.0, 4.0, 6.0, 4.0, 1.0)  # Binomial kernel, divided by its sum.

MIRRORED_POINTS: Final[dict[int, tuple[int, ...]]] = {
    5: (1, 0, 2, 4, 3),
    68: (
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        *(45, 44, 43, 42, 47, 46),
        *(39, 38, 37, 36, 41, 40),
        *range(54, 47, -1),
        *range(59, 54, -1),
        *range(64, 59, -1),
        *(67, 66, 65),
    ),
}
"""For each known number of landmarks, the index that each landmark has after a flip."""


@dataclass(frozen=True, eq=False)
class ClassicParams:
    """One draw for each picture of a batch.

    Attributes:
        theta: (B, 2, 3) affine maps from coordinates of the result to coordinates of the picture, both in [-1, 1]; they
            include the flip.
        flipped: (B,) bool, True for mirrored pictures.
        tone: (B, C + 2) brightness, gamma, and a gain for each channel.
        blur: (B,) share of the blurred picture, in [0, 1].
        noise: (B, C, H, W) noise to add.
        hole: (B, 5) x, y, half width and half height of the hole in [-1, 1], and its grey level; the width is 0 for no
            hole.
    """

    theta: Tensor
    flipped: Tensor
    tone: Tensor
    blur: Tensor
    noise: Tensor
    hole: Tensor


def draw_classic(shape: tuple[int, ...], generator: torch.Generator, *, flip: bool = True) -> ClassicParams:
    """Draw the augmentation of a batch.

    Args:
        shape: shape (B, C, H, W) of the batch.
        generator: generator of all random numbers; the same state gives the same draw.
        flip: whether half of the pictures are mirrored.
    """
    batch, channels = shape[:2]

    def within(low: float, high: float, *size: int) -> Tensor:
        return low + (high - low) * torch.rand(batch, *size, generator=generator)

    flipped = (within(0, 1) < 0.5) & flip
    theta = _affine(within(-1, 1, 6), flipped)
    common = within(-_CONTRAST, _CONTRAST, 1)
    tint = within(-_TINT, _TINT, channels) * (channels > 1)
    tone = torch.cat([within(-_BRIGHTNESS, _BRIGHTNESS, 1), within(-_GAMMA, _GAMMA, 1).exp(), (common + tint).exp()], 1)
    blur = (within(-2, 1)).clamp(min=0)  # Two of three pictures have no blur.
    noise = torch.randn(shape, generator=generator) * within(-_NOISE, _NOISE, 1, 1, 1).clamp(min=0)
    sides = within(*_CUTOUT, 2) / 2 * (within(0, 1, 1) < 0.5)
    return ClassicParams(theta, flipped, tone, blur, noise, torch.cat([within(-1, 1, 2), sides, within(0, 1, 1)], 1))


def apply_classic(images: Tensor, params: ClassicParams) -> Tensor:
    """Augment a batch.

    Args:
        images: (B, C, H, W) float in [0, 1].
        params: draw for a batch of this shape.

    Returns:
        (B, C, H, W) float in [0, 1].
    """
    grid = F.affine_grid(params.theta, list(images.shape), align_corners=True)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=True)
    moved = moved.lerp(_blurred(moved), params.blur[:, None, None, None])
    bright, gamma, gains = (
        params.tone[:, :1, None, None],
        params.tone[:, 1:2, None, None],
        params.tone[:, 2:, None, None],
    )
    toned = ((moved.clamp(min=1e-4) ** gamma - 0.5) * gains + 0.5 + bright + params.noise).clamp(0, 1)
    return _cut_out(toned, params.hole)


def move_points(points: Tensor, params: ClassicParams) -> Tensor:
    """Move landmarks (B, P, 2) in [-1, 1] as `apply_classic` moves the pictures; flips swap their indices."""
    inverse = torch.linalg.inv(params.theta[:, :, :2])
    moved: Tensor = (points - params.theta[:, None, :, 2]) @ inverse.transpose(1, 2)
    swapped = MIRRORED_POINTS.get(points.shape[1])
    if swapped is None:
        assert not params.flipped.any(), "flips need a table of the landmarks that swap"
        return moved
    return torch.where(params.flipped[:, None, None], moved[:, list(swapped)], moved)


def mirror_visible(visible: Tensor, params: ClassicParams) -> Tensor:
    """Swap the visibility (B, P) of landmarks as `move_points` swaps the landmarks."""
    swapped = MIRRORED_POINTS.get(visible.shape[1])
    return visible if swapped is None else torch.where(params.flipped[:, None], visible[:, list(swapped)], visible)


def _affine(unit: Tensor, flipped: Tensor) -> Tensor:
    """Turn draws (B, 6) in [-1, 1] and flips into affine maps (B, 2, 3): turn, shear, a scale for each axis, shift."""
    angle, shear = unit[:, 0] * _TURN, torch.tan(unit[:, 1] * _SHEAR)
    scale = 1 + unit[:, 2] * _SCALE
    wide = scale * (1 + unit[:, 3] * _SCALE / 2) * torch.where(flipped, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    rows = [cos * wide, (cos * shear - sin) * scale, unit[:, 4] * _SHIFT]
    rows += [sin * wide, (sin * shear + cos) * scale, unit[:, 5] * _SHIFT]
    return torch.stack(rows, 1).view(-1, 2, 3)


def _blurred(images: Tensor) -> Tensor:
    channels = images.shape[1]
    line = torch.tensor(_BLUR).to(images) / sum(_BLUR)
    kernel = torch.outer(line, line).expand(channels, 1, -1, -1)
    return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="replicate"), kernel, groups=channels)


def _cut_out(images: Tensor, hole: Tensor) -> Tensor:
    height, width = images.shape[2:]
    x = torch.linspace(-1, 1, width) - hole[:, :1]  # (B, W)
    y = torch.linspace(-1, 1, height) - hole[:, 1:2]
    inside = (x.abs() < hole[:, 2:3])[:, None, None, :] & (y.abs() < hole[:, 3:4])[:, None, :, None]
    return torch.where(inside, hole[:, 4, None, None, None], images)
