"""Configurations of training runs: read from files in the layout of the official YAML files, or official by name."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from fomaug.errors import ArgumentError, did_you_mean, shortened
from fomaug.files import exists
from fomaug.networks import OFFICIAL, ModelConfig
from fomaug.networks.config import build
from fomaug.weights import read_settings, settings_of


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses (paper: Sec. 3.3 and 7.2).

    Attributes:
        perceptual: weights of the maps of the feature extractor, at every scale of the pyramid.
        generator_gan: weight of the least-squares loss of the generator.
        discriminator_gan: weight of the least-squares loss of the discriminator.
        feature_matching: weights of the maps of the discriminator.
        equivariance_value: weight of the equivariance of keypoints under a known deformation.
        equivariance_jacobian: weight of the equivariance of jacobians.
    """

    perceptual: tuple[float, ...] = (10, 10, 10, 10, 10)
    generator_gan: float = 1
    discriminator_gan: float = 1
    feature_matching: tuple[float, ...] = (10, 10, 10, 10)
    equivariance_value: float = 10
    equivariance_jacobian: float = 10


@dataclass(frozen=True)
class TransformParams:
    """Parameters of the random deformations for the equivariance losses.

    Attributes:
        sigma_affine: standard deviation of the entries of the affine map.
        sigma_tps: standard deviation of the weights of the spline.
        points_tps: number of control points along each side.
    """

    sigma_affine: float = 0.05
    sigma_tps: float = 0.005
    points_tps: int = 5


@dataclass(frozen=True)
class AugmentParams:
    """Parameters of the random changes of training pairs; both frames are changed alike.

    Attributes:
        horizontal_flip: whether half of the pairs are mirrored.
        time_flip: whether source and driving frame are swapped in half of the pairs.
        brightness: largest difference of the brightness factor from 1.
        contrast: largest difference of the contrast factor from 1.
        saturation: largest difference of the saturation factor from 1.
        hue: largest rotation of the hue, as a share of the colour circle.
        zoom_range: interval of the factor by which pairs are resized before a random crop or padding.
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
    """The configuration of a training run.

    Attributes:
        model: configuration of the networks.
        weights: weights of the losses.
        transform: random deformations for the equivariance losses.
        augment: random changes of the pairs.
        id_sampling: whether all clips of a person (`person#...`) count as one clip; each draw then picks one of them.
        num_epochs: number of passes over the clips.
        num_repeats: number of pairs of each clip in a pass.
        epoch_milestones: epochs after which the learning rates are divided by ten.
        lr_generator: learning rate of the generator.
        lr_discriminator: learning rate of the discriminator.
        lr_kp_detector: learning rate of the keypoint detector.
        batch_size: number of pairs in a step, on each device.
        scales: scales of the image pyramid.
        checkpoint_steps: number of steps between checkpoints.
        keep_checkpoints: number of checkpoints that are kept.
        ema: decay of the averaged weights; 0 for none.
        seed: seed of all random numbers.
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
        """Read the content of an official YAML file; `train_params` may have our additional keys.

        Raises:
            ArgumentError: a section or a key is unknown; the message suggests the nearest known one.
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
        if (shape := data.get("frame_shape")) is not None and len(shape) > 1 and shape[0] != shape[1]:
            raise ArgumentError(
                f"dataset_params.frame_shape must be square, such as [{shape[0]}, {shape[0]}, 3], "
                f"got {shortened(shape)}"
            )
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
    """Copy a section that may be missing or empty."""
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
    # `crop_param` is ignored: pairs are always cropped back to the size of the model.
    ratio = _section(params, "resize_param").get("ratio", (1, 1))
    return build(AugmentParams, "augmentation_params", {**flat, "zoom_range": ratio})


def _near(key: object, known: tuple[str, ...]) -> str:
    return did_you_mean(key, known) if isinstance(key, str) else ""


def _switch(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ArgumentError(f"{name} must be true or false, got {shortened(value)}")
    return value


_AT_LEAST_ONE = ("num_epochs", "num_repeats", "batch_size", "checkpoint_steps", "keep_checkpoints")
_NOT_NEGATIVE = ("lr_generator", "lr_discriminator", "lr_kp_detector", "seed")


def check_numbers(section: str, config: Any) -> None:
    """Check the ranges of the numbers of a configuration.

    Raises:
        ArgumentError: a number is out of range; the message names the expected range.
    """
    for key in _AT_LEAST_ONE:
        value = getattr(config, key)
        if not _is_number(value, whole=True) or value < 1:
            raise ArgumentError(f"{section}.{key} must be a whole number of 1 or more, got {shortened(value)}")
    for key in _NOT_NEGATIVE:
        value = getattr(config, key)
        if not _is_number(value, whole=key == "seed") or value < 0:
            raise ArgumentError(
                f"{section}.{key} must be a number of 0 or more, got {shortened(value)}{_exponent(value)}"
            )
    if not _is_number(config.ema) or not 0 <= config.ema < 1:
        raise ArgumentError(f"{section}.ema must be at least 0 and less than 1, got {shortened(config.ema)}")
    if not config.scales or not all(_is_number(scale) and 0 < scale <= 1 for scale in config.scales):
        raise ArgumentError(f"{section}.scales must be numbers above 0 and up to 1, got {shortened(config.scales)}")


def _is_number(value: object, *, whole: bool = False) -> bool:
    kinds = (int,) if whole else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and -math.inf < value < math.inf


def _exponent(value: object) -> str:
    return "; YAML reads 2e-4 as a string, write 2.0e-4" if isinstance(value, str) else ""


_FLIPS = AugmentParams(horizontal_flip=True, time_flip=True)
_COLOURS = replace(_FLIPS, brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1)
_NOT_ADVERSARIAL = LossWeights(generator_gan=0)
_PEOPLE: dict[str, Any] = {"id_sampling": True, "augment": _COLOURS}

# Training parameters of the official YAML files that differ from the defaults of `TrainConfig`.
_RECIPES: dict[str, dict[str, Any]] = {
    "vox-256": {**_PEOPLE, "num_repeats": 75, "batch_size": 40, "weights": _NOT_ADVERSARIAL},
    "vox-adv-256": {**_PEOPLE, "num_epochs": 150, "epoch_milestones": (), "num_repeats": 75, "batch_size": 36},
    "taichi-256": {**_PEOPLE, "num_repeats": 150, "batch_size": 30, "weights": _NOT_ADVERSARIAL},
    "taichi-adv-256": {
        **_PEOPLE,
        "num_epochs": 150,
        "epoch_milestones": (),
        "num_repeats": 150,
        "batch_size": 27,
        "lr_kp_detector": 0,
    },
    "mgif-256": {"num_repeats": 25, "batch_size": 36, "augment": replace(_FLIPS, hue=0.5, zoom_range=(0.9, 1.1))},
    "fashion-256": {"num_repeats": 50, "batch_size": 27, "augment": replace(_FLIPS, hue=0.1)},
    "bair-256": {
        "num_epochs": 20,
        "epoch_milestones": (12, 18),
        "num_repeats": 1,
        "batch_size": 36,
        "augment": _COLOURS,
    },
    "nemo-256": {"num_repeats": 8, "batch_size": 36, "augment": _FLIPS},
}


def read_config(source: str | Path) -> TrainConfig:
    """Read a training configuration from a YAML or JSON file, or return an official one by name.

    Raises:
        ArgumentError: there is no such file or name, or the file has an unknown key.
    """
    name = str(source)
    if name in OFFICIAL:
        return TrainConfig(model=OFFICIAL[name], **_RECIPES[name])
    path = Path(source)
    if exists(path) and path.is_dir():
        raise ArgumentError(f"{path} is a folder; give its YAML file")
    if not exists(path):
        raise ArgumentError(f"{path} is neither a file nor one of {', '.join(OFFICIAL)}{did_you_mean(name, OFFICIAL)}")
    values = read_settings(path)
    with settings_of(path):
        return TrainConfig.from_dict(values)
