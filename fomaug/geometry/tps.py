"""Random smooth deformations: an affine map and a thin-plate spline (paper: Sec. 3.1, equivariance)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.geometry.plane import identity_grid


@dataclass(frozen=True, eq=False)
class ThinPlateSpline:
    """A deformation of the plane for each of B samples.

    Attributes:
        theta: (B, 2, 3) affine maps.
        control_params: (B, 1, P * P) weights of the radial functions on a P x P grid of control points over [-1, 1].
    """

    theta: Tensor
    control_params: Tensor

    @classmethod
    def draw(
        cls,
        batch: int,
        *,
        rng: np.random.Generator,
        sigma_affine: float = 0.05,
        sigma_tps: float = 0.005,
        points_tps: int = 5,
    ) -> ThinPlateSpline:
        """Draw deformations around the identity."""
        theta = rng.normal(0, sigma_affine, (batch, 2, 3)) + np.eye(2, 3)
        bumps = rng.normal(0, sigma_tps, (batch, 1, points_tps**2))
        return cls(torch.from_numpy(theta).float(), torch.from_numpy(bumps).float())

    def to(self, device: torch.device | str) -> ThinPlateSpline:
        """Move both tensors."""
        return ThinPlateSpline(self.theta.to(device), self.control_params.to(device))

    def points(self, xy: Tensor) -> Tensor:
        """Move points (B, M, 2)."""
        moved = xy @ self.theta[:, :, :2].transpose(1, 2) + self.theta[:, None, :, 2]
        distance = self._distance(xy).sum(-1)  # (B, M, P * P)
        bumps = distance.square() * torch.log(distance + _EPSILON)
        return moved + (bumps * self.control_params).sum(-1, keepdim=True)

    def jacobian(self, xy: Tensor) -> Tensor:
        """Differentiate `points` at (B, M, 2), in closed form, to (B, M, 2, 2)."""
        toward = xy[:, :, None] - self._control(xy)
        distance = toward.abs().sum(-1)
        slope = 2 * distance * torch.log(distance + _EPSILON) + distance.square() / (distance + _EPSILON)
        # A radial function moves both coordinates alike, so both rows have the same gradient.
        gradient = ((slope * self.control_params)[..., None] * toward.sign()).sum(2)  # (B, M, 2)
        return self.theta[:, None, :, :2] + gradient[:, :, None]

    def image(self, image: Tensor) -> Tensor:
        """Deform images (B, C, H, W); they are continued by reflection outside."""
        b, _, h, w = image.shape
        grid = identity_grid((h, w), device=image.device, dtype=image.dtype).view(1, -1, 2).expand(b, -1, -1)
        return F.grid_sample(image, self.points(grid).view(b, h, w, 2), padding_mode="reflection", align_corners=True)

    def _control(self, xy: Tensor) -> Tensor:
        side = round(self.control_params.shape[-1] ** 0.5)
        return identity_grid((side, side), device=xy.device, dtype=xy.dtype).reshape(1, 1, -1, 2)

    def _distance(self, xy: Tensor) -> Tensor:
        return (xy[:, :, None] - self._control(xy)).abs()


_EPSILON = 1e-6
