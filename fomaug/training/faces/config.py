"""The configuration of a training run, and the keypoints of each part of the face."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from fomaug.errors import ArgumentError
from fomaug.faces import KEYPOINT_POINTS
from fomaug.networks.lite_detector import LiteDetectorConfig
from fomaug.networks.lite_generator import LiteGeneratorConfig
from fomaug.training.faces.augmentation import Degradation
from fomaug.training.faces.pairs import Framing


def _rows(*names: str) -> tuple[int, ...]:
    return tuple(list(KEYPOINT_POINTS).index(name) for name in names)


EYES: Final = tuple(
    _rows(*(f"{part} {side}" for part in ("eye outer", "eye inner", "lid upper", "lid lower", "iris")))
    for side in ("right", "left")
)
MOUTH: Final = _rows(
    "mouth corner right",
    "mouth corner left",
    "lip upper outer",
    "lip upper inner",
    "lip lower inner",
    "lip lower outer",
)
NOSE: Final = _rows("brow right", "brow left", "brow inner right", "brow inner left", "nose bridge", "nose tip")
(BRIDGE,) = _rows("nose bridge")


def _detector() -> LiteDetectorConfig:
    return LiteDetectorConfig(eyes=EYES, mouth=MOUTH, nose=NOSE, bridge=BRIDGE)


def _generator() -> LiteGeneratorConfig:
    return LiteGeneratorConfig(eyes=EYES, bridge=BRIDGE)


@dataclass(frozen=True)
class FaceTrainConfig:
    """The configuration of a training run; the defaults are the final ones of the shipped weights.

    Framing, degradation and folds are newer than these weights, which were trained without them.

    docs/evidence/training-lite-256.md describes how the configuration changed during the training.

    Attributes:
        steps: number of steps of the optimisers.
        stills: number of pairs from portraits in a batch.
        clips: number of pairs from clips in a batch.
        still_views: number of further portraits in a batch, for the detector alone.
        clip_views: number of further frames of clips in a batch, for the detector alone.
        detector_rate: peak learning rate of the detector.
        generator_rate: peak learning rate of the generator.
        joint_from: share of the steps after which, in half of each batch, the generator uses the detector's keypoints
            and its losses have a gradient in the detector.
        joint_weight: weight of this gradient.
        ema: decay of the averaged weights.
        seed: seed of all random numbers.
        framing: crop squares around the faces.
        degradation: shares of the pairs of low resolution, without colour, and compressed.
        fold_weight: weight of the loss on folds of the flow.
        precision: "bf16" for networks in bfloat16 where this is safe, or "fp32".
        detector: configuration of the detector.
        generator: configuration of the generator.
    """

    steps: int = 7200
    stills: int = 4
    clips: int = 4
    still_views: int = 4
    clip_views: int = 8
    detector_rate: float = 2e-3
    generator_rate: float = 1.5e-3
    joint_from: float = 0.3
    joint_weight: float = 0.6
    ema: float = 0.997
    seed: int = 0
    framing: Framing = field(default_factory=Framing)
    degradation: Degradation = field(default_factory=Degradation)
    fold_weight: float = 0.5
    precision: str = "bf16"
    detector: LiteDetectorConfig = field(default_factory=_detector)
    generator: LiteGeneratorConfig = field(default_factory=_generator)

    def with_pairs(self, count: int) -> FaceTrainConfig:
        """Copy the configuration with `count` pairs in a batch, and a number of further pictures in proportion.

        Raises:
            ArgumentError: `count` is less than 2, one pair of portraits and one of clips.
        """
        if count < 2:
            raise ArgumentError(f"the number of pairs in a batch must be 2 or more, got {count}")
        half = count // 2
        return replace(self, stills=count - half, clips=half, still_views=count - half, clip_views=count)
