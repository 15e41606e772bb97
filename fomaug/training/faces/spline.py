"""Thin-plate splines: smooth warps of the plane through given points."""

from __future__ import annotations

import torch
from torch import Tensor

_STIFFNESS = 1e-3


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
