"""Configurations of the official architecture, in the layout of the official YAML files."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fomaug.errors import ArgumentError, did_you_mean, shortened
from fomaug.networks.bounds import check_divisible, check_side, check_value, resolution

T = TypeVar("T")


@dataclass(frozen=True)
class CommonConfig:
    """Numbers that all networks of a model share."""

    num_kp: int
    num_channels: int = 3
    estimate_jacobian: bool = True


@dataclass(frozen=True)
class KeypointDetectorConfig:
    """Numbers of `KeypointDetector`."""

    block_expansion: int
    max_features: int
    num_blocks: int
    temperature: float = 0.1
    scale_factor: float = 1
    single_jacobian_map: bool = False
    pad: int = 0


@dataclass(frozen=True)
class DenseMotionConfig:
    """Numbers of `DenseMotionNetwork`."""

    block_expansion: int
    max_features: int
    num_blocks: int
    scale_factor: float = 1
    kp_variance: float = 0.01


@dataclass(frozen=True)
class GeneratorConfig:
    """Numbers of `Generator`."""

    block_expansion: int
    max_features: int
    num_down_blocks: int
    num_bottleneck_blocks: int
    dense_motion: DenseMotionConfig
    estimate_occlusion_map: bool = False


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Numbers of `MultiScaleDiscriminator`."""

    scales: tuple[float, ...] = (1,)
    block_expansion: int = 64
    max_features: int = 512
    num_blocks: int = 4
    sn: bool = False
    use_kp: bool = False
    kp_variance: float = 0.01


@dataclass(frozen=True)
class ModelConfig:
    """A first-order motion model in the official architecture.

    Attributes:
        common: numbers that the networks share.
        kp_detector: numbers of the keypoint detector.
        generator: numbers of the generator, including dense motion.
        discriminator: numbers of the discriminator; None if the model is trained without one.
        size: side of the square input images; None for images at their own size.
    """

    common: CommonConfig
    kp_detector: KeypointDetectorConfig
    generator: GeneratorConfig
    discriminator: DiscriminatorConfig | None = None
    size: int | None = None

    architecture = "fomm"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelConfig:
        """Read `model_params` in the official layout, or the content of a whole official YAML file.

        Raises:
            ArgumentError: a key is unknown or missing, or a number is out of range; the message suggests the nearest
                known key.
        """
        if not any(section in values for section in ("model_params", *_PARTS)):
            near = difflib.get_close_matches("model_params", [key for key in values if isinstance(key, str)], n=1)
            raise ArgumentError(
                f"the configuration lacks model_params{f'; is {shortened(near[0])} meant for it?' if near else ''}"
            )
        params = dict(_mapping("model_params", values.get("model_params", values)))
        params.pop("architecture", None)
        _refuse_surplus("model_params", params, _PARTS)
        size = check_side("size", params.pop("size", None))
        if size is None:
            size = _frame_size(values)
        generator = dict(_take(params, "generator_params"))
        motion = dict(_take(generator, "dense_motion_params"))
        detector = dict(_take(params, "kp_detector_params"))
        common = dict(_take(params, "common_params"))
        discriminator = params.pop("discriminator_params", None)
        whole = cls(
            common=build(CommonConfig, "common_params", common),
            kp_detector=build(KeypointDetectorConfig, "kp_detector_params", detector),
            generator=build(
                GeneratorConfig,
                "generator_params",
                {**generator, "dense_motion": build(DenseMotionConfig, "dense_motion_params", motion)},
            ),
            discriminator=None
            if discriminator is None
            else build(DiscriminatorConfig, "discriminator_params", _mapping("discriminator_params", discriminator)),
            size=size,
        )
        _check_sides(whole)
        return whole

    def to_dict(self) -> dict[str, Any]:
        """Return the layout that `from_dict` reads, in plain JSON values."""
        generator = dataclasses.asdict(self.generator)
        generator["dense_motion_params"] = generator.pop("dense_motion")
        parts = {
            "architecture": self.architecture,
            "size": self.size,
            "common_params": dataclasses.asdict(self.common),
            "kp_detector_params": dataclasses.asdict(self.kp_detector),
            "generator_params": generator,
        }
        if self.discriminator is not None:
            parts["discriminator_params"] = dataclasses.asdict(self.discriminator)
        return parts


_KERNEL = 7  # side of the window that makes the heatmaps
_PARTS = ("common_params", "kp_detector_params", "generator_params", "discriminator_params", "size")


def build(kind: type[T], name: str, values: Mapping[str, Any]) -> T:
    """Build a frozen configuration from a mapping.

    Raises:
        ArgumentError: a key is unknown or missing, a value is not a number as expected, or a number is out of range.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    _refuse_surplus(name, values, fields)
    required = [key for key, field in fields.items() if field.default is dataclasses.MISSING]
    missing = [key for key in required if key not in values]
    if missing:
        raise ArgumentError(f"{name} lacks {', '.join(missing)}")
    for key, value in values.items():
        check_value(f"{name}.{key}", value, str(fields[key].type))
    return kind(**{key: _frozen(value) for key, value in values.items()})


def _frozen(value: Any) -> Any:
    """Convert lists to tuples at any depth."""
    return tuple(_frozen(part) for part in value) if isinstance(value, list) else value


def _mapping(name: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ArgumentError(f"{name} must hold keys and values, got {shortened(value)}")
    return value


def _take(values: dict[str, Any], key: str) -> Mapping[str, Any]:
    part = values.pop(key, None)
    if not isinstance(part, Mapping):
        keys = ", ".join(map(shortened, list(values)[:8])) or "none"
        raise ArgumentError(f"the configuration lacks {key}; its keys are {keys}")
    return part


def _refuse_surplus(name: str, values: Mapping[str, Any], known: Any) -> None:
    for key in values:
        if key not in known:
            hint = did_you_mean(key, known) if isinstance(key, str) else ""
            raise ArgumentError(f"{name} has an unknown key {shortened(key)}{hint}")


def _frame_size(values: Mapping[str, Any]) -> int | None:
    shape = _mapping("dataset_params", values.get("dataset_params") or {}).get("frame_shape")
    if shape is None:
        return None
    if not isinstance(shape, list | tuple) or not shape:
        raise ArgumentError(f"dataset_params.frame_shape must be a list like [256, 256, 3], got {shortened(shape)}")
    return check_side("dataset_params.frame_shape", shape[0])


def _check_sides(config: ModelConfig) -> None:
    """Check that the networks can halve the size of the images often enough."""
    if config.size is None:
        return
    check_divisible("generator_params", config.size, config.generator.num_down_blocks)
    detector, motion = config.kp_detector, config.generator.dense_motion
    side = resolution(config.size, detector.scale_factor)
    check_divisible("kp_detector_params", side, detector.num_blocks)
    check_divisible("dense_motion_params", resolution(config.size, motion.scale_factor), motion.num_blocks)
    if side + 2 * detector.pad < _KERNEL:
        raise ArgumentError(f"kp_detector_params: heatmaps of {side} pixels are too small for a window of {_KERNEL}")
