"""What many tests share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and golden tensors; it lies beside the project or nowhere."""
    folder = Path(os.environ.get("FOMAUG_SHARED", Path(__file__).parents[2] / "shared"))
    if not folder.is_dir():
        pytest.skip("the shared data is not here; FOMAUG_SHARED names its folder")
    return folder


TINY = {
    "size": 64,
    "common_params": {"num_kp": 4, "num_channels": 3, "estimate_jacobian": True},
    "kp_detector_params": {
        "temperature": 0.1,
        "block_expansion": 8,
        "max_features": 32,
        "scale_factor": 0.25,
        "num_blocks": 3,
    },
    "generator_params": {
        "block_expansion": 8,
        "max_features": 32,
        "num_down_blocks": 2,
        "num_bottleneck_blocks": 2,
        "estimate_occlusion_map": True,
        "dense_motion_params": {"block_expansion": 8, "max_features": 32, "num_blocks": 3, "scale_factor": 0.25},
    },
}


@pytest.fixture(scope="session")
def tiny_config() -> dict[str, object]:
    """The configuration of `tiny_model`, in the official layout."""
    return TINY


def build_tiny():  # type: ignore[no-untyped-def]
    """An animator of the official architecture, small, with fixed random weights: no face model, but exact."""
    from fomaug.animator import Animator
    from fomaug.networks import build_networks, config_from_dict

    config = config_from_dict(TINY)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        detector, generator = build_networks(config)
        for name, parameter in detector.named_parameters():
            if name.startswith("kp."):
                torch.nn.init.normal_(parameter, std=0.5)
    return Animator(config, detector, generator, name="tiny").requires_grad_(False)


@pytest.fixture(scope="session")
def tiny_model():  # type: ignore[no-untyped-def]
    return build_tiny()


def build_tiny_pool(model):  # type: ignore[no-untyped-def]
    """Three tracks of twelve frames: points that wander smoothly, each track with a label."""
    from fomaug import DrivingPool, Keypoints, MotionTrack

    rng = np.random.default_rng(1)
    tracks = []
    for i, name in enumerate(("nod", "shake", "smile")):
        steps = torch.from_numpy(rng.normal(0, 0.02, (12, 4, 2)).cumsum(0)).float()
        start = torch.from_numpy(rng.uniform(-0.5, 0.5, (1, 4, 2))).float()
        jacobian = torch.eye(2) + torch.from_numpy(rng.normal(0, 0.02, (12, 4, 2, 2)).cumsum(0)).float()
        keypoints = Keypoints(start + steps, jacobian)
        tracks.append(MotionTrack(name=name, keypoints=keypoints, fps=25.0, label=name, clip_hash=f"{i:064x}"))
    return DrivingPool(tracks, model_name=model.name, model_hash=model.hash)


@pytest.fixture(scope="session")
def tiny_pool(tiny_model):  # type: ignore[no-untyped-def]
    return build_tiny_pool(tiny_model)
