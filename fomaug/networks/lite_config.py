"""The configuration of the light architecture."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fomaug.errors import ArgumentError, shortened
from fomaug.networks.bounds import MOST_LEVELS, check_divisible, check_side
from fomaug.networks.config import build
from fomaug.networks.lite_detector import LiteDetectorConfig
from fomaug.networks.lite_generator import LiteGeneratorConfig
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
