"""Conversion of images of any dtype and range to float in [0, 1], and back."""

from __future__ import annotations

import torch
from torch import Tensor

from fomaug.errors import ArgumentError, ShapeError
from fomaug.types import check_shape

Range = tuple[float, float]


def check_images(images: Tensor, value_range: Range) -> None:
    """Raise unless the images are (B, 3, H, W) or (B, 1, H, W), uint8 or float in the range."""
    check_shape("images", images, "B C H W")
    if images.shape[1] not in (1, 3):
        raise ShapeError(f"images must be (B, 3, H, W) RGB or (B, 1, H, W) grey, got {tuple(images.shape)}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ShapeError(f"images must be uint8 or float, got {images.dtype}; convert them first")
    if images.is_floating_point() and images.numel():
        _check_values(images.detach(), value_range)


def _check_values(images: Tensor, value_range: Range) -> None:
    low, high = value_range
    # Resampled images overshoot a little; images in another range overshoot a lot.
    slack = 0.5 * (high - low)
    least, most = (float(value) for value in torch.aminmax(images))
    if not (least >= low - slack and most <= high + slack):
        raise ArgumentError(
            f"images go from {least:.4g} to {most:.4g}, but value_range is {tuple(value_range)}; give the range of "
            "your images as value_range, and normalise by mean and deviation afterwards"
        )


def to_unit(images: Tensor, value_range: Range) -> Tensor:
    """Bring (B, 1 or 3, H, W) images to (B, 3, H, W) float32 or wider in [0, 1]."""
    if images.dtype == torch.uint8:
        unit = images.float().div_(255)
    else:
        low, high = value_range
        unit = images.to(torch.promote_types(images.dtype, torch.float32))
        if (low, high) != (0, 1):
            unit = (unit - low) / (high - low)
    return unit.expand(-1, 3, -1, -1)


def from_unit(unit: Tensor, like: Tensor, value_range: Range) -> Tensor:
    """Bring (N, 3, H, W) images in [0, 1] to the channels, range, dtype and device of `like`."""
    if like.shape[1] == 1:
        unit = unit.mean(1, keepdim=True)
    if like.dtype == torch.uint8:
        unit = (unit * 255).round_().clamp_(0, 255)
    elif tuple(value_range) != (0, 1):
        low, high = value_range
        unit = unit * (high - low) + low
    return unit.to(like.device, like.dtype)


def layout(images: Tensor) -> torch.memory_format:
    """Return the memory format that results should have."""
    last = images.is_contiguous(memory_format=torch.channels_last) and not images.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format
