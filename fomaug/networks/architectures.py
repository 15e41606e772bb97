"""From a configuration to networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from fomaug.errors import ArgumentError, did_you_mean
from fomaug.networks.config import ModelConfig
from fomaug.networks.generator import Generator
from fomaug.networks.keypoint_detector import KeypointDetector
from fomaug.networks.lite_config import LiteConfig
from fomaug.networks.lite_detector import LiteDetector
from fomaug.networks.lite_generator import LiteGenerator

AnyConfig = ModelConfig | LiteConfig
_CONFIGS: dict[str, type[ModelConfig] | type[LiteConfig]] = {"fomm": ModelConfig, "lite": LiteConfig}


def config_from_dict(values: Mapping[str, Any]) -> AnyConfig:
    """Read a configuration of any architecture; without `architecture` it is the official one.

    Raises:
        ArgumentError: for an unknown architecture, key or a missing one.
    """
    name = str(values.get("architecture", "fomm"))
    if name not in _CONFIGS:
        raise ArgumentError(
            f"architecture is {name!r}, one of {', '.join(_CONFIGS)} was expected{did_you_mean(name, _CONFIGS)}"
        )
    return _CONFIGS[name].from_dict(values)


def build_networks(config: AnyConfig) -> tuple[nn.Module, nn.Module]:
    """Build the keypoint detector and the generator, weights at random."""
    if isinstance(config, LiteConfig):
        return LiteDetector(config.detector), LiteGenerator(config.generator)
    return KeypointDetector(config.common, config.kp_detector), Generator(config.common, config.generator)
