"""Multi-scale discriminator with optional spectral norm and keypoint heatmaps (paper: Sec. 7.1)."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomaug.geometry import gaussian_heatmap
from fomaug.networks.config import CommonConfig, DiscriminatorConfig


class Judgement(NamedTuple):
    """Output of the discriminator of one scale.

    Attributes:
        feature_maps: one (B, C, h, w) per block.
        prediction_map: (B, 1, h, w), 1 for real patches.
    """

    feature_maps: list[Tensor]
    prediction_map: Tensor


class Block(nn.Module):
    """Valid 4 x 4 convolution, instance norm, leaky ReLU, pooling."""

    def __init__(self, in_features: int, out_features: int, *, norm: bool, pool: bool, spectral: bool) -> None:
        super().__init__()
        self.conv = _convolution(in_features, out_features, 4, spectral=spectral)
        self.norm = nn.InstanceNorm2d(out_features, affine=True) if norm else None
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        """Transform (B, C, H, W) to (B, C', h, w)."""
        x = self.conv(x)
        if self.norm is not None:
            x = self.norm(x)
        x = F.leaky_relu(x, 0.2)
        return F.avg_pool2d(x, 2) if self.pool else x


class Discriminator(nn.Module):
    """A classifier of real and predicted patches at one scale."""

    def __init__(self, common: CommonConfig, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.variance = config.kp_variance
        self.use_kp = config.use_kp
        last = config.num_blocks - 1
        widths = [min(config.max_features, config.block_expansion * 2 ** (i + 1)) for i in range(config.num_blocks)]
        entry = common.num_channels + common.num_kp * config.use_kp
        self.down_blocks = nn.ModuleList(
            Block(before, after, norm=i != 0, pool=i != last, spectral=config.sn)
            for i, (before, after) in enumerate(zip([entry, *widths[:-1]], widths, strict=True))
        )
        self.conv = _convolution(widths[-1], 1, 1, spectral=config.sn)

    def forward(self, image: Tensor, keypoints: Tensor | None = None) -> Judgement:
        """Classify patches of (B, 3, H, W) in [0, 1]; (B, K, 2) points are needed if the model uses them."""
        x = image
        if self.use_kp:
            assert keypoints is not None, "this discriminator needs keypoints"
            heatmap = gaussian_heatmap(keypoints, (image.shape[2], image.shape[3]), self.variance)
            x = torch.cat([image, heatmap], dim=1)
        maps = []
        for block in self.down_blocks:
            x = block(x)
            maps.append(x)
        return Judgement(maps, self.conv(x))


class MultiScaleDiscriminator(nn.Module):
    """One discriminator per scale of the image pyramid."""

    def __init__(self, common: CommonConfig, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.scales = config.scales
        self.discs = nn.ModuleDict({_name(scale): Discriminator(common, config) for scale in config.scales})

    def forward(self, pyramid: dict[float, Tensor], keypoints: Tensor | None = None) -> dict[float, Judgement]:
        """Classify the patches of each scale's image: {scale: (B, 3, H * scale, W * scale)}."""
        return {scale: self.discs[_name(scale)](pyramid[scale], keypoints) for scale in self.scales}


def _name(scale: float) -> str:
    return str(scale).replace(".", "-")


def _convolution(in_features: int, out_features: int, kernel_size: int, *, spectral: bool) -> nn.Conv2d:
    convolution = nn.Conv2d(in_features, out_features, kernel_size)
    if not spectral:
        return convolution
    with warnings.catch_warnings():
        # The newer parametrisation has state-dict names that differ from the official checkpoints.
        warnings.simplefilter("ignore", FutureWarning)
        normed: nn.Conv2d = nn.utils.spectral_norm(convolution)
    return normed
