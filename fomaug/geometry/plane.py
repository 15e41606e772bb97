"""The plane of an image: coordinate grids, Gaussians on them, and backward flows, by which images are warped."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
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


Padding = Literal["zeros", "border", "reflection"]
Interpolation = Literal["bilinear", "nearest", "bicubic"]


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample a flow onto another grid of the same frame, corner-aligned.

    Args:
        flow: (B, h, w, 2) backward flow, x and y in [-1, 1].
        size: (H, W).

    Returns:
        (B, H, W, 2).
    """
    if tuple(flow.shape[1:3]) == size:
        return flow
    channels_first = flow.permute(0, 3, 1, 2).contiguous()  # four times as fast as strided planes
    return F.interpolate(channels_first, size=size, mode="bilinear", align_corners=True).permute(0, 2, 3, 1)


def coarsen_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Reduce a flow (B, h, w, 2) to at most (H, W) cells; a coarser one is unchanged."""
    return resize_flow(flow, (min(flow.shape[1], size[0]), min(flow.shape[2], size[1])))


def resize_map(tensor: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample maps (B, C, h, w) on a flow's grid to (B, C, H, W), corner-aligned."""
    if tuple(tensor.shape[2:]) == size:
        return tensor
    return F.interpolate(tensor, size=size, mode="bilinear", align_corners=True)


def warp_image(image: Tensor, flow: Tensor, *, mode: Interpolation = "bilinear", padding: Padding = "zeros") -> Tensor:
    """Sample every pixel at the coordinates in the backward flow (paper: Sec. 3.2, the warp of the source).

    Args:
        image: (B, C, H, W) float.
        flow: (B, h, w, 2) in [-1, 1], corner-aligned; it is resized to (H, W) if it has another size.
        mode: interpolation between pixels.
        padding: values outside of the image.

    Returns:
        (B, C, H, W).
    """
    flow = resize_flow(flow, (image.shape[2], image.shape[3]))
    # Half precision is too coarse for the coordinates of a large image.
    dtype, exact = image.dtype, torch.promote_types(torch.promote_types(image.dtype, flow.dtype), torch.float32)
    parts = _row_parts(flow)
    image, flow = image.to(exact), flow.to(exact)
    if parts == 1:
        return F.grid_sample(image, flow, mode=mode, padding_mode=padding, align_corners=True).to(dtype)
    rows = flow.reshape(parts, -1, flow.shape[2], 2)
    warped = F.grid_sample(image.expand(parts, -1, -1, -1), rows, mode=mode, padding_mode=padding, align_corners=True)
    return warped.transpose(0, 1).reshape(1, image.shape[1], *flow.shape[1:3]).to(dtype)


def _row_parts(flow: Tensor) -> int:
    """Return the number of bands of rows for a single image: CPU threads share a batch, but never one image."""
    if flow.shape[0] != 1 or not can_be_rearranged(flow):
        return 1
    rows = flow.shape[1]
    return max(parts for parts in range(1, min(torch.get_num_threads(), rows) + 1) if rows % parts == 0)


def can_be_rearranged(flow: Tensor) -> bool:
    """Return whether a faster implementation may replace the plain one, which compilers and gradients need."""
    return flow.device.type == "cpu" and not torch.is_grad_enabled() and not torch.compiler.is_compiling()


def warp_features(features: Tensor, flow: Tensor, share: Tensor) -> Tensor:
    """Warp feature maps as `warp_image` does with its border padding, and scale them.

    On a CPU without gradients, the four neighbours of every pixel are summed as whole rows of features: the result has
    its channels innermost, which is the layout of the convolutions, and nothing is copied between two layouts.

    Args:
        features: (B, C, H, W) float.
        flow: (B, h, w, 2) in [-1, 1], corner-aligned; it is resized to (H, W) if it has another size.
        share: (B, 1, h, w) factor on the flow's grid.

    Returns:
        (B, C, H, W) in the dtype of the features.
    """
    size = (features.shape[2], features.shape[3])
    # In half precision, coordinates would have errors of up to half a pixel.
    exact = features.to(torch.promote_types(torch.promote_types(features.dtype, flow.dtype), torch.float32))
    flow, share = resize_flow(flow.to(exact.dtype), size), resize_map(share.to(exact.dtype), size)
    if can_be_rearranged(flow):
        warped = _sum_neighbours(exact, flow, share[:, 0])
    else:
        warped = warp_image(exact, flow, padding="border") * share
    return warped.to(features.dtype)


def _sum_neighbours(features: Tensor, flow: Tensor, share: Tensor) -> Tensor:
    batch, channels, height, width = features.shape
    last = flow.new_tensor([width - 1, height - 1])
    position = ((flow.nan_to_num() + 1) * (last / 2)).clamp(min=0).minimum(last)  # NaN cannot become an index
    corner = position.floor()
    left, top = corner.int().unbind(-1)  # float indices are inexact for very large maps
    across, down = (left < width - 1).int(), (top < height - 1).int() * width
    first = top * width + left
    first += torch.arange(batch, dtype=torch.int32)[:, None, None] * (height * width)
    below = first + down
    indices = torch.stack([first, first + across, below, below + across], -1)
    right, bottom = (position - corner).unbind(-1)
    bottom = bottom * share
    upper = share - bottom
    upper_right, lower_right = right * upper, right * bottom
    weights = torch.stack([upper - upper_right, upper_right, bottom - lower_right, lower_right], -1)
    rows = features.permute(0, 2, 3, 1).reshape(-1, channels)
    summed = F.embedding_bag(indices.view(-1, 4), rows, mode="sum", per_sample_weights=weights.view(-1, 4))
    return summed.view(batch, height, width, channels).permute(0, 3, 1, 2)


def cell_determinant(flow: Tensor) -> Tensor:
    """Measure the area of the source that a cell covers, relative to the cell's area; negative where it is flipped.

    Args:
        flow: (B, h, w, 2) backward flow.

    Returns:
        (B, h - 1, w - 1); 1 for the identity.

    >>> from fomaug.geometry import identity_grid
    >>> cell_determinant(identity_grid((4, 4))[None] * 0.5).mean().item()
    0.25
    """
    _, h, w, _ = flow.shape
    # The cross product of the diagonals is twice the signed area of any quadrilateral.
    falling = flow[:, 1:, 1:] - flow[:, :-1, :-1]
    rising = flow[:, 1:, :-1] - flow[:, :-1, 1:]
    doubled = falling[..., 0] * rising[..., 1] - falling[..., 1] * rising[..., 0]
    return doubled * ((w - 1) * (h - 1) / 8)
