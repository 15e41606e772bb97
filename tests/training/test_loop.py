from __future__ import annotations

import json
import os
import pickle
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import fresh
import numpy as np
import pytest
import torch
from PIL import Image

import fomaug
from fomaug.cli import main
from fomaug.errors import MissingExtraError, ResumeError
from fomaug.training import TrainConfig, TrainingError, train


def losses(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "losses.jsonl").read_text().splitlines()]


def test_a_small_run_overfits_the_shipped_clips(tiny_train: TrainConfig, shipped_clips: Path, tmp_path: Path) -> None:
    model = fomaug.load_model(train(tiny_train, shipped_clips, tmp_path, max_steps=60, progress=False), device="cpu")
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
    with pytest.raises(ResumeError, match="already has a checkpoint"):
        train(tiny_train, moving_shapes, tmp_path, max_steps=2, progress=False)
    with pytest.raises(ResumeError, match="other settings: batch_size"):
        train(replace(tiny_train, batch_size=2), moving_shapes, tmp_path, resume=True, max_steps=2, progress=False)


def test_a_damaged_checkpoint_is_named_with_a_remedy(
    tiny_train: TrainConfig, moving_shapes: Path, tmp_path: Path
) -> None:
    (tmp_path / "step-00000002.pt").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(ResumeError, match=r"; delete it, and the run resumes from the one before it \(.*step-0+2\.pt"):
        train(tiny_train, moving_shapes, tmp_path, resume=True, device="cpu", progress=False)


def test_training_starts_from_a_given_model(tiny_train: TrainConfig, moving_shapes: Path, tmp_path: Path) -> None:
    start = train(tiny_train, moving_shapes, tmp_path / "a", max_steps=1, progress=False)
    still = replace(tiny_train, lr_generator=0, lr_kp_detector=0, ema=0)
    init = fomaug.load_model(start, device="cpu", fold=False)
    continued = train(still, moving_shapes, tmp_path / "b", max_steps=1, init=init, progress=False)
    before = init.generator.final.weight
    after = fomaug.load_model(continued, device="cpu", fold=False).generator.final.weight
    assert before.equal(after)


def test_bfloat16_rounds_what_is_computed_and_keeps_the_weights_in_float32(
    tiny_train: TrainConfig, moving_shapes: Path, tmp_path: Path
) -> None:
    for precision in ("float32", "bfloat16"):
        train(tiny_train, moving_shapes, tmp_path / precision, max_steps=2, precision=precision, progress=False)
    plain, rounded = (losses(tmp_path / precision)[0] for precision in ("float32", "bfloat16"))
    assert plain != rounded
    assert rounded == pytest.approx(plain, rel=0.05, abs=0.05)
    weights = fomaug.load_model(tmp_path / "bfloat16" / "model.safetensors", device="cpu", fold=False).state_dict()
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32, torch.int64}


def test_the_average_follows_the_weights_by_its_decay(
    tiny_train: TrainConfig, moving_shapes: Path, tmp_path: Path
) -> None:
    def weights(run: str, steps: int, **changes: float) -> torch.Tensor:
        path = train(replace(tiny_train, **changes), moving_shapes, tmp_path / run, max_steps=steps, progress=False)
        return fomaug.load_model(path, device="cpu", fold=False).generator.final.weight

    now = [weights(f"now{step}", step, ema=0) for step in (1, 2, 3)]
    average = now[0]  # the first step begins it
    for later in now[1:]:
        average = 0.75 * average + 0.25 * later
    torch.testing.assert_close(weights("average", 3, ema=0.75), average, atol=1e-6, rtol=0)


KILLED = """
    import pickle, sys
    from pathlib import Path
    import torch
    torch.set_num_threads(1)
    from fomaug.training import train
    config = pickle.loads(Path(sys.argv[1]).read_bytes())
    train(config, Path(sys.argv[2]), Path(sys.argv[3]), progress=False, device="cpu")
"""


def test_a_killed_run_resumes_with_the_same_losses(
    tiny_train: TrainConfig, moving_shapes: Path, tmp_path: Path
) -> None:
    config = replace(tiny_train, checkpoint_steps=3, keep_checkpoints=2)
    (tmp_path / "config").write_bytes(pickle.dumps(config))
    (tmp_path / "run.py").write_text(textwrap.dedent(KILLED))
    run = tmp_path / "killed"
    words = [tmp_path / "run.py", tmp_path / "config", moving_shapes, run]
    process = fresh.start(words, env={**os.environ, "PYTHONPATH": str(Path(fomaug.__file__).parents[1])})
    deadline = time.monotonic() + 120
    while not (run / "losses.jsonl").exists() or len(losses_so_far(run)) < 5:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.communicate()
    steps = len(losses_so_far(run)) + 3  # steps lost by the kill, and new ones
    train(config, moving_shapes, run, max_steps=steps, resume=True, progress=False, device="cpu")
    train(config, moving_shapes, tmp_path / "whole", max_steps=steps, progress=False, device="cpu")
    assert losses(run) == losses(tmp_path / "whole")
    assert len(losses(run)) == steps


def losses_so_far(run: Path) -> list[str]:
    return (run / "losses.jsonl").read_text().splitlines()


def test_tensorboard_is_an_extra_that_is_named_before_anything_is_trained(
    tiny_train: TrainConfig, moving_shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'fomaug\[tensorboard\]'"):
        train(tiny_train, moving_shapes, tmp_path, max_steps=1, tensorboard=True, progress=False)
    assert not list(tmp_path.glob("losses*")) and not list(tmp_path.glob("step-*"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # tensorboard warns about its own parts
def test_tensorboard_shows_the_losses_of_the_log(tiny_train: TrainConfig, moving_shapes: Path, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(tiny_train, moving_shapes, tmp_path, max_steps=2, tensorboard=True, progress=False)
    events = accumulator.EventAccumulator(str(tmp_path)).Reload()
    for name in set(losses(tmp_path)[0]) - {"step"}:
        shown = [(event.step, event.value) for event in events.Scalars(name)]
        assert shown == [(row["step"], pytest.approx(row[name], rel=1e-5)) for row in losses(tmp_path)]


def test_early_pictures_show_source_driving_and_prediction(
    tiny_train: TrainConfig, moving_shapes: Path, tmp_path: Path
) -> None:
    train(replace(tiny_train, batch_size=2), moving_shapes, tmp_path, max_steps=10, progress=False)
    found = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert found == ["step-00000001.png", "step-00000010.png"]
    with Image.open(tmp_path / "pictures" / found[0]) as picture:
        sheet = np.asarray(picture)
    assert sheet.shape == (3 * 64, 2 * 64, 3)
    frames = [np.asarray(Image.open(path)) for path in sorted(moving_shapes.rglob("*.png"))]
    for row in (0, 1):  # source and driving are frames of the clips
        shown = sheet[row * 64 : (row + 1) * 64, :64].astype(int)
        assert min(np.abs(shown - frame).max() for frame in frames) <= 1


class Edges(torch.nn.Module):
    """A small feature extractor in place of a user's network."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 4, 3)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [image, self.layer(image)]


def test_a_feature_network_is_frozen_and_not_saved(
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


def test_a_run_that_diverges_raises_an_error(tiny_train: TrainConfig, moving_shapes: Path, tmp_path: Path) -> None:
    def broken(image: torch.Tensor) -> list[torch.Tensor]:
        return [image * float("nan")]

    with pytest.raises(TrainingError, match=r"must be finite, got .*perceptual.* at step 1"):
        train(tiny_train, moving_shapes, tmp_path, features=broken, max_steps=2, progress=False)
    assert not list(tmp_path.glob("step-*.pt"))


def test_training_does_not_change_the_global_random_state(
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
    assert f"{option[0]} is fixed by the recipe of `faces`" in capsys.readouterr().err
