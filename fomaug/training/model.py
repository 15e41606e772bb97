"""The networks of a training run, and their losses for a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fomaug.geometry.tps import ThinPlateSpline
from fomaug.networks import Generator, KeypointDetector, MultiScaleDiscriminator
from fomaug.networks.config import DiscriminatorConfig
from fomaug.training.config import TrainConfig
from fomaug.training.losses import (
    Features,
    ImagePyramid,
    Pyramid,
    discriminator_gan,
    equivariance,
    feature_matching,
    generator_gan,
    perceptual,
)
from fomaug.types import Keypoints

Losses = dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Batch:
    """Pairs of frames, each pair from one clip, and a deformation.

    Attributes:
        source: (B, 3, S, S) in [0, 1].
        driving: (B, 3, S, S) in [0, 1].
        spline: deformation of the driving frames for the equivariance losses.
    """

    source: Tensor
    driving: Tensor
    spline: ThinPlateSpline

    def to(self, device: torch.device) -> Batch:
        """Move all tensors to a device."""
        return Batch(self.source.to(device), self.driving.to(device), self.spline.to(device))


class TrainedNetworks(nn.Module):
    """Detector, generator and discriminator with their losses."""

    def __init__(self, config: TrainConfig, extract: Features) -> None:
        super().__init__()
        model = config.model
        self.weights = config.weights
        self._extract = (extract,)  # a tuple, so that a network is no submodule, and is neither trained nor saved
        self.kp_detector = KeypointDetector(model.common, model.kp_detector)
        self.generator = Generator(model.common, model.generator)
        self.discriminator = MultiScaleDiscriminator(model.common, model.discriminator or DiscriminatorConfig())
        scales = sorted({*config.scales, *self.discriminator.scales}, reverse=True)
        self.pyramid = ImagePyramid(scales, model.common.num_channels)
        self.scales = config.scales

    def forward(self, batch: Batch, prediction: Tensor | None = None) -> tuple[Losses, Tensor]:
        """Compute the losses of one phase; both phases use this method, so that devices share gradients in both.

        Args:
            batch: pairs of frames.
            prediction: None in the phase of detector and generator; their prediction in the phase of the discriminator.

        Returns:
            The weighted losses by name, and the prediction.
        """
        if prediction is not None:
            return self._discriminate(batch.driving, prediction.detach()), prediction
        return self._generate(batch)

    def _generate(self, batch: Batch) -> tuple[Losses, Tensor]:
        source, driving = self.kp_detector(batch.source), self.kp_detector(batch.driving)
        output = self.generator(batch.source, self.generator.encode(batch.source), source, driving)
        real, fake = self.pyramid(batch.driving), self.pyramid(output.prediction)
        losses = {}
        if any(self.weights.perceptual):
            kept = {scale: image for scale, image in fake.items() if scale in self.scales}
            losses["perceptual"] = perceptual(self._extract[0], real, kept, self.weights.perceptual)
        if self.weights.generator_gan:
            losses |= self._adversarial(real, fake, driving.value.detach())
        if self.weights.equivariance_value or self.weights.equivariance_jacobian:
            losses |= self._equivariance(batch, driving)
        return losses, output.prediction

    def _adversarial(self, real: Pyramid, fake: Pyramid, points: Tensor) -> Losses:
        judged = self.discriminator(fake, points)
        losses = {"generator_gan": self.weights.generator_gan * generator_gan(judged)}
        if any(self.weights.feature_matching):
            wanted = self.discriminator(real, points)
            losses["feature_matching"] = feature_matching(wanted, judged, self.weights.feature_matching)
        return losses

    def _equivariance(self, batch: Batch, driving: Keypoints) -> Losses:
        deformed = self.kp_detector(batch.spline.image(batch.driving))
        value, jacobian = equivariance(driving, deformed, batch.spline)
        losses = {"equivariance_value": self.weights.equivariance_value * value}
        if jacobian is not None:
            losses["equivariance_jacobian"] = self.weights.equivariance_jacobian * jacobian
        return losses

    def _discriminate(self, driving: Tensor, prediction: Tensor) -> Losses:
        with torch.no_grad():
            points = self.kp_detector(driving).value
        real = self.discriminator(self.pyramid(driving), points)
        fake = self.discriminator(self.pyramid(prediction), points)
        return {"discriminator_gan": self.weights.discriminator_gan * discriminator_gan(real, fake)}
