"""What a first-order motion model is trained for (paper: Sec. 3.3)."""

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
    """Pictures (B, C, H, W) at several scales."""

    def __init__(self, scales: Sequence[float], channels: int = 3) -> None:
        super().__init__()
        self.scales = tuple(scales)
        self.down = nn.ModuleList(downsampler(channels, scale) for scale in scales)

    def forward(self, image: Tensor) -> Pyramid:
        """One picture per scale."""
        return {scale: down(image) for scale, down in zip(self.scales, self.down, strict=True)}


def pixels(image: Tensor) -> list[Tensor]:
    """Stand in for a feature extractor: the pixels themselves, which makes the perceptual loss an L1 pyramid."""
    return [image]


def perceptual(extract: Features, real: Pyramid, fake: Pyramid, weights: Sequence[float]) -> Tensor:
    """Compare features of real and predicted pictures at every scale, by L1.

    Args:
        extract: (B, 3, h, w) in [0, 1] to feature maps, finest first.
        real: the driving frames.
        fake: the predictions.
        weights: one for each map; maps without a weight do not count.
    """
    total = torch.zeros((), device=next(iter(fake.values())).device)
    for scale, picture in fake.items():
        with torch.no_grad():
            target = extract(real[scale])
        for found, wanted, weight in zip(extract(picture), target, weights, strict=False):
            total = total + weight * (found - wanted).abs().mean()
    return total


def generator_gan(fake: dict[float, Judgement]) -> Tensor:
    """Least squares: the discriminator is to say 1 of predictions."""
    return torch.stack([(1 - judged.prediction_map).square().mean() for judged in fake.values()]).sum()


def discriminator_gan(real: dict[float, Judgement], fake: dict[float, Judgement]) -> Tensor:
    """Least squares: 1 of driving frames, 0 of predictions."""
    parts = [
        (1 - real[scale].prediction_map).square().mean() + fake[scale].prediction_map.square().mean() for scale in real
    ]
    return torch.stack(parts).sum()


def feature_matching(real: dict[float, Judgement], fake: dict[float, Judgement], weights: Sequence[float]) -> Tensor:
    """Predictions are to look to the discriminator's layers as driving frames do."""
    total = torch.zeros((), device=next(iter(real.values())).prediction_map.device)
    for scale, judged in real.items():
        for wanted, found, weight in zip(judged.feature_maps, fake[scale].feature_maps, weights, strict=False):
            total = total + weight * (wanted.detach() - found).abs().mean()
    return total


def equivariance(plain: Keypoints, deformed: Keypoints, spline: ThinPlateSpline) -> tuple[Tensor, Tensor | None]:
    """Keypoints and jacobians of a deformed picture are to be the deformed ones (Eq. 9 and 11).

    Args:
        plain: keypoints of the picture.
        deformed: keypoints of `spline.image(picture)`.
        spline: the deformation.
    """
    value = (plain.value - spline.points(deformed.value)).abs().mean()
    if plain.jacobian is None or deformed.jacobian is None:
        return value, None
    carried = spline.jacobian(deformed.value) @ deformed.jacobian
    ratio = inverse_2x2(plain.jacobian) @ carried
    return value, (torch.eye(2, device=ratio.device) - ratio).abs().mean()
