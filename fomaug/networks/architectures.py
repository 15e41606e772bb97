"""Architectures: official configurations by name, and networks built from a configuration."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from fomaug.errors import ArgumentError, did_you_mean, shortened
from fomaug.networks.blocks import ResBlock, SameBlock, UpBlock
from fomaug.networks.config import (
    CommonConfig,
    DenseMotionConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    KeypointDetectorConfig,
    ModelConfig,
)
from fomaug.networks.generator import Generator
from fomaug.networks.keypoint_detector import KeypointDetector
from fomaug.networks.lite_config import LiteConfig
from fomaug.networks.lite_detector import LiteDetector
from fomaug.networks.lite_generator import LiteGenerator

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
