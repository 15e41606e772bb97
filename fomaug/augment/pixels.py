"""Conversion of images of any dtype and range to float in [0, 1], and back."""

from __future__ import annotations

import torch
from torch import Tensor

from fomaug.device import Readback
from fomaug.errors import ArgumentError, ShapeError
from fomaug.types import check_shape

Range = tuple[float, float]

_ROUNDING = 1e-3  # of the range; a quarter of a step between two of 256 levels


class ValueCheck:
    """The check that float images are in their range, made when a device has found their extremes.

    Args:
        images: (B, C, H, W) float, not empty.
        value_range: lowest and highest value.
    """

    def __init__(self, images: Tensor, value_range: Range) -> None:
        self._dtype, self._range = images.dtype, value_range
        self._extremes = Readback(torch.stack(torch.aminmax(images.detach())))

    @property
    def ready(self) -> bool:
        """Whether `finish` need not wait."""
        return self._extremes.ready

    def finish(self) -> None:
        """Wait for the extremes, and raise `ArgumentError` if they are out of range."""
        least, most = self._extremes.values()
        _check_extremes(least, most, self._dtype, self._range)


class LateChecks:
    """The last check that was not yet possible; copies of this object have none."""

    def __init__(self) -> None:
        self._last: ValueCheck | None = None

    def follow(self, check: ValueCheck | None) -> None:
        """Raise an error if the last check has failed, and store the next one."""
        last, self._last = self._last, check
        if last is not None and last.ready:
            last.finish()

    def __reduce__(self) -> tuple[type[LateChecks], tuple[()]]:
        return LateChecks, ()


def check_images(images: Tensor, value_range: Range) -> ValueCheck | None:
    """Raise unless the images are a tensor (B, 3, H, W) or (B, 1, H, W), uint8 or float in the range.

    Returns:
        The check of the range, if it must wait for a device; None if it was made.
    """
    check_tensor(images)
    if images.ndim == 3:
        whole = "images.permute(2, 0, 1)[None]" if _is_last(images) else "images[None]"
        raise ShapeError(f"images must be (B, C, H, W), got {tuple(images.shape)}; one picture is {whole}")
    check_shape("images", images, "B C H W")
    if len(images) and 0 in images.shape[2:]:
        raise ShapeError(f"images must have at least one pixel, got {tuple(images.shape)}")
    if images.shape[1] not in (1, 3):
        alpha = "; leave the alpha channel out: images[:, :3]" if images.shape[1] == 4 else ""
        remedy = "; use images.permute(0, 3, 1, 2)" if _is_last(images) else alpha
        raise ShapeError(f"images must be (B, 3, H, W) RGB or (B, 1, H, W) grey, got {tuple(images.shape)}{remedy}")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise ShapeError(
            f"images must be uint8 or float, got {images.dtype}; scale them to 0 to 255 as uint8, or to value_range as "
            "float"
        )
    if not images.is_floating_point() or not images.numel():
        return None
    check = ValueCheck(images, value_range)
    if images.device.type != "cpu":
        return check
    check.finish()
    return None


def _is_last(images: Tensor) -> bool:
    """Return whether images have their channels in the last dimension, and not before height and width."""
    return images.shape[-1] in (1, 3) and images.shape[-3] not in (1, 3)


def check_tensor(images: object) -> None:
    """Raise unless images are a tensor.

    Raises:
        ShapeError: the images have another type; the message describes the conversion.
    """
    if isinstance(images, Tensor):
        return
    remedies = {
        "list": "stack pictures of one size with torch.stack",
        "tuple": "stack pictures of one size with torch.stack",
        "ndarray": "use torch.from_numpy(array).permute(2, 0, 1)[None] for an (H, W, C) array",
        "NoneType": "check what your dataset returns",
    }
    kind = type(images).__name__
    remedy = remedies.get(
        kind, "use torchvision.transforms.v2.functional.pil_to_tensor(picture)[None] for a PIL picture"
    )
    raise ShapeError(
        f"images must be a (B, 3, H, W) or (B, 1, H, W) tensor, got {kind}; {remedy}, or let "
        "fomaug.data.MotionDataset or an adapter of fomaug.integrations take single pictures as they are"
    )


def _check_extremes(least: float, most: float, dtype: torch.dtype, value_range: Range) -> None:
    low, high = value_range
    # Bright pictures in [-1, 1] have few values below 0, so only rounding errors are allowed below. Above, resampled
    # pictures overshoot a little, and no common range holds bright pictures that go just beyond 1.
    rounding = max(_ROUNDING, torch.finfo(dtype).eps) * (high - low)
    slack = 0.5 * (high - low)
    if not (least >= low - rounding and most <= high + slack):
        raise ArgumentError(
            f"images go from {least:.4g} to {most:.4g}, but value_range is {tuple(value_range)}: {low:g} is black and "
            f"{high:g} is white; give the range of your images as value_range, clamp what resampling put outside of "
            "it, and normalise by mean and deviation afterwards"
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
