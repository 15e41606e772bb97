"""`fomaug train`, and the other commands with the trained model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from fomaug import load_model
from fomaug.cli import main
from fomaug.faces.canonical import mean_mesh


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Write two pictures with four frames side by side."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in ("a", "b"):
        coarse = rng.integers(0, 255, (8, 32, 3), np.uint8)
        Image.fromarray(coarse).resize((256, 64), Image.Resampling.BICUBIC).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def config(tmp_path: Path, tiny_config: dict) -> Path:
    """Write a configuration in the official layout."""
    path = tmp_path / "tiny.yaml"
    values = {
        "dataset_params": {"root_dir": "data", "frame_shape": [64, 64, 3]},
        "model_params": {
            **{key: value for key, value in tiny_config.items() if key != "size"},
            "discriminator_params": {"block_expansion": 8, "max_features": 16, "num_blocks": 2},
        },
        "train_params": {"num_epochs": 5, "num_repeats": 2, "batch_size": 2, "scales": [1], "epoch_milestones": []},
    }
    path.write_text(yaml.safe_dump(values))
    return path


FEATURES = """
import torch

def shades(image):
    return [image, image.mean(1, keepdim=True)]
"""


def test_a_model_is_trained_resumed_started_from_and_measured(
    clips: Path, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my_features.py").write_text(FEATURES)
    monkeypatch.syspath_prepend(tmp_path)
    run = tmp_path / "run"
    words = ["train", str(config), "--data", str(clips), "--out", str(run), "--device", "cpu"]
    words += ["--features", "my_features:shades"]
    assert main([*words, "--max-steps", "1"]) == 0
    assert main(words) == 2
    assert "already has a checkpoint; resume the run" in capsys.readouterr().err
    assert main([*words, "--max-steps", "3", "--resume"]) == 0
    assert [json.loads(line)["step"] for line in (run / "losses.jsonl").read_text().splitlines()] == [1, 2, 3]
    model = str(run / "model.safetensors")
    more = ["train", str(config), "--data", str(clips), "--out", str(tmp_path / "more"), "--max-steps", "1"]
    assert main([*more, "--init", model, "--device", "cpu", "--precision", "bfloat16"]) == 0
    assert "no --features: the perceptual loss compares pixels" in capsys.readouterr().err
    frames = tmp_path / "frames" / "clip"
    frames.mkdir(parents=True)
    for number, tone in enumerate((40, 60, 80)):
        Image.new("RGB", (64, 64), (tone, tone, tone)).save(frames / f"{number}.png")
    assert main(["reconstruct", model, str(frames.parent), "--device", "cpu"]) == 0
    assert "keypoint_distance" in capsys.readouterr().out
    assert load_model(model, device="cpu").detect(torch.rand(1, 3, 64, 64)).value.shape == (1, 4, 2)


def test_an_unknown_key_stops_the_command_and_suggests_the_nearest(
    clips: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    values = yaml.safe_load(config.read_text())
    values["train_params"]["num_epoch"] = 3
    config.write_text(yaml.safe_dump(values))
    assert main(["train", str(config), "--data", str(clips), "--out", str(tmp_path / "run")]) == 2
    assert "unknown key 'num_epoch'; did you mean 'num_epochs'?" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_misspelt_official_name_suggests_the_nearest(
    clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "vox-265", "--data", str(clips), "--out", str(tmp_path / "run")]) == 2
    assert "did you mean 'vox-256'" in capsys.readouterr().err


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Pack a portrait and a clip of noise, with the mean face as mesh."""
    folder, rng = tmp_path / "packed", np.random.default_rng(0)
    folder.mkdir()
    mesh = 0.8 * mean_mesh().numpy()
    pictures = rng.integers(0, 255, (3, 256, 256, 3), np.uint8)
    arrays = {
        "stills": pictures[:1],
        "stills_mesh": mesh[None],
        "stills_matte": np.full((1, 256, 256), 255, np.uint8),
        "clips": pictures[None, 1:],
        "clips_mesh": np.stack([[mesh, mesh]]),
        "clips_flow": np.zeros((1, 2, 64, 64, 2), np.int16),
        "clips_mask": np.zeros((1, 2, 64, 64), bool),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def test_the_face_model_is_trained_with_the_given_number_of_pairs(packed: Path, tmp_path: Path) -> None:
    words = ["train", "faces", "--data", str(packed), "--out", str(tmp_path / "run"), "--init", "lite-256"]
    assert main([*words, "--device", "cpu", "--pairs", "2", "--max-steps", "1"]) == 0
    with Image.open(tmp_path / "run" / "sample.png") as sheet:
        assert sheet.size == (2 * 256, 5 * 256), "two pairs, side by side"
    before, after = load_model("lite-256", device="cpu"), load_model(tmp_path / "run" / "model.safetensors")
    assert after.keypoint_names == before.keypoint_names and after.hash != before.hash


def test_pictures_packed_by_an_older_version_must_be_packed_again(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (packed / "stills_matte.npy").unlink()
    assert main(["train", "faces", "--data", str(packed), "--out", str(tmp_path / "run"), "--device", "cpu"]) == 2
    assert "stills_matte.npy is missing; pack the pictures again" in capsys.readouterr().err


def test_pairs_are_for_the_face_model(
    clips: Path, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", str(config), "--data", str(clips), "--out", str(tmp_path / "run")]
    assert main([*words, "--pairs", "4"]) == 2
    assert "--pairs is for `faces`" in capsys.readouterr().err
