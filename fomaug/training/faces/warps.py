"""Smooth warps of training images: similarity maps of cameras, thin-plate splines, and sampling through them."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.geometry import identity_grid
from fomaug.training.faces.augmentation import normal, uniform

_STIFFNESS = 1e-3  # regularisation of a spline's fit


class Camera(NamedTuple):
    """B similarity maps from points of a new image to those of the original: `old = new @ matrix.T + shift`.

    Attributes:
        matrix: (B, 2, 2).
        shift: (B, 2).
    """

    matrix: Tensor
    shift: Tensor

    @staticmethod
    def draw(count: int, generator: torch.Generator, *, strength: float = 1.0) -> Camera:
        """Draw random zooms, turns and shifts; `strength` multiplies their standard deviations."""
        drawn = normal(generator, 4, count) * strength
        zoom = torch.exp(0.04 + 0.14 * drawn[0])
        angle = 0.07 * drawn[1]
        c, s = zoom * angle.cos(), zoom * angle.sin()
        matrix = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], 1)  # (B, 2, 2)
        return Camera(matrix, 0.09 * drawn[2:].T.contiguous())

    def nudged(self, generator: torch.Generator) -> Camera:
        """Move one camera in ten a little, like a hand-held camera or a tracking shot between two frames."""
        count = len(self.shift)
        moves = (uniform(generator, count) < 0.1).float()
        drawn = moves * normal(generator, 4, count)
        zoom, angle = torch.exp(0.04 * drawn[0]), 0.03 * drawn[1]
        c, s = zoom * angle.cos(), zoom * angle.sin()
        nudge = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], 1)
        return Camera(self.matrix @ nudge, self.shift + 0.1 * drawn[2:].T)

    def forth(self, xy: Tensor) -> Tensor:
        """Map points (B, ..., 2) of the new image to the original."""
        flat = xy.reshape(len(self.shift), -1, 2)
        return (flat @ self.matrix.transpose(1, 2) + self.shift[:, None]).view(xy.shape)

    def back(self, xy: Tensor) -> Tensor:
        """Map points (B, ..., 2) of the original to the new image."""
        flat = xy.reshape(len(self.shift), -1, 2) - self.shift[:, None]
        back: Tensor = flat @ torch.linalg.inv(self.matrix).transpose(1, 2)
        return back.view(xy.shape)


def grids(size: int, like: Tensor) -> Tensor:
    """Make identity grids (B, S, S, 2) on the device of a tensor with B rows."""
    return identity_grid((size, size), device=like.device).expand(len(like), -1, -1, -1)


def sample(image: Tensor, flow: Tensor) -> Tensor:
    """Warp images (B, C, S, S) by backward flows (B, h, w, 2); images are continued by reflection outside."""
    return F.grid_sample(image, resized(flow, image.shape[2]), padding_mode="reflection", align_corners=True)


def resized(field: Tensor, size: int) -> Tensor:
    """Resample a field (B, h, w, 2) to a finer grid of the same frame."""
    if field.shape[1] == size:
        return field
    first = field.permute(0, 3, 1, 2)
    return F.interpolate(first, size=(size, size), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)


def composed(flow: Tensor, inner: Tensor) -> Tensor:
    """Compose backward flows: sample a coarser flow (B, h, w, 2) at the coordinates of another (B, S, S, 2)."""
    fine = resized(flow, inner.shape[1]).permute(0, 3, 1, 2)
    return F.grid_sample(fine, inner, padding_mode="border", align_corners=True).permute(0, 2, 3, 1)


def fit_spline(points: Tensor, images: Tensor) -> Tensor:
    """Fit thin-plate splines that map points to their images, with a small regularisation.

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
    # Systems are solved one by one: a batch of large ones fails on some CPUs with more than one thread.
    return torch.stack([torch.linalg.solve(*one) for one in zip(system, target, strict=True)])


def eval_spline(weights: Tensor, points: Tensor, at: Tensor) -> Tensor:
    """Map points (B, M, 2) by the splines that were fitted on `points`, to (B, M, 2)."""
    affine = torch.cat([at.new_ones(*at.shape[:2], 1), at], -1)
    mapped: Tensor = torch.cat([_kernel(at, points), affine], -1) @ weights
    return mapped


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    square = (a.square().sum(-1)[:, :, None] + b.square().sum(-1)[:, None] - 2 * a @ b.transpose(1, 2)).clamp(min=0)
    return square * torch.log(square + 1e-6)
