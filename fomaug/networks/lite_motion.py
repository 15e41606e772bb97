"""The light dense motion network: one flow from K local affine motions, with the eyes' own motion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomaug.device import axis, constant, constants
from fomaug.geometry import inverse_2x2, resize_flow
from fomaug.geometry.eye import Eyes, coordinates, eyes_box, set_eyes
from fomaug.geometry.plane import can_be_rearranged
from fomaug.networks.blocks import AddingHourglass, Pointwise, full_precision
from fomaug.types import Keypoints


@dataclass(frozen=True)
class LiteMotionConfig:
    """Numbers of a light dense motion network.

    Attributes:
        size: side of the flow's grid.
        widths: numbers of features at the grid's size, half of it, a quarter, ...
        variance: variance of the Gaussians around the keypoints.
        residual: largest difference of the flow from the mixture of local motions, in normalised units.
    """

    size: int = 64
    widths: tuple[int, ...] = (32, 56, 96, 128, 160)
    variance: float = 0.004
    residual: float = 0.2


class LiteMotionOutput(NamedTuple):
    """Output of the dense motion network.

    Attributes:
        flow: (B, h, w, 2) backward flow.
        occlusion: (B, 1, h, w) in [0, 1].
        mask: (B, K + 1, h, w) shares of the local motions, background first.
        hints: features of the driving motion at the grid's size and at half of it.
    """

    flow: Tensor
    occlusion: Tensor
    mask: Tensor
    hints: tuple[Tensor, Tensor]


class LiteMotion(nn.Module):
    """A network that predicts the flow, the occlusion and the share of every local motion.

    Args:
        config: numbers of the network.
        num_keypoints: number K of keypoints.
    """

    def __init__(self, config: LiteMotionConfig, num_keypoints: int) -> None:
        super().__init__()
        self.config = config
        self.num_keypoints = num_keypoints
        width = config.widths[0]
        self.stem = nn.Sequential(Pointwise(2 * num_keypoints + 3, width), nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.hourglass = AddingHourglass(config.widths)
        self.head = nn.Conv2d(config.widths[0], num_keypoints + 4, 3, padding=1)
        with torch.no_grad():
            self.head.weight[-3:] = 0.0
            assert self.head.bias is not None
            self.head.bias[-3:] = torch.tensor([2.0, 0.0, 0.0])

    def reduce(self, image: Tensor) -> Tensor:
        """Reduce images to the grid's size."""
        size = self.config.size
        if image.shape[2] == 4 * size:
            return F.avg_pool2d(image, 4)
        return F.interpolate(image, size=(size, size), mode="bilinear", antialias=True, align_corners=False)

    def forward(self, small: Tensor, source: Keypoints, driving: Keypoints) -> LiteMotionOutput:
        """Predict the motion of reduced images (B, 3, h, w)."""
        affine, shift = local_affine_maps(source, driving)
        maps = self.hourglass(self.stem(self._inputs(small, affine, shift, source, driving)))
        logits = self.head(maps[-1]).float()
        mask = logits[:, : self.num_keypoints + 1].softmax(1)
        occlusion = logits[:, -3:-2].sigmoid()
        residual = self.config.residual * torch.tanh(logits[:, -2:]).permute(0, 2, 3, 1)
        flow = mixed_motion(mask, affine, shift) + residual
        return LiteMotionOutput(flow, occlusion, mask, (maps[-1], maps[-2]))

    def _inputs(self, small: Tensor, affine: Tensor, shift: Tensor, source: Keypoints, driving: Keypoints) -> Tensor:
        b, _, h, w = small.shape
        k, variance = self.num_keypoints, self.config.variance
        new, old = _spots(torch.stack([driving.value, source.value]).float(), (h, w), variance)
        exact = small.float()
        grey = exact.mean(1, keepdim=True)
        # The K grids are stacked vertically, so that one call suffices and the source is not copied.
        stacked = carried_grids(affine, shift, (h, w)).view(b, k * h, w, 2)
        warped = F.grid_sample(grey, stacked, padding_mode="border", align_corners=True).view(b, k, h, w)
        return torch.cat([new - old, warped - grey, exact - 0.5], 1).to(small.dtype)


def local_affine_maps(source: Keypoints, driving: Keypoints) -> tuple[Tensor, Tensor]:
    """Compute every keypoint's motion from driving to source as `affine @ z + shift` (paper: Eq. 4).

    Returns:
        `affine` (B, K, 2, 2) and `shift` (B, K, 2), float32 or wider.
    """
    assert source.jacobian is not None and driving.jacobian is not None
    with full_precision(source.value):
        affine = source.jacobian.float() @ inverse_2x2(driving.jacobian.float())
        return affine, source.value.float() - (affine @ driving.value.float()[..., None])[..., 0]


def carried_grids(affine: Tensor, shift: Tensor, size: tuple[int, int]) -> Tensor:
    """Apply every affine map to the identity grid: (B, K, h, w, 2)."""
    (b, k, _), (h, w) = shift.shape, size
    y = axis(h, affine.device, affine.dtype)
    down = affine[..., 1][:, :, None] * y[:, None] + shift[:, :, None]  # (B, K, h, 2)
    across = affine[..., 0][:, :, None].expand(b, k, h, 2)
    with full_precision(affine):
        return (torch.cat([across, down], -1) @ _rows_of_grids(w, affine.device, affine.dtype)).view(b, k, h, w, 2)


@constants
def _rows_of_grids(width: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the factors (4, 2 w) of slope and offset in a row x0, y0, x1, y1, ... of a grid.

    One matrix product computes the rows faster than a sum of grids.
    """
    x = torch.linspace(-1, 1, width, device=device, dtype=dtype)
    pair = torch.eye(2, device=device, dtype=dtype)
    return torch.cat([(x[:, None, None] * pair).transpose(0, 1).reshape(2, 2 * width), pair.repeat(1, width)])


def mixed_motion(mask: Tensor, affine: Tensor, shift: Tensor) -> Tensor:
    """Mix the background's identity and K affine motions by their shares (paper: Eq. 5).

    The mixture of affine maps at a point is an affine map, and a mixture of six numbers costs less than one of K grids.

    Args:
        mask: (B, K + 1, h, w) shares, background first.
        affine: (B, K, 2, 2).
        shift: (B, K, 2).

    Returns:
        (B, h, w, 2) backward flow.
    """
    b, _, h, w = mask.shape
    maps = torch.cat([affine, shift[..., None]], -1).view(b, -1, 6)
    still = constant((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), maps.device, maps.dtype).expand(b, 1, 6)
    with full_precision(mask):
        local = torch.cat([still, maps], 1).transpose(1, 2) @ mask.flatten(2)  # (B, 6, h w)
    across, down, offset = local.view(b, 2, 3, h, w).unbind(2)  # (B, 2, h, w) each
    x, y = axis(w, affine.device, affine.dtype), axis(h, affine.device, affine.dtype)
    return (across * x + down * y[:, None] + offset).permute(0, 2, 3, 1)


def _spots(value: Tensor, size: tuple[int, int], variance: float) -> Tensor:
    """Draw Gaussians around points (..., 2), (..., h, w) each, as products of two one-dimensional ones."""
    h, w = size
    if h == w:
        across, along = _bell(value[..., None], h, variance).unbind(-2)
    else:
        across, along = _bell(value[..., :1], w, variance), _bell(value[..., 1:], h, variance)
    return along[..., None] * across[..., None, :]


def _bell(centre: Tensor, length: int, variance: float) -> Tensor:
    """Draw one-dimensional Gaussians around centres (..., 1): (..., length)."""
    return torch.exp((axis(length, centre.device, centre.dtype) - centre).square() / (-2 * variance))


class EyeFlow(NamedTuple):
    """A head's flow composed with the flow of the eyes.

    Attributes:
        flow: (B, S, S, 2) backward flow.
        maps: (B, 3, h, w) maps of the eyes for the decoder, see `set_eyes`, on a part of the grid of S / 2; they are 0
            in the rest of it.
        rows: rows of this grid that the maps cover.
        columns: columns of this grid that the maps cover.
    """

    flow: Tensor
    maps: Tensor
    rows: slice
    columns: slice


def flow_with_eyes(flow: Tensor, source: Eyes, driving: Eyes, size: int) -> EyeFlow:
    """Compose the flow of the eyes in the driving pose with the head's flow.

    Args:
        flow: (B, h, w, 2) backward flow of a head whose lids and irises do not move.
        source: eyes of the source.
        driving: eyes of the driving frame.
        size: side S of the result.
    """
    with full_precision(flow):
        grid = coordinates(size, flow.device, flow.dtype)
        if not can_be_rearranged(flow):
            eyes, maps = set_eyes(source, driving, grid)
            return EyeFlow(_sample(flow, eyes), F.avg_pool2d(maps, 2), slice(None), slice(None))
        # Only the box around the eyes is computed, because the result is the head's flow elsewhere.
        rows, columns = (_even(part, size) for part in eyes_box(driving, size))
        eyes, maps = set_eyes(source, driving, grid[:, rows, columns])
        fine = resize_flow(flow, (size, size)).clone()
        fine[:, rows, columns] = _sample(flow, eyes)
        return EyeFlow(fine, F.avg_pool2d(maps, 2), _half(rows), _half(columns))


def _even(part: slice, size: int) -> slice:
    """Widen a slice to whole pairs of cells, at least one."""
    start = min(part.start - part.start % 2, size - 2)
    return slice(start, max(part.stop + part.stop % 2, start + 2))


def _half(part: slice) -> slice:
    return slice(part.start // 2, part.stop // 2)


def _sample(flow: Tensor, xy: Tensor) -> Tensor:
    sampled = F.grid_sample(flow.permute(0, 3, 1, 2), xy.to(flow.dtype), padding_mode="border", align_corners=True)
    return sampled.permute(0, 2, 3, 1)
