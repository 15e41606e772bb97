"""Training pictures for all tests of the light face model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fomaug.faces.canonical import mean_mesh
from fomaug.geometry import identity_grid
from fomaug.networks.lite_motion import LiteMotionConfig
from fomaug.training.faces import FaceTrainConfig, pack_clips, pack_stills


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pack three portraits and two clips of noise, with the mean face as mesh."""
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    mesh = (mean_mesh().numpy() * 0.8 + [1, 1, 0]) * 127.5
    _write_pictures(folder / "stills" / "images", {f"{i}.png": (256, 256) for i in range(3)}, rng)
    np.savez(folder / "stills" / "landmarks.npz", files=["0.png", "1.png", "2.png"], landmarks=np.stack([mesh] * 3))
    _write_pictures(folder / "clips" / "set", {"a.png": (256, 768), "b.png": (256, 768)}, rng)
    flow = np.zeros((3, 64, 64, 2), np.int16)
    np.savez(folder / "clips" / "set" / "a.npz", flow=flow, mask=np.ones((3, 64, 64), bool))
    np.savez(folder / "clips" / "mesh.npz", files=["a.png", "b.png"], landmarks=np.stack([[mesh] * 3] * 2))
    out = folder / "packed"
    assert pack_stills(folder / "stills", out) == 3
    assert pack_clips(folder / "clips", out) == 2
    return out


def _write_pictures(folder: Path, sizes: dict[str, tuple[int, int]], rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    for name, size in sizes.items():
        coarse = rng.integers(0, 255, (size[0] // 32, size[1] // 32, 3), np.uint8)
        Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC).save(folder / name)


@pytest.fixture
def smooth_picture() -> torch.Tensor:
    x, y = identity_grid((64, 64)).unbind(-1)
    return torch.stack([0.5 + 0.4 * torch.sin(3 * x + y), 0.5 + 0.3 * torch.cos(2 * y), 0.5 + 0.2 * x])[None]


@pytest.fixture
def matte() -> torch.Tensor:
    """Draw the rough matte of a head and shoulders."""
    x, y = identity_grid((64, 64)).unbind(-1)
    return ((x.square() + (y / 1.3).square() < 0.4) | ((y > 0.6) & (x.abs() < 0.8))).float()[None, None]


@pytest.fixture
def tiny() -> FaceTrainConfig:
    return FaceTrainConfig(
        steps=4,
        stills=2,
        clips=1,
        still_views=1,
        clip_views=1,
        joint_from=0.5,
        precision="fp32",
        detector=replace(FaceTrainConfig().detector, widths=(4, 4, 4, 4, 4)),
        generator=replace(
            FaceTrainConfig().generator, widths=(4, 4, 4), motion=LiteMotionConfig(widths=(4, 4, 4, 4, 4))
        ),
    )
