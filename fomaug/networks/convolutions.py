"""Convolutions of large maps on a CPU, with fewer products or with fuller registers than the plain ones.

All maps have their channels innermost, so that the sums before and after the convolutions run over contiguous memory.

A 3 x 3 convolution needs half of the products. Along a row, four neighbouring results need six products with
transformed weights instead of twelve: this is the minimal filtering F(4, 3) of Winograd, see Lavin and Gray, "Fast
Algorithms for Convolutional Neural Networks", section 4. Along the columns the convolution is direct, because
processors compute convolutions of three rows much faster than the plain matrix products that the filtering of both
directions leaves.
"""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.geometry.plane import can_be_rearranged

_LARGE: Final = 2**19
"""Number of values of a map from which these methods save time; smaller maps wait for the weights."""
_TILE: Final = 4  # results of a tile; it reads two pixels more


def is_large(x: Tensor) -> bool:
    """Return whether maps (B, C, H, W) may be convolved by these methods, and are large enough."""
    return x[0].numel() >= _LARGE and can_be_rearranged(x)


def has_tiles(x: Tensor) -> bool:
    """Return whether large maps can be convolved in tiles; half precision would lose the digits that the sums need."""
    return x.dtype == torch.float32 and x.shape[3] % _TILE == 0 and is_large(x)


def transform_kernels(weight: Tensor) -> Tensor:
    """Transform the rows of kernels (C', C, 3, 3) to six columns: (6, C', C, 3, 1)."""
    left, middle, right = weight.double().unbind(3)
    even, odd = left + right, middle
    wide_even, wide_odd = left / 24 + right / 6, middle / 12
    columns = [left / 4, -(even + odd) / 6, -(even - odd) / 6, wide_even + wide_odd, wide_even - wide_odd, right]
    kernels = torch.stack(columns)[..., None].to(weight.dtype)
    return kernels.contiguous(memory_format=torch.channels_last_3d).view(kernels.shape)


def convolve_positive(x: Tensor, kernels: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve the positive part of maps, as `F.conv2d(F.relu(x), weight, bias, padding=1)` does.

    Args:
        x: (B, C, H, W) float32; W is a multiple of 4.
        kernels: result of `transform_kernels`.
        bias: (C',).

    Returns:
        (B, C', H, W), channels innermost.
    """
    products = [
        # The second product is part of every result with the factor 1, so it brings the bias.
        F.conv2d(columns, kernel, bias if number == 1 else None, padding=(1, 0))
        for number, (columns, kernel) in enumerate(zip(_transform(x), kernels, strict=True))
    ]
    return _results(products)


def _transform(x: Tensor) -> list[Tensor]:
    """Compute the six sums (B, C, H, W / 4) of the pixels of each tile of a row."""
    b, c, h, w = x.shape
    padded = x.new_empty((b, h, w + 2, c)).permute(0, 3, 1, 2)
    padded[..., 0], padded[..., -1] = 0, 0
    torch.clamp_min(x, 0, out=padded[..., 1:-1])
    d = [padded[..., start : start + w - 1 : _TILE] for start in range(6)]
    even, odd = torch.add(d[4], d[2], alpha=-4), torch.add(d[3], d[1], alpha=-4)
    far_even, far_odd = d[4] - d[2], d[3] - d[1]
    return [
        torch.add(far_even, d[0] - d[2], alpha=4),
        even + odd,
        even - odd,
        torch.add(far_even, far_odd, alpha=2),
        torch.add(far_even, far_odd, alpha=-2),
        torch.add(d[5] - d[3], far_odd, alpha=-4),
    ]


def _results(products: list[Tensor]) -> Tensor:
    """Sum the products of each tile to its four results."""
    first, one, minus_one, two, minus_two, last = products
    b, c, h, w = first.shape
    found = first.new_empty((b, h, _TILE * w, c)).permute(0, 3, 1, 2)
    even, far_even = one + minus_one, two + minus_two
    odd, far_odd = one.sub_(minus_one), two.sub_(minus_two)
    torch.add(first.add_(even), far_even, out=found[..., 0::_TILE])
    torch.add(odd, far_odd, alpha=2, out=found[..., 1::_TILE])
    torch.add(even, far_even, alpha=4, out=found[..., 2::_TILE])
    torch.add(last.add_(odd), far_odd, alpha=8, out=found[..., 3::_TILE])
    return found


def convolve_by_columns(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve maps to a few channels, as `F.conv2d` does with the padding that keeps the size.

    A processor computes sixteen results at once, but the last layer has only three channels. So each column of the
    kernel is convolved to its own results, which are then added.

    Args:
        x: (B, C, H, W).
        weight: (C', C, k, k), k odd.
        bias: (C',).

    Returns:
        (B, C', H, W).
    """
    (few, c, k, _), (b, _, h, w) = weight.shape, x.shape
    side = k // 2
    padded = x.new_zeros(b, h, w + 2 * side, c).permute(0, 3, 1, 2)
    padded[..., side : side + w] = x
    columns = weight.permute(3, 0, 1, 2).reshape(k * few, c, k, 1)
    parts = F.conv2d(padded, columns.contiguous(memory_format=torch.channels_last), padding=(side, 0))
    parts = parts.contiguous().view(b, k, few, h, w + 2 * side)
    found = parts[:, 0, :, :, :w] + bias[:, None, None]
    for column in range(1, k):
        found += parts[:, column, :, :, column : column + w]
    return found
