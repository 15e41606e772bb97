"""Conversion between a picture of any size and the square input of a model.

A picture is padded to a square by repeating its border, then resized by pixel areas. Padding and resizing are affine,
so the flow of the model's square is converted to the picture's own frame exactly, without resampling a picture.

The padded square of a long thin picture has many times the pixels of the picture. Such a picture is reduced first, with
the same weights of its pixels, so that the memory is proportional to the picture's own size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.device import constant
from fomaug.geometry.plane import identity_grid

_THIN = 4
"""Largest ratio of the pixels of a square made at full size to those of its picture."""


@dataclass(frozen=True)
class Frame:
    """The position of a picture of `size` (H, W) in a model's square of `side` pixels."""

    size: tuple[int, int]
    side: int

    @property
    def is_identity(self) -> bool:
        """Whether the picture has the size of the model's square."""
        return self.size == (self.side, self.side)

    @property
    def is_thin(self) -> bool:
        """Whether the padded square would be large, and consist mostly of padding."""
        square = max(self.size)
        return square > self.side and square > _THIN * min(self.size)

    def to_model(self, image: Tensor) -> Tensor:
        """Convert pictures (B, C, H, W) to the square (B, C, side, side)."""
        if self.is_identity:
            return image
        if self.is_thin:
            return self._reduced(image) if self.size[0] < self.size[1] else self._reduced(image.mT).mT
        (left, right), (top, bottom) = self._padding(1), self._padding(0)
        padded = F.pad(image, (left, right, top, bottom), mode="replicate") if left + right + top + bottom else image
        return _resize(padded, (self.side, self.side))

    def to_picture(self, image: Tensor) -> Tensor:
        """Convert pictures or maps (B, C, side, side) back to (B, C, H, W)."""
        if self.is_identity:
            return image
        if self.is_thin:
            return _sample(image, self._grid(self.size, image)[0])
        whole = _resize(image, (max(self.size), max(self.size)))
        top, left = self._padding(0)[0], self._padding(1)[0]
        return whole[:, :, top : top + self.size[0], left : left + self.size[1]]

    def flow_to_picture(self, flow: Tensor) -> Tensor:
        """Convert a flow (B, h, w, 2) of the square to the picture's frame, on the number of cells that it covers."""
        if self.is_identity:
            return flow
        grid, scale = self._model_grid(flow)
        shift = flow - identity_grid((flow.shape[1], flow.shape[2]), device=flow.device, dtype=flow.dtype)
        seen = _sample(shift.permute(0, 3, 1, 2), grid).permute(0, 2, 3, 1)
        own = identity_grid((grid.shape[0], grid.shape[1]), device=flow.device, dtype=flow.dtype)
        return own + seen / scale

    def map_to_picture(self, tensor: Tensor) -> Tensor:
        """Convert maps (B, C, h, w) on a flow's grid to the picture's frame."""
        if self.is_identity:
            return tensor
        grid, _ = self._model_grid(tensor.permute(0, 2, 3, 1))
        return _sample(tensor, grid)

    def points_to_picture(self, xy: Tensor) -> Tensor:
        """Convert points (..., 2) of the square to the picture's frame."""
        if self.is_identity:
            return xy
        (y_scale, y_offset), (x_scale, x_offset) = self._axis(0), self._axis(1)
        scale = constant((x_scale, y_scale), xy.device, xy.dtype)
        return (xy - constant((x_offset, y_offset), xy.device, xy.dtype)) / scale

    def _reduced(self, image: Tensor) -> Tensor:
        """Resize thin pictures (B, C, short, long) to the square: first the long axis, then the padded short one."""
        short, square = min(self.size), max(self.size)
        rows = _resize(image, (short, self.side))  # (B, C, short, side)
        # Padding and resizing along one axis are linear: their matrix is the result for the unit vectors.
        units = torch.eye(short, device=image.device, dtype=image.dtype)[None, :, None]  # (1, short, 1, short)
        before = (square - short) // 2
        padded = F.pad(units, (before, square - short - before, 0, 0), mode="replicate")  # (1, short, 1, square)
        weights = _resize(padded, (1, self.side))[0, :, 0]  # (short, side)
        return weights.mT @ rows

    def _padding(self, axis: int) -> tuple[int, int]:
        missing = max(self.size) - self.size[axis]
        return missing // 2, missing - missing // 2

    def _axis(self, axis: int) -> tuple[float, float]:
        """Return the scale and the offset that map the picture's [-1, 1] to the square's."""
        length, square, side = self.size[axis], max(self.size), self.side
        scale = max(length - 1, 1) * side / (square * (side - 1))
        middle = ((length - 1) / 2 + self._padding(axis)[0] + 0.5) * side / square - 0.5
        return scale, 2 * middle / (side - 1) - 1

    def _model_grid(self, flow: Tensor) -> tuple[Tensor, Tensor]:
        """Return the coordinates in the square of the cells of the picture's own grid, and the scale between both."""
        rows, columns = (
            max(2, round(n * part / max(self.size))) for n, part in zip(flow.shape[1:3], self.size, strict=True)
        )
        return self._grid((rows, columns), flow)

    def _grid(self, size: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the coordinates in the square of a grid of `size` over the picture, and the scale between both."""
        (y_scale, y_offset), (x_scale, x_offset) = self._axis(0), self._axis(1)
        scale = constant((x_scale, y_scale), like.device, like.dtype)
        offset = constant((x_offset, y_offset), like.device, like.dtype)
        return identity_grid(size, device=like.device, dtype=like.dtype) * scale + offset, scale


def _resize(image: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(image, size=size, mode="bilinear", align_corners=False, antialias=True)


def _sample(tensor: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(tensor, grid.expand(tensor.shape[0], *grid.shape), padding_mode="border", align_corners=True)
