"""Smooth warps of training pictures: cameras and thin-plate splines, and pictures read through them."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.geometry import identity_grid
from fomaug.training.faces.augmentation import normal, uniform

_STIFFNESS = 1e-3


class Camera(NamedTuple):
    """B similarity maps from a new picture's places to the old one's: `old = new @ matrix.T + shift`."""

    matrix: Tensor
    shift: Tensor

    @staticmethod
    def draw(count: int, generator: torch.Generator, *, reach: float = 1.0) -> Camera:
        """Draw cameras that zoom, turn and shift a little, or `reach` times as much."""
        drawn = normal(generator, 4, count) * reach
        zoom = torch.exp(0.04 + 0.14 * drawn[0])
        angle = 0.07 * drawn[1]
        c, s = zoom * angle.cos(), zoom * angle.sin()
        matrix = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], 1)  # (B, 2, 2)
        return Camera(matrix, 0.09 * drawn[2:].T.contiguous())

    def nudged(self, generator: torch.Generator) -> Camera:
        """Move one camera in ten, as hands and tracking shots do between two frames."""
        count = len(self.shift)
        moves = (uniform(generator, count) < 0.1).float()
        drawn = moves * normal(generator, 4, count)
        zoom, angle = torch.exp(0.04 * drawn[0]), 0.03 * drawn[1]
        c, s = zoom * angle.cos(), zoom * angle.sin()
        nudge = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], 1)
        return Camera(self.matrix @ nudge, self.shift + 0.1 * drawn[2:].T)

    def forth(self, places: Tensor) -> Tensor:
        """Carry new places (B, ..., 2) to the old picture."""
        flat = places.reshape(len(self.shift), -1, 2)
        return (flat @ self.matrix.transpose(1, 2) + self.shift[:, None]).view(places.shape)

    def back(self, places: Tensor) -> Tensor:
        """Carry old places (B, ..., 2) to the new picture."""
        flat = places.reshape(len(self.shift), -1, 2) - self.shift[:, None]
        back: Tensor = flat @ torch.linalg.inv(self.matrix).transpose(1, 2)
        return back.view(places.shape)


def grids(size: int, like: Tensor) -> Tensor:
    """(B, S, S, 2): the identity grid for each of B things, where they are."""
    return identity_grid((size, size), device=like.device).expand(len(like), -1, -1, -1)


def sample(image: Tensor, places: Tensor) -> Tensor:
    """Read pictures (B, C, S, S) at places (B, h, w, 2) spread over the full picture; pictures are mirrored outside."""
    return F.grid_sample(image, resized(places, image.shape[2]), padding_mode="reflection", align_corners=True)


def resized(field: Tensor, size: int) -> Tensor:
    """Bring places (B, h, w, 2) spread over the full picture to a finer grid."""
    if field.shape[1] == size:
        return field
    first = field.permute(0, 3, 1, 2)
    return F.interpolate(first, size=(size, size), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)


def carried(field: Tensor, places: Tensor) -> Tensor:
    """Carry places (B, S, S, 2) by a coarser field (B, h, w, 2) of places."""
    fine = resized(field, places.shape[1]).permute(0, 3, 1, 2)
    return F.grid_sample(fine, places, padding_mode="border", align_corners=True).permute(0, 2, 3, 1)


def fit_spline(points: Tensor, images: Tensor) -> Tensor:
    """Fit the smooth map that carries points to their images, within a small stiffness.

    Args:
        points: (B, N, 2).
        images: (B, N, 2).

    Returns:
        (B, N + 3, 2) weights for `eval_spline`.
    """
    b, n, _ = points.shape
    system = points.new_zeros(b, n + 3, n + 3)
    system[:, :n, :n] = _kernel(points, points) + _STIFFNESS * torch.eye(n, device=points.device)
    affine = torch.cat([points.new_ones(b, n, 1), points], -1)
    system[:, :n, n:] = affine
    system[:, n:, :n] = affine.transpose(1, 2)
    target = points.new_zeros(b, n + 3, 2)
    target[:, :n] = images
    if points.is_cuda:
        weights: Tensor = torch.linalg.solve(system, target)
        return weights
    # One system at a time: several large ones at once fail on some CPUs with more than one thread.
    return torch.stack([torch.linalg.solve(*one) for one in zip(system, target, strict=True)])


def eval_spline(weights: Tensor, points: Tensor, at: Tensor) -> Tensor:
    """Carry places (B, M, 2) by the spline fitted on `points`; returns (B, M, 2)."""
    affine = torch.cat([at.new_ones(*at.shape[:2], 1), at], -1)
    carried: Tensor = torch.cat([_kernel(at, points), affine], -1) @ weights
    return carried


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    square = (a.square().sum(-1)[:, :, None] + b.square().sum(-1)[:, None] - 2 * a @ b.transpose(1, 2)).clamp(min=0)
    return square * torch.log(square + 1e-6)
