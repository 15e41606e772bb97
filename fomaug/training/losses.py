"""Losses of a first-order motion model (paper: Sec. 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from fomaug.geometry import inverse_2x2
from fomaug.geometry.tps import ThinPlateSpline
from fomaug.networks.blocks import downsampler
from fomaug.networks.discriminator import Judgement
from fomaug.types import Keypoints

Features = Callable[[Tensor], Sequence[Tensor]]
Pyramid = dict[float, Tensor]


class ImagePyramid(nn.Module):
    """A module that reduces images (B, C, H, W) to several scales."""

    def __init__(self, scales: Sequence[float], channels: int = 3) -> None:
        super().__init__()
        self.scales = tuple(scales)
        self.down = nn.ModuleList(downsampler(channels, scale) for scale in scales)

    def forward(self, image: Tensor) -> Pyramid:
        """Reduce images (B, C, H, W) to {scale: (B, C, H * scale, W * scale)}."""
        return {scale: down(image) for scale, down in zip(self.scales, self.down, strict=True)}


def pixels(image: Tensor) -> list[Tensor]:
    """Return the pixels as features; with this extractor, the perceptual loss is an L1 pyramid."""
    return [image]


def perceptual(extract: Features, real: Pyramid, fake: Pyramid, weights: Sequence[float]) -> Tensor:
    """Compute the L1 distance of the features of real and predicted images at every scale.

    Args:
        extract: feature extractor from (B, 3, h, w) in [0, 1] to feature maps, finest first.
        real: driving frames at every scale.
        fake: predictions at every scale.
        weights: weights of the maps; maps without a weight are ignored.
    """
    total = torch.zeros((), device=next(iter(fake.values())).device)
    for scale, image in fake.items():
        with torch.no_grad():
            target = extract(real[scale])
        for found, wanted, weight in zip(extract(image), target, weights, strict=False):
            total = total + weight * (found - wanted).abs().mean()
    return total


def generator_gan(fake: dict[float, Judgement]) -> Tensor:
    """Compute the least-squares loss of the generator: the target of the discriminator's map for predictions is 1."""
    return torch.stack([(1 - judged.prediction_map).square().mean() for judged in fake.values()]).sum()


def discriminator_gan(real: dict[float, Judgement], fake: dict[float, Judgement]) -> Tensor:
    """Compute the least-squares loss of the discriminator: the targets are 1 for driving frames, 0 for predictions."""
    parts = [
        (1 - real[scale].prediction_map).square().mean() + fake[scale].prediction_map.square().mean() for scale in real
    ]
    return torch.stack(parts).sum()


def feature_matching(real: dict[float, Judgement], fake: dict[float, Judgement], weights: Sequence[float]) -> Tensor:
    """Compute the L1 distance of the discriminator's feature maps of predictions and driving frames."""
    total = torch.zeros((), device=next(iter(real.values())).prediction_map.device)
    for scale, judged in real.items():
        for wanted, found, weight in zip(judged.feature_maps, fake[scale].feature_maps, weights, strict=False):
            total = total + weight * (wanted.detach() - found).abs().mean()
    return total


def equivariance(plain: Keypoints, deformed: Keypoints, spline: ThinPlateSpline) -> tuple[Tensor, Tensor | None]:
    """Compute the equivariance losses of keypoints and jacobians under a deformation (Eq. 9 and 11).

    Args:
        plain: keypoints of an image.
        deformed: keypoints of `spline.image(image)`.
        spline: deformation of the image.
    """
    value = (plain.value - spline.points(deformed.value)).abs().mean()
    if plain.jacobian is None or deformed.jacobian is None:
        return value, None
    mapped = spline.jacobian(deformed.value) @ deformed.jacobian
    ratio = inverse_2x2(plain.jacobian) @ mapped
    return value, (torch.eye(2, device=ratio.device) - ratio).abs().mean()
