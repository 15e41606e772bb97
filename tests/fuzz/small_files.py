"""Small good files of every kind, made by the library itself."""

from __future__ import annotations

import copy
import io
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
import yaml

TINY: dict[str, Any] = {
    "size": 32,
    "common_params": {"num_kp": 3},
    "kp_detector_params": {
        "temperature": 0.1,
        "block_expansion": 2,
        "max_features": 4,
        "num_blocks": 2,
        "scale_factor": 0.5,
    },
    "generator_params": {
        "block_expansion": 2,
        "max_features": 4,
        "num_down_blocks": 1,
        "num_bottleneck_blocks": 1,
        "estimate_occlusion_map": True,
        "dense_motion_params": {"block_expansion": 2, "max_features": 4, "num_blocks": 1, "scale_factor": 0.5},
    },
}
LITE: dict[str, Any] = {
    "architecture": "lite",
    "size": 64,
    "detector": {"num_keypoints": 3, "input_size": 32, "widths": [2, 2, 2], "jacobian_level": 1},
    "generator": {
        "num_keypoints": 3,
        "widths": [2, 2, 2],
        "encoder_blocks": 1,
        "decoder_blocks": 0,
        "motion": {"size": 16, "widths": [2, 2]},
    },
}


def build_model(values: dict[str, Any]) -> Any:
    from fomaug.animator import Animator
    from fomaug.networks import build_networks, config_from_dict

    config = config_from_dict(values)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return Animator(config, *build_networks(config), name="tiny")


@cache
def weights_files() -> list[bytes]:
    from fomaug import save_model

    with tempfile.TemporaryDirectory() as folder:
        paths = [
            save_model(
                build_model(values), Path(folder) / f"{number}.safetensors", facts={"licence": "MIT", "loss": 0.5}
            )
            for number, values in enumerate((LITE, TINY))
        ]
        return [path.read_bytes() for path in paths]


@cache
def official_files() -> list[bytes]:
    model = build_model(TINY)
    content = {
        "generator": model.generator.state_dict(),
        "kp_detector": model.detector.state_dict(),
        "epoch": 3,
        "optimizer": {"state": {0: {"step": 1, "exp_avg": torch.zeros(3)}}, "param_groups": [{"betas": (0.5, 0.999)}]},
    }
    files = []
    for zipped in (True, False):
        file = io.BytesIO()
        torch.save(content, file, _use_new_zipfile_serialization=zipped)
        files.append(file.getvalue())
    return files


@cache
def config_files() -> list[bytes]:
    params = {key: value for key, value in copy.deepcopy(TINY).items() if key != "size"}
    params["discriminator_params"] = {"scales": [1, 0.5], "block_expansion": 8, "num_blocks": 2, "sn": True}
    whole = {
        "dataset_params": {
            "frame_shape": [32, 32, 3],
            "id_sampling": True,
            "augmentation_params": {"flip_param": {"time_flip": True}, "resize_param": {"ratio": [0.9, 1.1]}},
        },
        "model_params": params,
        "train_params": {
            "num_epochs": 5,
            "epoch_milestones": [3, 4],
            "lr_generator": 0.0002,
            "scales": [1, 0.5],
            "loss_weights": {"perceptual": [10, 10], "generator_gan": 1},
            "transform_params": {"sigma_affine": 0.05, "points_tps": 5},
        },
        "visualizer_params": {"kp_size": 5},
    }
    return [yaml.safe_dump(whole).encode(), yaml.safe_dump(whole, default_flow_style=True).encode()]


@cache
def pool_files() -> list[bytes]:
    from fomaug import DrivingPool, Keypoints, MotionTrack

    generator = torch.Generator().manual_seed(0)
    tracks = [
        MotionTrack(
            name,
            Keypoints(torch.rand(4, 5, 2, generator=generator), torch.rand(4, 5, 2, 2, generator=generator)),
            29.97,
            "nod",
            "ab" * 32,
            "me",
            0.5,
            (1, 2, 3, 4),
            {"note": "née"},
        )
        for name in ("a", "b")
    ]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pool.safetensors"
        DrivingPool(tracks, "tiny", "hash").save(path)
        return [path.read_bytes()]


@cache
def manifest_files() -> list[bytes]:
    """A summary and a manifest, with a zero byte between them."""
    motion = {
        "clip": "nod",
        "clip_hash": "ab" * 32,
        "driver": "me",
        "strength": 0.8,
        "skipped": False,
        "others": [{"clip": "nod", "clip_hash": "", "driver": "", "strength": 1.0, "skipped": False}],
    }
    row = {
        "file": "a/1.png",
        "source": "a.png",
        "source_hash": "cd" * 32,
        "copy": 0,
        "label": "smile",
        "split": "train",
        "bytes": 100,
        "size": [64, 64],
        "motion": motion,
        "scores": {"sharpness": 0.5},
    }
    rows = "".join(json.dumps({**row, "copy": number}) + "\n" for number in range(3))
    summary = {"fomaug": "0", "state": "done", "model": {"name": "tiny"}, "failed": []}
    return [json.dumps(summary).encode() + b"\0" + rows.encode()]
