from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import fomaug
from fomaug._errors import ResumeError
from fomaug.cli import main
from fomaug.training import TrainConfig, TrainingError, train


def losses(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]


def test_a_small_run_learns_to_move_shapes(tiny_train: TrainConfig, moving_shapes: Path, tmp_path: Path) -> None:
    weights = replace(tiny_train.weights, generator_gan=0)
    config = replace(tiny_train, weights=weights)
    model = fomaug.load_model(train(config, moving_shapes, tmp_path, max_steps=60, progress=False), device="cpu")
    seen = losses(tmp_path)
    first, last = seen[0]["perceptual"], sum(row["perceptual"] for row in seen[-10:]) / 10
    assert last < 0.45 * first
    assert model.size == 64
    assert (tmp_path / "pictures" / "step-00000010.png").exists()


def test_a_resumed_run_has_the_losses_of_an_unbroken_one(
    tiny_train: TrainConfig, moving_shapes: Path, tmp_path: Path
) -> None:
    config = replace(tiny_train, checkpoint_steps=2, keep_checkpoints=2)
    train(config, moving_shapes, tmp_path / "whole", max_steps=6, progress=False)
    train(config, moving_shapes, tmp_path / "broken", max_steps=3, progress=False)
    with (tmp_path / "broken" / "losses.jsonl").open("a") as file:
        file.write('{"step": 4, "perce')  # a line that a kill cut short
    train(config, moving_shapes, tmp_path / "broken", max_steps=6, resume=True, progress=False)
    assert losses(tmp_path / "broken") == losses(tmp_path / "whole")
    assert len(list((tmp_path / "whole").glob("step-*.pt"))) == 2
    whole, broken = (
        fomaug.load_model(tmp_path / run / "model.safetensors", device="cpu") for run in ("whole", "broken")
    )
    assert whole.hash == broken.hash


def test_a_run_is_neither_overwritten_nor_resumed_with_other_settings(
    tiny_train: TrainConfig, moving_shapes: Path, tmp_path: Path
) -> None:
    train(tiny_train, moving_shapes, tmp_path, max_steps=1, progress=False)
    with pytest.raises(ResumeError, match="holds a run already"):
        train(tiny_train, moving_shapes, tmp_path, max_steps=2, progress=False)
    with pytest.raises(ResumeError, match="other settings: batch_size"):
        train(replace(tiny_train, batch_size=2), moving_shapes, tmp_path, resume=True, max_steps=2, progress=False)


def test_training_starts_from_a_given_model(tiny_train: TrainConfig, moving_shapes: Path, tmp_path: Path) -> None:
    start = train(tiny_train, moving_shapes, tmp_path / "a", max_steps=1, progress=False)
    still = replace(tiny_train, lr_generator=0, lr_kp_detector=0, ema=0)
    init = fomaug.load_model(start, device="cpu", fold=False)
    continued = train(still, moving_shapes, tmp_path / "b", max_steps=1, init=init, progress=False)
    before = init.generator.final.weight
    after = fomaug.load_model(continued, device="cpu", fold=False).generator.final.weight
    assert before.equal(after)


def test_bfloat16_trains_as_well(tiny_train: TrainConfig, moving_shapes: Path, tmp_path: Path) -> None:
    train(tiny_train, moving_shapes, tmp_path, max_steps=1, precision="bfloat16", progress=False)
    assert all(value == value for row in losses(tmp_path) for value in row.values())  # no NaN


class Edges(torch.nn.Module):
    """Stands for a network of the user's, whose maps are compared."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 4, 3)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [image, self.layer(image)]


def test_a_network_among_the_features_is_frozen_and_not_saved(
    tiny_train: TrainConfig, moving_shapes: Path, tmp_path: Path
) -> None:
    edges = Edges()
    before = edges.layer.weight.clone()
    train(tiny_train, moving_shapes, tmp_path, features=edges, max_steps=2, progress=False)
    assert edges.layer.weight.equal(before)
    assert not edges.training
    assert edges.layer.weight.grad is None
    saved = torch.load(next(tmp_path.glob("step-*.pt")), weights_only=True)["networks"]
    assert not any("extract" in name or "layer" in name for name in saved)


def test_a_run_that_diverges_stops_and_says_so(tiny_train: TrainConfig, moving_shapes: Path, tmp_path: Path) -> None:
    def broken(image: torch.Tensor) -> list[torch.Tensor]:
        return [image * float("nan")]

    with pytest.raises(TrainingError, match=r"perceptual.* not finite at step 1"):
        train(tiny_train, moving_shapes, tmp_path, features=broken, max_steps=2, progress=False)
    assert not list(tmp_path.glob("step-*.pt"))


def test_training_leaves_the_global_random_state_alone(
    tiny_train: TrainConfig, moving_shapes: Path, tmp_path: Path
) -> None:
    before = torch.get_rng_state()
    train(tiny_train, moving_shapes, tmp_path, max_steps=1, progress=False)
    assert torch.get_rng_state().equal(before)


@pytest.mark.parametrize("option", [["--workers", "2"], ["--features", "math:sqrt"], ["--tensorboard"]])
def test_options_that_faces_would_ignore_are_refused(
    option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "faces", "--data", str(tmp_path), "--out", str(tmp_path / "run"), *option]) == 2
    assert f"{option[0]} is not for `faces`" in capsys.readouterr().err
