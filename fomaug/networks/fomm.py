"""The First Order Motion Model: keypoint detector (paper: Sec. 3.1), dense motion network and generator (Sec. 3.2)."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomaug.geometry import gaussian_heatmap, identity_grid, inverse_2x2, warp_image
from fomaug.geometry.plane import can_be_rearranged
from fomaug.networks.blocks import DownBlock, Hourglass, ResBlock, SameBlock, UpBlock, downsampler
from fomaug.networks.config import CommonConfig, DenseMotionConfig, GeneratorConfig, KeypointDetectorConfig
from fomaug.networks.convolutions import convolve_by_columns, is_large
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


class GeneratorOutput(NamedTuple):
    """One forward pass of a generator.

    Attributes:
        prediction: (B, 3, S, S) in [0, 1].
        deformation: (B, h, w, 2) backward flow, corner-aligned.
        occlusion: (B, 1, h, w) in [0, 1], None for models that estimate none.
        mask: (B, K + 1, h, w) softmax weights of the background and the K local motions.
        deformed: (B, 3, S, S) the warped source.
        sparse_deformed: (B, K + 1, 3, h, w) the source warped by every local motion; None if it is not kept.
        blend: (B, 1, S, S) share of `deformed` in `prediction`; None for generators that paint every pixel.
    """

    prediction: Tensor
    deformation: Tensor
    occlusion: Tensor | None
    mask: Tensor
    deformed: Tensor
    sparse_deformed: Tensor | None = None
    blend: Tensor | None = None


class Generator(nn.Module):
    """A network that encodes the source, warps its features, masks occluded ones and decodes them."""

    def __init__(self, common: CommonConfig, config: GeneratorConfig) -> None:
        super().__init__()
        self.dense_motion_network = DenseMotionNetwork(
            common, config.dense_motion, estimate_occlusion=config.estimate_occlusion_map
        )
        levels = config.num_down_blocks
        widths = [min(config.max_features, config.block_expansion * 2**level) for level in range(levels + 1)]
        self.first = SameBlock(common.num_channels, widths[0], 7)
        self.down_blocks = nn.ModuleList(DownBlock(widths[i], widths[i + 1]) for i in range(levels))
        self.bottleneck = nn.Sequential()
        for i in range(config.num_bottleneck_blocks):
            self.bottleneck.add_module(f"r{i}", ResBlock(widths[-1]))
        self.up_blocks = nn.ModuleList(UpBlock(widths[i + 1], widths[i]) for i in reversed(range(levels)))
        self.final = nn.Conv2d(widths[0], common.num_channels, 7, padding=3)

    def encode(self, image: Tensor) -> tuple[Tensor, ...]:
        """Compute everything that depends on the source (B, 3, S, S) alone: its features and its reduced image."""
        features = self.first(_channels_innermost(image))
        for block in self.down_blocks:
            features = block(features)
        return features, self.dense_motion_network.down(image)

    def forward(
        self, image: Tensor, features: tuple[Tensor, ...], source: Keypoints, driving: Keypoints
    ) -> GeneratorOutput:
        """Animate images.

        Args:
            image: (B, 3, S, S) in [0, 1].
            features: features from `encode(image)`.
            source: keypoints of the image.
            driving: target keypoints.
        """
        encoded, small = features
        motion = self.dense_motion_network(small, source, driving)
        return GeneratorOutput(
            prediction=self._paint(encoded, motion),
            deformation=motion.deformation,
            occlusion=motion.occlusion,
            mask=motion.mask,
            deformed=warp_features(image, motion.deformation),
            sparse_deformed=motion.sparse_deformed,
        )

    def _paint(self, encoded: Tensor, motion: DenseMotion) -> Tensor:
        """Warp and decode features; on a CPU one by one, since the maps of one image fill its caches."""
        if can_be_rearranged(encoded) and len(encoded) > 1:
            return torch.cat([self._paint(encoded[row], motion.take(row)) for row in map(_row, range(len(encoded)))])
        x = warp_features(encoded, motion.deformation)
        if motion.occlusion is not None:
            x = x * _fit(motion.occlusion, x).to(x.dtype)
        x = self.bottleneck(_channels_innermost(x))
        for block in self.up_blocks:
            x = block(x)
        return self._last(x).sigmoid()

    def _last(self, x: Tensor) -> Tensor:
        if is_large(x) and x.dtype == torch.float32 and self.final.bias is not None:
            return convolve_by_columns(x, self.final.weight, self.final.bias)
        image: Tensor = self.final(x)
        return image


def _row(number: int) -> slice:
    return slice(number, number + 1)


def _channels_innermost(x: Tensor) -> Tensor:
    """Arrange maps for the convolutions of a CPU, which otherwise rearrange them before and after each."""
    return x.contiguous(memory_format=torch.channels_last) if can_be_rearranged(x) else x


def warp_features(features: Tensor, deformation: Tensor) -> Tensor:
    """Warp (B, C, H, W) by a flow that is resized like in the official code: by pixel areas, not corner-aligned."""
    if deformation.shape[1:3] != features.shape[2:]:
        deformation = _fit(deformation.permute(0, 3, 1, 2), features).permute(0, 2, 3, 1)
    return warp_image(features, deformation)


def _fit(tensor: Tensor, like: Tensor) -> Tensor:
    if tensor.shape[2:] == like.shape[2:]:
        return tensor
    return F.interpolate(tensor, size=like.shape[2:], mode="bilinear", align_corners=False)
