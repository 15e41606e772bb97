"""Conversions between arrays of pixels (channels last) and tensors (channels first)."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor


def to_tensor(pixels: NDArray[Any]) -> Tensor:
    """Turn (..., H, W, C) pixels into a tensor (..., C, H, W) of the same dtype; memory is shared where possible.

    >>> to_tensor(np.zeros((8, 6, 3), np.uint8)).shape
    torch.Size([3, 8, 6])
    """
    if not (pixels.flags.writeable and pixels.dtype.isnative):
        pixels = np.array(pixels, dtype=pixels.dtype.newbyteorder("="))  # torch accepts no others
    return torch.from_numpy(np.ascontiguousarray(pixels)).movedim(-1, -3)


def to_array(image: Tensor) -> NDArray[Any]:
    """Turn a tensor (..., C, H, W) into contiguous pixels (..., H, W, C) of the same dtype.

    >>> to_array(torch.zeros(2, 3, 8, 6)).shape
    (2, 8, 6, 3)
    """
    pixels: NDArray[Any] = np.ascontiguousarray(image.detach().cpu().movedim(-3, -1).numpy())
    return pixels


def like_array(image: Tensor, pixels: NDArray[Any]) -> NDArray[Any]:
    """Turn a tensor (..., C, H, W) into an array of the shape and dtype of the pixels that it was made from.

    >>> like_array(torch.zeros(1, 8, 6), np.zeros((8, 6), np.uint8)).dtype
    dtype('uint8')
    """
    return to_array(image).reshape(pixels.shape).astype(pixels.dtype, copy=False)


def to_unit(pixels: NDArray[Any]) -> Tensor:
    """Turn (..., H, W, C) uint8 or uint16 pixels into a tensor (..., C, H, W), float32 in [0, 1].

    >>> to_unit(np.full((1, 2, 1), 255, np.uint8)).tolist()
    [[[1.0, 1.0]]]
    """
    return to_tensor(pixels.astype(np.float32)) / float(np.iinfo(pixels.dtype).max)


def from_unit(image: Tensor, dtype: DTypeLike = np.uint8) -> NDArray[Any]:
    """Turn a tensor (..., C, H, W), float in [0, 1], into contiguous pixels (..., H, W, C).

    Args:
        image: tensor, whose values outside of the range are clipped. Levels of 16 bits need float64,
            since float32 rounds some levels to their neighbours.
        dtype: dtype of the pixels, uint8 or uint16.

    >>> from_unit(torch.tensor([0.0, 0.5, 2.0]).view(1, 1, 3))[0, :, 0].tolist()
    [0, 128, 255]
    """
    top = float(np.iinfo(dtype).max)
    return to_array((image * top).round().clamp(0, top)).astype(dtype)
