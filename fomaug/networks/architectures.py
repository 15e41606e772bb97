"""From a configuration to networks."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from fomaug.errors import ArgumentError, did_you_mean, shortened
from fomaug.networks.config import ModelConfig
from fomaug.networks.generator import Generator
from fomaug.networks.keypoint_detector import KeypointDetector
from fomaug.networks.lite_config import LiteConfig
from fomaug.networks.lite_detector import LiteDetector
from fomaug.networks.lite_generator import LiteGenerator

AnyConfig = ModelConfig | LiteConfig
_CONFIGS: dict[str, type[ModelConfig] | type[LiteConfig]] = {"fomm": ModelConfig, "lite": LiteConfig}


def config_from_dict(values: object) -> AnyConfig:
    """Read a configuration of any architecture; without `architecture` it is the official one.

    Raises:
        ArgumentError: for an unknown architecture, key or a missing one, and for numbers that no network can have.
    """
    if not isinstance(values, Mapping):
        raise ArgumentError(f"a configuration must hold keys and values, got {shortened(values)}")
    name = values.get("architecture", "fomm")
    if not isinstance(name, str) or name not in _CONFIGS:
        hint = did_you_mean(name, _CONFIGS) if isinstance(name, str) else ""
        raise ArgumentError(f"architecture is {shortened(name)}, one of {', '.join(_CONFIGS)} was expected{hint}")
    return _CONFIGS[name].from_dict(values)


def build_networks(config: AnyConfig) -> tuple[nn.Module, nn.Module]:
    """Build the keypoint detector and the generator, weights at random."""
    if isinstance(config, LiteConfig):
        return LiteDetector(config.detector), LiteGenerator(config.generator)
    return KeypointDetector(config.common, config.kp_detector), Generator(config.common, config.generator)
