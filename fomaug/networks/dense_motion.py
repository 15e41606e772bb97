"""Dense motion network: one flow and one occlusion map from K local affine motions (paper: Sec. 3.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomaug.geometry import gaussian_heatmap, identity_grid, inverse_2x2, warp_image
from fomaug.networks.blocks import Hourglass, downsampler
from fomaug.networks.config import CommonConfig, DenseMotionConfig
from fomaug.types import Keypoints


class DenseMotion(NamedTuple):
    """Output of the dense motion network; see `GeneratorOutput` for the shapes."""

    deformation: Tensor
    occlusion: Tensor | None
    mask: Tensor
    sparse_deformed: Tensor

    def take(self, rows: slice) -> DenseMotion:
        """Take some rows."""
        occlusion = None if self.occlusion is None else self.occlusion[rows]
        return DenseMotion(self.deformation[rows], occlusion, self.mask[rows], self.sparse_deformed[rows])


class DenseMotionNetwork(nn.Module):
    """A network that weights the background and K local motions at every pixel."""

    def __init__(self, common: CommonConfig, config: DenseMotionConfig, *, estimate_occlusion: bool) -> None:
        super().__init__()
        self.variance = config.kp_variance
        in_features = (common.num_kp + 1) * (common.num_channels + 1)
        self.hourglass = Hourglass(in_features, config.block_expansion, config.max_features, config.num_blocks)
        features = self.hourglass.out_features
        self.mask = nn.Conv2d(features, common.num_kp + 1, 7, padding=3)
        self.occlusion = nn.Conv2d(features, 1, 7, padding=3) if estimate_occlusion else None
        self.down = downsampler(common.num_channels, config.scale_factor)

    def forward(self, image: Tensor, source: Keypoints, driving: Keypoints) -> DenseMotion:
        """Compute the flow of a source that `down` has reduced to this network's resolution.

        Args:
            image: (B, C, h, w).
            source: keypoints of the source.
            driving: target keypoints.
        """
        b, _, h, w = image.shape
        heatmap = heatmap_difference(source.value, driving.value, (h, w), self.variance)[:, :, None]
        motions = sparse_motions(source, driving, (h, w))  # (B, K + 1, h, w, 2)
        deformed = deform_by_each(image, motions)  # (B, K + 1, C, h, w)
        seen = torch.cat([heatmap.to(image.dtype), deformed], dim=2).view(b, -1, h, w)
        features = self.hourglass(seen)
        mask = self.mask(features).to(motions.dtype).softmax(1)
        deformation = (motions * mask[..., None]).sum(1)
        occlusion = None if self.occlusion is None else self.occlusion(features).to(motions.dtype).sigmoid()
        return DenseMotion(deformation, occlusion, mask, deformed)


def heatmap_difference(source: Tensor, driving: Tensor, size: tuple[int, int], variance: float) -> Tensor:
    """Subtract the source's heatmap of each point from the driving one (Eq. 6), after an empty map for the background.

    Args:
        source: (B, K, 2).
        driving: (B, K, 2).
        size: (h, w).
        variance: variance of the Gaussians.

    Returns:
        (B, K + 1, h, w) in [-1, 1].
    """
    difference = gaussian_heatmap(driving, size, variance) - gaussian_heatmap(source, size, variance)
    return F.pad(difference, (0, 0, 0, 0, 1, 0))


def sparse_motions(source: Keypoints, driving: Keypoints, size: tuple[int, int]) -> Tensor:
    """Compute the flow around every keypoint by its first-order Taylor expansion (Eq. 4), after the identity.

    Returns:
        (B, K + 1, h, w, 2) backward flows.
    """
    grid = identity_grid(size, device=source.value.device, dtype=source.value.dtype)
    away = grid - driving.value[:, :, None, None]  # (B, K, h, w, 2)
    if source.jacobian is not None and driving.jacobian is not None:
        affine = source.jacobian @ inverse_2x2(driving.jacobian)  # J_k of Eq. 5
        away = (affine[:, :, None, None] @ away[..., None])[..., 0]
    local = away + source.value[:, :, None, None]
    background = grid.expand(local.shape[0], 1, *grid.shape)
    return torch.cat([background, local], dim=1)


def deform_by_each(image: Tensor, motions: Tensor) -> Tensor:
    """Warp (B, C, h, w) by each of (B, K + 1, h, w, 2), to (B, K + 1, C, h, w)."""
    b, n, h, w, _ = motions.shape
    copies = image[:, None].expand(b, n, -1, h, w).flatten(0, 1)
    return warp_image(copies, motions.flatten(0, 1)).view(b, n, -1, h, w)
