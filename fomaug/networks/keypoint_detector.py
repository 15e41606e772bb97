"""Keypoint detector: K points, and the affine map around each (paper: Sec. 3.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fomaug.geometry import identity_grid
from fomaug.networks.blocks import Hourglass, downsampler
from fomaug.networks.config import CommonConfig, KeypointDetectorConfig
from fomaug.types import Keypoints


class KeypointDetector(nn.Module):
    """An hourglass for heatmaps; points are their soft-argmax, jacobians are averaged under them."""

    def __init__(self, common: CommonConfig, config: KeypointDetectorConfig) -> None:
        super().__init__()
        self.config = config
        self.predictor = Hourglass(common.num_channels, config.block_expansion, config.max_features, config.num_blocks)
        features = self.predictor.out_features
        self.kp = nn.Conv2d(features, common.num_kp, 7, padding=config.pad)
        self.jacobian = _jacobian_head(features, common, config) if common.estimate_jacobian else None
        self.down = downsampler(common.num_channels, config.scale_factor)

    def forward(self, image: Tensor) -> Keypoints:
        """Detect K keypoints of images (B, 3, S, S) in [0, 1]."""
        features = self.predictor(self.down(image))
        # Half precision is too coarse for coordinates, so they are float32 in every precision of the network.
        logits = at_least_float32(self.kp(features))
        heatmap = (logits.flatten(2) / self.config.temperature).softmax(-1).view_as(logits)  # (B, K, h, w)
        jacobian = (
            None if self.jacobian is None else average_jacobian(heatmap, at_least_float32(self.jacobian(features)))
        )
        return Keypoints(soft_argmax(heatmap), jacobian)


def _jacobian_head(features: int, common: CommonConfig, config: KeypointDetectorConfig) -> nn.Conv2d:
    maps = 1 if config.single_jacobian_map else common.num_kp
    head = nn.Conv2d(features, 4 * maps, 7, padding=config.pad)
    nn.init.zeros_(head.weight)
    assert head.bias is not None
    with torch.no_grad():
        # On the meta device, torch.eye would import torch._dynamo, which takes a second.
        head.bias.view(maps, 4).copy_(torch.tensor([1.0, 0.0, 0.0, 1.0]))
    return head


def soft_argmax(heatmap: Tensor) -> Tensor:
    """Compute the mean coordinates (B, K, 2) in [-1, 1] of (B, K, h, w) distributions."""
    _, _, h, w = heatmap.shape
    grid = identity_grid((h, w), device=heatmap.device, dtype=heatmap.dtype)
    return (heatmap[..., None] * grid).sum((2, 3))


def average_jacobian(heatmap: Tensor, maps: Tensor) -> Tensor:
    """Average maps (B, K * 4 or 4, h, w) under heatmaps (B, K, h, w) into (B, K, 2, 2)."""
    b, k, h, w = heatmap.shape
    entries = maps.view(b, -1, 4, h, w)
    return (heatmap[:, :, None] * entries).sum((3, 4)).view(b, k, 2, 2)


def at_least_float32(tensor: Tensor) -> Tensor:
    """Convert half precision to float32, and keep float32 and float64."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
