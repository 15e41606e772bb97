"""Variation of training pairs: mirror, swap, zoom, colours; both frames alike."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fomaug.training.config import AugmentParams

_LUMA = torch.tensor([0.299, 0.587, 0.114])
_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def vary(source: Tensor, driving: Tensor, params: AugmentParams, *, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Vary a pair of frames (3, S, S) in [0, 1]."""
    mirror, swap = rng.random(2) < 0.5  # drawn always: one switch must not change the other's draws
    pair = torch.stack([source, driving])
    if params.horizontal_flip and mirror:
        pair = pair.flip(-1)
    if params.time_flip and swap:
        pair = pair.flip(0)
    pair = _zoom(pair, rng.uniform(*params.zoom_range), rng.random(2))
    pair = _jitter(pair, params, rng=rng)
    return pair[0], pair[1]


def _zoom(pair: Tensor, ratio: float, place: NDArray[np.float64]) -> Tensor:
    """Resize, then crop at `place` in [0, 1], or pad by the border's colours."""
    size = pair.shape[-1]
    side = round(size * ratio)
    if side == size:
        return pair
    pair = F.interpolate(pair, size=(side, side), mode="bilinear", antialias=True)
    left, top = (round(float(share) * abs(side - size)) for share in place)
    if side > size:
        return pair[..., top : top + size, left : left + size]
    return F.pad(pair, (left, size - side - left, top, size - side - top), mode="replicate")


def _jitter(pair: Tensor, params: AugmentParams, *, rng: np.random.Generator) -> Tensor:
    shares = rng.uniform(-1, 1, 4)
    names = ("brightness", "contrast", "saturation")
    brightness, contrast, saturation = (
        1 + float(share) * float(getattr(params, name)) for share, name in zip(shares, names, strict=False)
    )
    if brightness != 1:
        pair = pair * brightness
    if contrast != 1:
        middle = _grey(pair).mean()
        pair = middle + contrast * (pair - middle)
    if saturation != 1:
        grey = _grey(pair)
        pair = grey + saturation * (pair - grey)
    if params.hue:
        pair = _turn_hue(pair, 2 * math.pi * params.hue * float(shares[3]))
    return pair.clamp(0, 1)


def _grey(pair: Tensor) -> Tensor:
    return torch.einsum("nchw,c->nhw", pair, _LUMA)[:, None]


def _turn_hue(pair: Tensor, angle: float) -> Tensor:
    """Turn the chroma plane of YIQ."""
    turn = torch.eye(3)
    turn[1:, 1:] = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = torch.linalg.inv(_TO_YIQ) @ turn @ _TO_YIQ
    return torch.einsum("ij,njhw->nihw", matrix, pair)
