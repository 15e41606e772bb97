"""Read training configurations from files, or return official ones by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from fomaug.errors import ArgumentError, did_you_mean
from fomaug.files import exists
from fomaug.networks import OFFICIAL
from fomaug.training.config import AugmentParams, LossWeights, TrainConfig
from fomaug.weights import read_settings, settings_of

_FLIPS = AugmentParams(horizontal_flip=True, time_flip=True)
_COLOURS = replace(_FLIPS, brightness=0.1, contrast=0.1, saturation=0.1, hue=0.1)
_NOT_ADVERSARIAL = LossWeights(generator_gan=0)

# Training parameters of the official YAML files that differ from the defaults of `TrainConfig`.
_RECIPES: dict[str, dict[str, Any]] = {
    "vox-256": {
        "num_repeats": 75,
        "batch_size": 40,
        "id_sampling": True,
        "augment": _COLOURS,
        "weights": _NOT_ADVERSARIAL,
    },
    "vox-adv-256": {
        "num_epochs": 150,
        "epoch_milestones": (),
        "num_repeats": 75,
        "batch_size": 36,
        "id_sampling": True,
        "augment": _COLOURS,
    },
    "taichi-256": {
        "num_repeats": 150,
        "batch_size": 30,
        "id_sampling": True,
        "augment": _COLOURS,
        "weights": _NOT_ADVERSARIAL,
    },
    "taichi-adv-256": {
        "num_epochs": 150,
        "epoch_milestones": (),
        "num_repeats": 150,
        "batch_size": 27,
        "id_sampling": True,
        "augment": _COLOURS,
        "lr_kp_detector": 0,
    },
    "mgif-256": {
        "num_repeats": 25,
        "batch_size": 36,
        "augment": replace(_FLIPS, hue=0.5, zoom_range=(0.9, 1.1)),
    },
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
