"""The numbers of a training run, in the layout of the official YAML files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fomaug.errors import ArgumentError, did_you_mean, shortened
from fomaug.networks import ModelConfig
from fomaug.networks.config import build
from fomaug.training.numbers import check_numbers


@dataclass(frozen=True)
class LossWeights:
    """How much each loss counts (paper: Sec. 3.3 and 7.2).

    Attributes:
        perceptual: one weight for each map of the feature extractor, at every scale of the pyramid.
        generator_gan: least-squares loss that the generator is to fool the discriminator.
        discriminator_gan: least-squares loss of the discriminator.
        feature_matching: one weight for each map of the discriminator.
        equivariance_value: keypoints follow a known deformation.
        equivariance_jacobian: jacobians follow it, too.
    """

    perceptual: tuple[float, ...] = (10, 10, 10, 10, 10)
    generator_gan: float = 1
    discriminator_gan: float = 1
    feature_matching: tuple[float, ...] = (10, 10, 10, 10)
    equivariance_value: float = 10
    equivariance_jacobian: float = 10


@dataclass(frozen=True)
class TransformParams:
    """How far the deformations of the equivariance losses go."""

    sigma_affine: float = 0.05
    sigma_tps: float = 0.005
    points_tps: int = 5


@dataclass(frozen=True)
class AugmentParams:
    """How training pairs are varied, both frames alike.

    Attributes:
        horizontal_flip: mirror half of the pairs.
        time_flip: swap source and driving in half of the pairs.
        brightness: factors between 1 - value and 1 + value; so are contrast and saturation.
        contrast: see brightness.
        saturation: see brightness.
        hue: turn of the colour circle up to this share of it.
        zoom_range: pairs are enlarged by a factor from this range, then cropped or padded anywhere.
    """

    horizontal_flip: bool = False
    time_flip: bool = False
    brightness: float = 0
    contrast: float = 0
    saturation: float = 0
    hue: float = 0
    zoom_range: tuple[float, float] = (1, 1)

    def __post_init__(self) -> None:
        low, high = self.zoom_range
        if not 0 < low <= high:
            raise ArgumentError(f"zoom_range (resize_param.ratio) must be 0 < low <= high, got {self.zoom_range}")


@dataclass(frozen=True)
class TrainConfig:
    """A training run.

    Attributes:
        model: the networks.
        weights: of the losses.
        transform: deformations for equivariance.
        augment: variation of the pairs.
        id_sampling: clips of one person (`person#...`) count as one, a clip of it is drawn each time.
        num_epochs: passes over the clips.
        num_repeats: how often a pass sees each clip.
        epoch_milestones: after these epochs the learning rates fall to a tenth.
        lr_generator: learning rate of the generator.
        lr_discriminator: of the discriminator.
        lr_kp_detector: of the keypoint detector.
        batch_size: pairs in a step, on each device.
        scales: of the image pyramid.
        checkpoint_steps: steps between checkpoints.
        keep_checkpoints: how many are kept.
        ema: decay of the averaged weights; 0 for none.
        seed: of everything drawn.
    """

    model: ModelConfig
    weights: LossWeights = field(default_factory=LossWeights)
    transform: TransformParams = field(default_factory=TransformParams)
    augment: AugmentParams = field(default_factory=AugmentParams)
    id_sampling: bool = False
    num_epochs: int = 100
    num_repeats: int = 1
    epoch_milestones: tuple[int, ...] = (60, 90)
    lr_generator: float = 2e-4
    lr_discriminator: float = 2e-4
    lr_kp_detector: float = 2e-4
    batch_size: int = 8
    scales: tuple[float, ...] = (1, 0.5, 0.25, 0.125)
    checkpoint_steps: int = 1000
    keep_checkpoints: int = 3
    ema: float = 0.999
    seed: int = 0

    def __post_init__(self) -> None:
        check_numbers("train_params", self)
        if self.model.common.num_channels != 3:
            raise ArgumentError(f"clips are read in 3 channels, but num_channels is {self.model.common.num_channels}")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Read the content of an official YAML file, or of one with our additional `train_params`.

        Raises:
            ArgumentError: for an unknown section or key, named with the nearest known one.
        """
        for section in values:
            if section not in _SECTIONS:
                raise ArgumentError(
                    f"the configuration has an unknown section {shortened(section)}{_near(section, _SECTIONS)}"
                )
        train, data = (_section(values, name) for name in ("train_params", "dataset_params"))
        train.pop("checkpoint_freq", None)
        parts: dict[str, Any] = {
            "model": ModelConfig.from_dict(
                {key: values[key] for key in ("model_params", "dataset_params") if key in values}
            ),
            "weights": build(LossWeights, "loss_weights", _section(train, "loss_weights")),
            "transform": build(TransformParams, "transform_params", _section(train, "transform_params")),
            "augment": _augment(_section(data, "augmentation_params")),
            "id_sampling": _switch("dataset_params.id_sampling", data.pop("id_sampling", False)),
        }
        train = {key: value for key, value in train.items() if key not in ("loss_weights", "transform_params")}
        for key in data:
            if key not in _DATA_KEYS:
                raise ArgumentError(f"dataset_params has an unknown key {shortened(key)}{_near(key, _DATA_KEYS)}")
        return build(cls, "train_params", {**train, **parts})


_SECTIONS = (
    "model_params",
    "dataset_params",
    "train_params",
    "reconstruction_params",
    "animate_params",
    "visualizer_params",
)
_DATA_KEYS = ("root_dir", "frame_shape", "pairs_list", "id_sampling", "augmentation_params")


def _section(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Copy a part that may be left out, or left empty."""
    section = values.get(name)
    if section is None:
        return {}
    if not isinstance(section, Mapping):
        raise ArgumentError(f"{name} must hold keys and values, got {shortened(section)}")
    return dict(section)


def _augment(params: Mapping[str, Any]) -> AugmentParams:
    known = ("flip_param", "jitter_param", "resize_param", "crop_param")
    for key in params:
        if key not in known:
            raise ArgumentError(f"augmentation_params has an unknown key {shortened(key)}{_near(key, known)}")
    flat = {**_section(params, "flip_param"), **_section(params, "jitter_param")}
    # What is resized is always cropped back to the size of the model, so `crop_param` says nothing new.
    ratio = _section(params, "resize_param").get("ratio", (1, 1))
    return build(AugmentParams, "augmentation_params", {**flat, "zoom_range": ratio})


def _near(key: object, known: tuple[str, ...]) -> str:
    return did_you_mean(key, known) if isinstance(key, str) else ""


def _switch(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ArgumentError(f"{name} must be true or false, got {shortened(value)}")
    return value
