from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomaug.media import read_clip
from fomaug.networks import ModelConfig
from fomaug.networks.config import DiscriminatorConfig
from fomaug.training import TrainConfig


@pytest.fixture(scope="session")
def moving_shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write four clips of a textured disc that moves over a still ground, as folders of frames."""
    root = tmp_path_factory.mktemp("shapes")
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:64, 0:64]
    for clip in range(4):
        folder = root / f"clip{clip}"
        folder.mkdir()
        colour, ground = rng.uniform(0.4, 1, 3), rng.uniform(0, 0.5, 3)
        start, end = rng.uniform(18, 46, 2), rng.uniform(18, 46, 2)
        for frame in range(8):
            cx, cy = start + (end - start) * frame / 7
            inside = (x - cx) ** 2 + (y - cy) ** 2 < 144
            stripes = 0.75 + 0.25 * np.sin((x - cx) * 0.8)
            picture = np.where(inside[..., None], stripes[..., None] * colour, ground)
            Image.fromarray((picture * 255).astype(np.uint8)).save(folder / f"{frame:02d}.png")
    return root


@pytest.fixture(scope="session")
def shipped_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write every eighth frame of the example clips, rendered moving heads, at 64 x 64, one folder for each clip."""
    root = tmp_path_factory.mktemp("heads")
    for path in sorted((Path(__file__).parents[2] / "examples" / "clips").glob("*.mp4")):
        folder = root / path.stem
        folder.mkdir()
        for number, frame in enumerate(islice(read_clip(path), 0, 64, 8)):
            Image.fromarray(frame).resize((64, 64), Image.Resampling.BOX).save(folder / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def tiny_train(tiny_config: dict) -> TrainConfig:
    from dataclasses import replace

    discriminator = DiscriminatorConfig(block_expansion=8, max_features=32, num_blocks=3, sn=True, use_kp=True)
    model = replace(ModelConfig.from_dict(tiny_config), discriminator=discriminator)
    return TrainConfig(
        model=model,
        batch_size=4,
        num_epochs=1000,
        num_repeats=4,
        scales=(1, 0.5),
        lr_generator=2e-3,
        lr_discriminator=1e-3,
        lr_kp_detector=1e-3,
        epoch_milestones=(),
        ema=0.5,
    )
