"""The numbers a light model is built from."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from fomaug._errors import ArgumentError
from fomaug.networks.config import build
from fomaug.networks.lite_detector import LiteDetectorConfig
from fomaug.networks.lite_generator import LiteGeneratorConfig
from fomaug.networks.lite_motion import LiteMotionConfig

_PARTS: Final = ("eyes", "mouth", "nose")
_EYE_POINTS: Final = 5


@dataclass(frozen=True)
class LiteConfig:
    """A light first-order motion model.

    Attributes:
        detector: the keypoint detector's numbers.
        generator: the generator's numbers, dense motion included.
        size: side of the square pictures it works on.
        keypoint_names: what each keypoint is on the face.
    """

    detector: LiteDetectorConfig = field(default_factory=LiteDetectorConfig)
    generator: LiteGeneratorConfig = field(default_factory=LiteGeneratorConfig)
    size: int | None = 256
    keypoint_names: tuple[str, ...] = ()

    architecture = "lite"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LiteConfig:
        """Read what `to_dict` wrote.

        Raises:
            ArgumentError: for an unknown or missing key, or parts of the face made of keypoints that are not there.
        """
        parts = {key: value for key, value in values.items() if key != "architecture"}
        generator = dict(parts.pop("generator", {}))
        motion = build(LiteMotionConfig, "generator.motion", generator.pop("motion", {}))
        drawing = build(LiteGeneratorConfig, "generator", {**generator, "motion": motion})
        detecting = build(LiteDetectorConfig, "detector", parts.pop("detector", {}))
        for name, known in (("generator", drawing), ("detector", detecting)):
            _check_parts(name, known)
        return build(cls, "the configuration", {**parts, "generator": drawing, "detector": detecting})

    def to_dict(self) -> dict[str, Any]:
        """Write plain JSON values; of parts that are not there nothing, so that models without them keep their hash."""
        values = dataclasses.asdict(self)
        for part in (values["detector"], values["generator"]):
            for name in _PARTS:
                if not part.get(name):
                    part.pop(name, None)
            if not any(name in part for name in _PARTS):
                del part["bridge"]
        return {"architecture": self.architecture, **values}


def _check_parts(name: str, config: LiteGeneratorConfig | LiteDetectorConfig) -> None:
    """Refuse parts that are no lists of keypoints: configurations come from files of strangers."""
    eyes = config.eyes if isinstance(config.eyes, tuple) else (config.eyes,)
    rows: list[Any] = [*eyes]
    if isinstance(config, LiteDetectorConfig):
        rows += [row for row in (config.mouth, config.nose) if row != ()]
    if rows:
        rows.append((config.bridge,))
    fives = all(isinstance(eye, tuple) and len(eye) == _EYE_POINTS for eye in eyes)
    known = range(config.num_keypoints)
    if not fives or not all(isinstance(row, tuple) and all(point in known for point in row) for row in rows):
        raise ArgumentError(f"{name}: eyes must be rows of five, mouth and nose rows, of keypoints below {len(known)}")
