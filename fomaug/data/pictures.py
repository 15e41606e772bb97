"""Single pictures as datasets hold them (tensors, arrays, PIL images) to tensors and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fomaug.errors import ShapeError

Picture = Tensor | NDArray[Any] | Image.Image
"""A (C, H, W) tensor, an (H, W, C) or (H, W) array, or a PIL image."""


def to_tensor(picture: Picture) -> Tensor:
    """Return the picture as (C, H, W), values as they are."""
    if isinstance(picture, Tensor):
        if picture.ndim != 3:
            raise ShapeError(f"a picture must be a (C, H, W) tensor, got {tuple(picture.shape)}")
        return picture
    if isinstance(picture, Image.Image):
        if picture.mode not in ("RGB", "L"):
            raise ShapeError(f"a PIL picture must be RGB or L, got {picture.mode}; use picture.convert('RGB')")
        return _from_array(np.asarray(picture))
    if isinstance(picture, np.ndarray):
        return _from_array(picture)
    raise ShapeError(f"a picture must be a tensor, an array or a PIL image, got {type(picture).__name__}")


def like(moved: Tensor, picture: Picture) -> Picture:
    """Return a moved (C, H, W) tensor as the kind of picture it was before."""
    if isinstance(picture, Tensor):
        return moved
    array = moved.permute(1, 2, 0).contiguous().numpy()
    if isinstance(picture, Image.Image):
        return Image.fromarray(array[..., 0] if picture.mode == "L" else array)
    return array.reshape(picture.shape)


def label_tensor(label: object) -> Tensor:
    """Return a label as a tensor: tensor, array, PIL mask, or nested lists."""
    if isinstance(label, Tensor):
        return label
    try:
        return torch.from_numpy(np.array(label))
    except (TypeError, ValueError) as error:
        raise ShapeError(
            f"a label must be a tensor, an array, a PIL mask or nested lists of numbers, got {type(label).__name__} "
            f"({error}); give None for a picture without one"
        ) from error


def label_like(moved: Tensor, label: object) -> object:
    """Return a moved label as the kind of label it was before."""
    if isinstance(label, Tensor):
        return moved
    if isinstance(label, Image.Image):
        mask = Image.fromarray(moved.numpy())
        if label.mode == "P":
            mask.putpalette(label.getpalette() or [])
        return mask
    return moved.numpy() if isinstance(label, np.ndarray) else moved.tolist()


def _from_array(array: NDArray[Any]) -> Tensor:
    if array.ndim not in (2, 3):
        raise ShapeError(f"a picture must be an (H, W) or (H, W, C) array, got {array.shape}")
    planes = array[..., None] if array.ndim == 2 else array
    # A copy: arrays of PIL images are read-only, and a tensor cannot say so.
    return torch.from_numpy(planes.copy()).permute(2, 0, 1)
