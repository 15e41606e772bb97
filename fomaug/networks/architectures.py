"""Architectures: the light one and its configuration, official configurations by name, and the networks of each."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from fomaug.errors import ArgumentError, did_you_mean, shortened
from fomaug.networks.blocks import ResBlock, SameBlock, UpBlock
from fomaug.networks.bounds import MOST_LEVELS, check_divisible, check_side
from fomaug.networks.config import (
    CommonConfig,
    DenseMotionConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    KeypointDetectorConfig,
    ModelConfig,
    build,
)
from fomaug.networks.fomm import Generator, KeypointDetector
from fomaug.networks.lite_detector import LiteDetector, LiteDetectorConfig
from fomaug.networks.lite_generator import LiteGenerator, LiteGeneratorConfig
from fomaug.networks.lite_motion import LiteMotionConfig

_PARTS: Final = ("eyes", "mouth", "nose")
_EYE_POINTS: Final = 5
_MOST: Final = 4096  # largest count; larger ones exceed any memory
_MAY_BE_ZERO: Final = ("jacobian_level", "encoder_blocks", "decoder_blocks", "bridge")


@dataclass(frozen=True)
class LiteConfig:
    """A light first-order motion model.

    Attributes:
        detector: numbers of the keypoint detector.
        generator: numbers of the generator, including dense motion.
        size: side of the square input images.
        keypoint_names: names of the keypoints as points of the face.
    """

    detector: LiteDetectorConfig = field(default_factory=LiteDetectorConfig)
    generator: LiteGeneratorConfig = field(default_factory=LiteGeneratorConfig)
    size: int | None = 256
    keypoint_names: tuple[str, ...] = ()

    architecture = "lite"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LiteConfig:
        """Read the result of `to_dict`.

        Raises:
            ArgumentError: a key is unknown or missing, a number is out of range, or a part of the face has unknown
                keypoints.
        """
        parts = {key: value for key, value in values.items() if key != "architecture"}
        generator = _take(parts, "generator", "generator")
        motion = build(LiteMotionConfig, "generator.motion", _take(generator, "motion", "generator.motion"))
        drawing = build(LiteGeneratorConfig, "generator", {**generator, "motion": motion})
        detecting = build(LiteDetectorConfig, "detector", _take(parts, "detector", "detector"))
        whole = build(cls, "the configuration", {**parts, "generator": drawing, "detector": detecting})
        _check_whole(whole)
        return whole

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values without empty parts of the face, so that models without them keep their hash."""
        values = dataclasses.asdict(self)
        for part in (values["detector"], values["generator"]):
            for name in _PARTS:
                if not part.get(name):
                    part.pop(name, None)
            if not any(name in part for name in _PARTS):
                del part["bridge"]
        return {"architecture": self.architecture, **values}


def _take(values: dict[str, Any], key: str, name: str) -> dict[str, Any]:
    part = values.pop(key, {})
    if not isinstance(part, Mapping):
        raise ArgumentError(f"{name} must hold keys and values, got {shortened(part)}")
    return dict(part)


def _check_whole(config: LiteConfig) -> None:
    """Check the ranges of all numbers, because files may come from an unknown source."""
    drawing, detecting = config.generator, config.detector
    for name, part in (("generator.motion", drawing.motion), ("generator", drawing), ("detector", detecting)):
        _check_counts(name, part)
    _check_widths("generator.motion", drawing.motion.widths, least=2)
    _check_widths("generator", drawing.widths, least=3, most=3)
    _check_widths("detector", detecting.widths, least=detecting.jacobian_level + 1)
    _check_parts("generator", drawing)
    _check_parts("detector", detecting)
    if drawing.num_keypoints != detecting.num_keypoints:
        raise ArgumentError(
            f"generator.num_keypoints must be the detector's {detecting.num_keypoints}, got {drawing.num_keypoints}"
        )
    _check_sides(config)
    names = config.keypoint_names
    if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
        raise ArgumentError(f"keypoint_names must be strings, got {shortened(names)}")


def _check_sides(config: LiteConfig) -> None:
    """Check that the networks can halve the sizes of images and grids often enough."""
    motion, detecting = config.generator.motion, config.detector
    check_side("generator.motion.size", motion.size)
    check_side("detector.input_size", detecting.input_size)
    check_divisible("generator.motion", motion.size, len(motion.widths) - 1)
    check_divisible("detector", detecting.input_size, len(detecting.widths))
    if check_side("size", config.size) is not None:
        assert config.size is not None
        check_divisible("generator", config.size, len(config.generator.widths))


def _check_counts(name: str, part: LiteMotionConfig | LiteGeneratorConfig | LiteDetectorConfig) -> None:
    for number in dataclasses.fields(part):
        value, least = getattr(part, number.name), int(number.name not in _MAY_BE_ZERO)
        if number.type == "int" and not _is_count(value, least):
            raise ArgumentError(f"{name}.{number.name} must be from {least} to {_MOST}, got {shortened(value)}")


def _check_widths(name: str, widths: object, *, least: int, most: int = MOST_LEVELS) -> None:
    if not isinstance(widths, tuple) or not all(_is_count(width) for width in widths):
        raise ArgumentError(f"{name}.widths must be whole numbers from 1 to {_MOST}, got {shortened(widths)}")
    if not least <= len(widths) <= most:
        wanted = least if most == least else f"{least} to {most}"
        raise ArgumentError(f"{name}.widths must be {wanted} numbers, got {len(widths)}")


def _is_count(value: object, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= _MOST


def _check_parts(name: str, config: LiteGeneratorConfig | LiteDetectorConfig) -> None:
    """Check that the parts of the face are lists of keypoints."""
    eyes = config.eyes if isinstance(config.eyes, tuple) else (config.eyes,)
    rows: list[Any] = [*eyes]
    if isinstance(config, LiteDetectorConfig):
        rows += [row for row in (config.mouth, config.nose) if row != ()]
    if rows:
        rows.append((config.bridge,))
    fives = all(isinstance(eye, tuple) and len(eye) == _EYE_POINTS for eye in eyes)
    known = range(config.num_keypoints)
    if not fives or not all(isinstance(row, tuple) and all(point in known for point in row) for row in rows):
        raise ArgumentError(
            f"{name}: eyes must be lists of five keypoints, mouth and nose lists, and all keypoints below {len(known)}"
        )


# The eight configurations of the published official weights.
_BASE = ModelConfig(
    common=CommonConfig(num_kp=10),
    kp_detector=KeypointDetectorConfig(block_expansion=32, max_features=1024, num_blocks=5, scale_factor=0.25),
    generator=GeneratorConfig(
        block_expansion=64,
        max_features=512,
        num_down_blocks=2,
        num_bottleneck_blocks=6,
        estimate_occlusion_map=True,
        dense_motion=DenseMotionConfig(block_expansion=64, max_features=1024, num_blocks=5, scale_factor=0.25),
    ),
    discriminator=DiscriminatorConfig(block_expansion=32),
    size=256,
)
_SPECTRAL = replace(_BASE, discriminator=DiscriminatorConfig(block_expansion=32, sn=True))
_ADVERSARIAL = replace(_BASE, discriminator=DiscriminatorConfig(block_expansion=32, use_kp=True))

OFFICIAL: dict[str, ModelConfig] = {
    "vox-256": _SPECTRAL,
    "vox-adv-256": _ADVERSARIAL,
    "taichi-256": _BASE,
    "taichi-adv-256": _ADVERSARIAL,
    "mgif-256": replace(_SPECTRAL, kp_detector=replace(_BASE.kp_detector, single_jacobian_map=True)),
    "fashion-256": _BASE,
    "bair-256": _SPECTRAL,
    "nemo-256": _SPECTRAL,
}


class Configuration(Protocol):
    """The part of a model's configuration that an animator uses."""

    @property
    def size(self) -> int | None:
        """Side of the square input images; None for the size of each image."""

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain JSON values."""


AnyConfig = ModelConfig | LiteConfig
_CONFIGS: dict[str, type[ModelConfig] | type[LiteConfig]] = {"fomm": ModelConfig, "lite": LiteConfig}


def config_from_dict(values: object) -> AnyConfig:
    """Read a configuration of any architecture; without the key `architecture` it is the official one.

    Raises:
        ArgumentError: the architecture is unknown, a key is unknown or missing, or a number is out of range.
    """
    if not isinstance(values, Mapping):
        raise ArgumentError(f"a configuration must have keys and values, got {shortened(values)}")
    name = values.get("architecture", "fomm")
    if not isinstance(name, str) or name not in _CONFIGS:
        hint = did_you_mean(name, _CONFIGS) if isinstance(name, str) else ""
        raise ArgumentError(f"architecture must be one of {', '.join(_CONFIGS)}, got {shortened(name)}{hint}")
    return _CONFIGS[name].from_dict(values)


def build_networks(config: AnyConfig) -> tuple[nn.Module, nn.Module]:
    """Build the keypoint detector and the generator with random weights."""
    if isinstance(config, LiteConfig):
        return LiteDetector(config.detector), LiteGenerator(config.generator)
    return KeypointDetector(config.common, config.kp_detector), Generator(config.common, config.generator)


_PAIRS: dict[type[nn.Module], tuple[str, str]] = {SameBlock: ("conv", "norm"), ResBlock: ("conv1", "norm2")}


def fold_batch_norms(network: nn.Module) -> nn.Module:
    """Fold batch norms into the convolutions before them, in place: the same function in fewer passes.

    The folded network is for evaluation only.

    Args:
        network: any network of this package, in evaluation mode.

    Returns:
        The same network.
    """
    for module in network.modules():
        for kind, (convolution, norm) in _PAIRS.items():
            if isinstance(module, kind):
                _fold(module, convolution, norm)
        if isinstance(module, nn.Sequential):
            _fold_sequence(module)
    for generator in network.modules():
        if isinstance(generator, Generator):  # whose maps are large enough, unlike those of hourglasses
            for block in (*generator.bottleneck, *generator.up_blocks):
                assert isinstance(block, ResBlock | UpBlock)
                block.fold()
    return network


def _fold_sequence(module: nn.Sequential) -> None:
    names = list(module._modules)
    for before, after in itertools.pairwise(names):
        if isinstance(module._modules[before], nn.Conv2d) and isinstance(module._modules[after], nn.BatchNorm2d):
            _fold(module, before, after)


def _fold(module: nn.Module, convolution: str, norm: str) -> None:
    conv, batch_norm = module.get_submodule(convolution), module.get_submodule(norm)
    if isinstance(conv, nn.Conv2d) and isinstance(batch_norm, nn.BatchNorm2d):
        assert not batch_norm.training, "a batch norm in training mode cannot be folded"
        mean, variance = batch_norm.running_mean, batch_norm.running_var
        assert mean is not None and variance is not None
        conv.weight, conv.bias = fuse_conv_bn_weights(
            conv.weight, conv.bias, mean, variance, batch_norm.eps, batch_norm.weight, batch_norm.bias
        )
        setattr(module, norm, nn.Identity())


def model_hash(config: Configuration, networks: nn.Module) -> str:
    """Hash the configuration and every tensor by sha256; float16, float32 and all devices give the same hash."""
    digest = hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True).encode())
    for name, tensor in sorted(networks.state_dict().items()):
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().to("cpu", torch.float32).contiguous().numpy().tobytes())
    return digest.hexdigest()
