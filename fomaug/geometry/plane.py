"""The plane of an image: coordinate grids, Gaussians on them, and 2 x 2 matrices."""

from __future__ import annotations

import torch
from torch import Tensor


def identity_grid(
    size: tuple[int, int], *, device: torch.device | str | None = None, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Make the grid in which every cell has its own coordinates as value.

    Args:
        size: (H, W).
        device: device of the grid.
        dtype: floating type of the grid.

    Returns:
        (H, W, 2), x and y in [-1, 1], corner-aligned.

    >>> identity_grid((2, 3))[0, :, 0].tolist()
    [-1.0, 0.0, 1.0]
    """
    height, width = size
    x = _axis(width, device, dtype)
    y = _axis(height, device, dtype)
    return torch.stack((x.expand(height, width), y[:, None].expand(height, width)), dim=-1)


def _axis(length: int, device: torch.device | str | None, dtype: torch.dtype) -> Tensor:
    if length == 1:
        return torch.zeros(1, device=device, dtype=dtype)
    return 2 * torch.arange(length, device=device, dtype=dtype) / (length - 1) - 1


def is_mirrored(flow: Tensor) -> Tensor:
    """Return which flows mirror their images: those whose cells cover a negative signed area of the source.

    Args:
        flow: (B, h, w, 2) backward flow.

    Returns:
        (B,) bool.

    >>> grid = identity_grid((4, 5))[None]
    >>> is_mirrored(torch.cat([grid, grid.flip(2), -grid])).tolist()
    [False, True, False]
    """
    across = flow[:, :, 1:] - flow[:, :, :-1]
    down = flow[:, 1:] - flow[:, :-1]
    along, below = across[:, :-1], down[:, :, :-1]
    area: Tensor = along[..., 0] * below[..., 1] - along[..., 1] * below[..., 0]
    return area.mean((1, 2)) < 0


def gaussian_heatmap(value: Tensor, size: tuple[int, int], variance: float) -> Tensor:
    """Draw every point as an unnormalised Gaussian (paper: Sec. 3.2, Eq. 6).

    Args:
        value: (B, K, 2) points in [-1, 1].
        size: (H, W) of the maps.
        variance: variance of the Gaussians, in squared normalised units.

    Returns:
        (B, K, H, W) in [0, 1].

    >>> gaussian_heatmap(torch.zeros(2, 10, 2), (5, 7), 0.01).shape
    torch.Size([2, 10, 5, 7])
    """
    grid = identity_grid(size, device=value.device, dtype=value.dtype)
    away = grid - value[:, :, None, None]  # (B, K, H, W, 2)
    return torch.exp(-0.5 * away.square().sum(-1) / variance)


def inverse_2x2(matrix: Tensor, *, least: float = 0.0) -> Tensor:
    """Invert 2 x 2 matrices in closed form: differentiable, exportable, and the same on every device.

    The result for a singular matrix is infinite, like a division by 0.

    Args:
        matrix: (..., 2, 2).
        least: replacement for determinants of smaller absolute value, for a finite result; 0 for none.
    """
    a, b = matrix[..., 0, 0], matrix[..., 0, 1]
    c, d = matrix[..., 1, 0], matrix[..., 1, 1]
    adjugate = torch.stack((d, -b, -c, a), -1).view(matrix.shape)
    area = a * d - b * c
    if least:
        area = area.masked_fill(area.abs() < least, least)
    return adjugate / area[..., None, None]
