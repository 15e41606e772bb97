"""Every loss has an effect: trained on it alone, with one batch of the shipped clips, the networks reduce it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fomaug.training import TrainConfig
from fomaug.training.config import AugmentParams, LossWeights
from fomaug.training.model import Batch, ThinPlateSpline, pixels
from fomaug.training.pairs import ClipPairs, open_clips
from fomaug.training.trainer import Ranks, Trainer

NONE = LossWeights((0,), 0, 0, (0,), 0, 0)
STILL = {"lr_generator": 0, "lr_kp_detector": 0}
FAINT = 1e-9  # the adversarial losses are computed where the generator's weight is not 0
ALONE = {
    "perceptual": (replace(NONE, perceptual=(10,)), {}),
    "generator_gan": (replace(NONE, generator_gan=1), {"lr_discriminator": 0}),
    "feature_matching": (
        replace(NONE, generator_gan=FAINT, feature_matching=(10, 10, 10)),
        {"lr_discriminator": 0},
    ),
    "equivariance_value": (replace(NONE, equivariance_value=10), {}),
    "equivariance_jacobian": (replace(NONE, equivariance_jacobian=10), {}),
    "discriminator_gan": (replace(NONE, generator_gan=FAINT, discriminator_gan=1), STILL),
}


@pytest.fixture(scope="module")
def batch(shipped_clips: Path) -> Batch:
    pairs = ClipPairs(open_clips(shipped_clips), size=64, augment=AugmentParams(), num_repeats=2)
    sources, drivings = zip(*(pairs[i] for i in range(4)), strict=True)
    spline = ThinPlateSpline.draw(4, rng=np.random.default_rng(0))
    return Batch(torch.stack(sources), torch.stack(drivings), spline)


def course(config: TrainConfig, batch: Batch, name: str, steps: int) -> list[float]:
    trainer = Trainer(config, pixels, Ranks(0, 1, torch.device("cpu")))
    return [trainer.train_step(batch, "float32")[0][name] for _ in range(steps)]


@pytest.mark.parametrize("name", ALONE)
def test_each_loss_alone_decreases_in_training_and_not_without_updates(
    tiny_train: TrainConfig, batch: Batch, name: str
) -> None:
    weights, rates = ALONE[name]
    config = replace(tiny_train, weights=weights, ema=0, **rates)
    trained = course(config, batch, name, 20)
    assert min(trained[-5:]) < 0.7 * trained[0]
    still = course(replace(config, **STILL, lr_discriminator=0), batch, name, 3)
    assert still[-1] > 0.9 * still[0]
