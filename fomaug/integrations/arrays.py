"""NumPy pictures and masks, channels last, to tensors, channels first, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]


def to_tensor(pictures: Array) -> Tensor:
    """Turn (N, H, W) or (N, H, W, C) into (N, C, H, W); the memory is shared where it can be.

    >>> to_tensor(np.zeros((2, 8, 6, 3), np.uint8)).shape
    torch.Size([2, 3, 8, 6])
    """
    if not (pictures.flags.writeable and pictures.dtype.isnative):
        pictures = np.array(pictures, dtype=pictures.dtype.newbyteorder("="))  # torch takes no others
    tensor = torch.from_numpy(np.ascontiguousarray(pictures))
    return tensor[:, None] if tensor.ndim == 3 else tensor.permute(0, 3, 1, 2)


def like(tensor: Tensor, pictures: Array) -> Array:
    """Turn (N, C, H, W) back into the layout and dtype of the pictures it was made from."""
    rows = tensor[:, 0] if pictures.ndim == 3 else tensor.permute(0, 2, 3, 1)
    return np.ascontiguousarray(rows.detach().cpu().numpy().astype(pictures.dtype, copy=False))
