"""The networks of a training run, their losses (paper: Sec. 3.3), and the random deformations that a loss compares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fomaug.errors import ShapeError, shortened
from fomaug.geometry import inverse_2x2
from fomaug.geometry.plane import identity_grid
from fomaug.networks import Generator, KeypointDetector, MultiScaleDiscriminator
from fomaug.networks.blocks import downsampler
from fomaug.networks.config import DiscriminatorConfig
from fomaug.networks.discriminator import Judgement
from fomaug.training.config import TrainConfig
from fomaug.types import Keypoints

_EPSILON = 1e-6
Features = Callable[[Tensor], Sequence[Tensor]]
Pyramid = dict[float, Tensor]
Losses = dict[str, Tensor]


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

    Raises:
        ShapeError: the extractor returns something else than maps.
    """
    total = torch.zeros((), device=next(iter(fake.values())).device)
    for scale, image in fake.items():
        with torch.no_grad():
            target = _feature_maps(extract, real[scale])
        for found, wanted, weight in zip(_feature_maps(extract, image), target, weights, strict=False):
            total = total + weight * (found - wanted).abs().mean()
    return total


def _feature_maps(extract: Features, image: Tensor) -> Sequence[Tensor]:
    found = extract(image)
    if not isinstance(found, list | tuple) or not all(isinstance(part, Tensor) for part in found):
        kinds = [type(part).__name__ for part in found] if isinstance(found, list | tuple) else type(found).__name__
        raise ShapeError(f"the feature extractor must return a list of maps (B, C, h, w), got {shortened(kinds)}")
    return found


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
        self._extract = (extract,)  # a tuple, so that a network is not a submodule, and is neither trained nor saved
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
