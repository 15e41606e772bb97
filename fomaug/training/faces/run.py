"""A training run of the light face model: its configuration, and its state, which is saved, resumed and exported."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from fomaug.animator import Animator
from fomaug.errors import ArgumentError
from fomaug.faces import KEYPOINT_POINTS
from fomaug.files import replacing
from fomaug.networks import LiteConfig
from fomaug.networks.lite_detector import LiteDetector, LiteDetectorConfig
from fomaug.networks.lite_generator import LiteGenerator, LiteGeneratorConfig
from fomaug.training.faces.augmentation import Degradation
from fomaug.training.faces.pairs import Framing
from fomaug.weights import load_strictly, read_pickle, read_tensors, save_model


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


class TrainState:
    """Networks, their averages, optimisers, the step and the random generator of a run, all on one device."""

    def __init__(self, config: FaceTrainConfig, device: torch.device | str = "cpu") -> None:
        self.config = config
        self.step = 0
        self.device = torch.device(device)
        self.generator = torch.Generator(device).manual_seed(config.seed)
        with torch.random.fork_rng():
            torch.random.manual_seed(config.seed)
            self.networks = nn.ModuleDict(
                {"detector": LiteDetector(config.detector), "generator": LiteGenerator(config.generator)}
            )
        self.networks.apply(_channels_last).to(device)
        self.average = copy.deepcopy(self.networks).eval()
        self.average.requires_grad_(requires_grad=False)
        self.optimisers = {
            "detector": _optimiser(self.networks["detector"], config.detector_rate),
            "generator": _optimiser(self.networks["generator"], config.generator_rate),
        }

    @staticmethod
    def detector_of(networks: nn.ModuleDict) -> LiteDetector:
        """Return the detector with its type, which a `ModuleDict` does not have."""
        network = networks["detector"]
        assert isinstance(network, LiteDetector)
        return network

    @staticmethod
    def generator_of(networks: nn.ModuleDict) -> LiteGenerator:
        """Return the generator with its type, which a `ModuleDict` does not have."""
        network = networks["generator"]
        assert isinstance(network, LiteGenerator)
        return network

    def advance(self) -> None:
        """Set the learning rates of the next step: a short linear increase, then half a cosine."""
        done = min(self.step / self.config.steps, 1.0)
        factor = min(1.0, (self.step + 1) / 150) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
        rates = {"detector": self.config.detector_rate, "generator": self.config.generator_rate}
        for name, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = rates[name] * factor

    def autocast(self) -> torch.autocast:
        """Make an autocast context for bfloat16; it is disabled unless `precision` is "bf16"."""
        kind = self.device.type
        return torch.autocast(kind, torch.bfloat16, enabled=self.config.precision == "bf16")

    @torch.no_grad()
    def follow(self) -> None:
        """Update the averages of the networks, with a smaller decay in the first steps."""
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        new = self.networks.state_dict()
        pairs = [(value, new[name]) for name, value in self.average.state_dict().items()]
        averaged = [pair for pair in pairs if pair[0].is_floating_point()]
        follow = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        follow(*(list(side) for side in zip(*averaged, strict=True)), self.step)
        for value, latest in pairs:
            if not value.is_floating_point():
                value.copy_(latest)

    def start_from(self, weights: Path) -> None:
        """Load the weights of a model file; optimisers and step are not changed.

        Raises:
            WeightsError: the file's networks have another configuration.
        """
        tensors = read_tensors(weights)
        for networks in (self.networks, self.average):
            load_strictly(networks, tensors, str(weights))

    def save(self, path: Path) -> None:
        """Write the state atomically."""
        state: dict[str, Any] = {
            "step": self.step,
            "device": self.device.type,
            "generator": self.generator.get_state(),
            "networks": self.networks.state_dict(),
            "average": self.average.state_dict(),
            "optimisers": {name: optimiser.state_dict() for name, optimiser in self.optimisers.items()},
        }
        with replacing(path) as temporary:
            torch.save(state, temporary)

    def load(self, path: Path) -> None:
        """Restore a saved state; on another type of device, the random numbers differ."""
        state = read_pickle(path)
        self.step = state["step"]
        if state.get("device", "cpu") == self.device.type:
            self.generator.set_state(state["generator"])
        else:
            self.generator.manual_seed(self.config.seed + self.step)
        self.networks.load_state_dict(state["networks"])
        self.average.load_state_dict(state["average"])
        for name, optimiser in self.optimisers.items():
            optimiser.load_state_dict(state["optimisers"][name])


def _channels_last(module: nn.Module) -> None:
    """Convert weights to the memory layout that is faster on CPUs."""
    if isinstance(module, nn.Conv2d):
        module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)


def _optimiser(network: nn.Module, rate: float) -> torch.optim.Optimizer:
    return torch.optim.AdamW(network.parameters(), rate, betas=(0.9, 0.99), weight_decay=0.01)


def to_animator(state: TrainState, *, name: str = "lite-256") -> Animator:
    """Make an animator of the averaged networks."""
    config = LiteConfig(state.config.detector, state.config.generator, 256, tuple(KEYPOINT_POINTS))
    return Animator(
        config,
        state.average["detector"],
        state.average["generator"],
        name=name,
        keypoint_names=config.keypoint_names,
    )


def export_model(state: TrainState, path: str | os.PathLike[str], *, facts: Mapping[str, Any] | None = None) -> Path:
    """Write the averaged networks as a model file.

    Args:
        state: state of a training run.
        path: path of the file; its stem is the model's name.
        facts: further information, such as licence, data and measures.

    Returns:
        The path of the file.
    """
    known = {"recipe": "fomaug.training.faces", "steps": state.step, "seed": state.config.seed}
    return save_model(to_animator(state, name=Path(path).stem), path, facts={**known, **(facts or {})})
