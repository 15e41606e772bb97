"""The training loop on the CPU, on one GPU, or on several with `torchrun`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from fomaug.animator import Animator
from fomaug.errors import FomaugError, MissingExtraError, ResumeError, WeightsError
from fomaug.files import MANIFEST, read_text, replacing, write_file
from fomaug.training.config import TrainConfig
from fomaug.training.model import Batch, Features, pixels
from fomaug.training.pairs import open_clips
from fomaug.training.trainer import Precision, Ranks, Trainer
from fomaug.weights import read_pickle, save_model


class Report:
    """A writer of `losses.jsonl`, and of `pictures/` with source, driving and prediction for a few steps."""

    def __init__(self, run: Path, board: Any) -> None:
        self.run, self.board = run, board

    @classmethod
    def open(cls, run: Path, *, from_step: int, tensorboard: bool) -> Report:
        """Start or continue a report; lines of a killed run after `from_step` are removed."""
        path = run / "losses.jsonl"
        if path.exists():
            lines = read_text(path, MANIFEST).splitlines(keepends=True)
            kept = [line for line in lines if _step(line) in range(from_step + 1)]
            write_file(path, "".join(kept).encode())
        return cls(run, _board(run) if tensorboard else None)

    def write(self, step: int, losses: dict[str, float], batch: Batch, prediction: Tensor) -> None:
        """Write the losses of a step, and a picture at steps 1, 10, 100 and every 1000."""
        with (self.run / "losses.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, **losses}) + "\n")
        if self.board is not None:
            for name, value in losses.items():
                self.board.add_scalar(name, value, step)
        if step in (1, 10, 100) or step % 1000 == 0:
            self._picture(step, batch, prediction)

    def close(self) -> None:
        """Flush and close the TensorBoard files."""
        if self.board is not None:
            self.board.close()

    def _picture(self, step: int, batch: Batch, prediction: Tensor) -> None:
        rows = [part[:8].detach().float().cpu() for part in (batch.source, batch.driving, prediction)]
        sheet = torch.cat([torch.cat(list(row), dim=2) for row in rows], dim=1)  # (3, 3 S, 8 S)
        folder = self.run / "pictures"
        folder.mkdir(exist_ok=True)
        pixels = (sheet.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / f"step-{step:08d}.png")


def _step(line: str) -> int:
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return -1  # the line is incomplete, because the process was killed


def _board(run: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise MissingExtraError("tensorboard", "tensorboard") from error
    return SummaryWriter(str(run))


_PATTERN = "step-*.pt"


def save_checkpoint(run: Path, step: int, content: Mapping[str, Any], *, keep: int) -> Path:
    """Write a checkpoint atomically, then delete all but the newest `keep`."""
    target = run / f"step-{step:08d}.pt"
    with replacing(target) as temporary:
        torch.save(dict(content), temporary)
    for old in sorted(run.glob(_PATTERN))[:-keep]:
        old.unlink()
    return target


def last_checkpoint(run: Path) -> dict[str, Any] | None:
    """Read the newest checkpoint of a run; None if there is none.

    Raises:
        ResumeError: the file is damaged, or is not a checkpoint.
    """
    found = sorted(run.glob(_PATTERN))
    if not found:
        return None
    try:
        content = read_pickle(found[-1])
    except WeightsError as error:
        raise ResumeError(
            f"the newest checkpoint cannot be read; delete it, and the run resumes from the one before it ({error})"
        ) from error
    if not isinstance(content, dict) or "step" not in content:
        raise ResumeError(f"{found[-1]} is not a checkpoint of a training run; delete it, or train into another folder")
    return content


class TrainingError(FomaugError, ArithmeticError):
    """A training run has diverged."""


def train(
    config: TrainConfig,
    clips: Path,
    run: Path,
    *,
    features: Features | None = None,
    resume: bool = False,
    init: Animator | None = None,
    device: str | torch.device = "auto",
    precision: Precision = "float32",
    workers: int = 0,
    tensorboard: bool = False,
    max_steps: int | None = None,
    progress: bool = True,
) -> Path:
    """Train a first-order motion model on clips (paper: Sec. 3.3).

    If `torchrun` starts several processes, each has its own device and its share of every epoch; they share gradients
    and, on GPUs, batch statistics.

    Args:
        config: configuration of the run.
        clips: folder of videos, gifs, folders of frames, or pictures with the frames side by side; frames are resized
            to squares.
        run: folder for checkpoints, `losses.jsonl`, pictures and the model.
        features: feature extractor for the perceptual loss, (B, 3, h, w) in [0, 1] to feature maps; None compares the
            pixels at every scale. A network is moved to the device, set to `eval` and frozen.
        resume: whether the run continues from its newest checkpoint; otherwise a folder with a checkpoint is an error.
        init: model whose weights the training starts from, loaded with `fold=False`.
        device: device of the training; "auto" is the first CUDA device, or the CPU without one.
        precision: dtype of the networks; "bfloat16" uses autocast.
        workers: number of processes that read clips.
        tensorboard: whether losses are also written for TensorBoard.
        max_steps: number of steps after which the training stops; None for all epochs.
        progress: whether to show a progress bar.

    Returns:
        The model file, `run / model.safetensors`, with averaged weights unless `config.ema` is 0.

    Raises:
        ResumeError: `run` has a checkpoint and `resume` is False, or the checkpoint has another configuration.
        MediaError: a clip cannot be read, or there are too few clips.
        TrainingError: a loss is not finite; the checkpoints before it are kept.
    """
    ranks = Ranks.join(device)
    run.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(config, features or pixels, ranks, init=init)
    checkpoint = last_checkpoint(run)
    if checkpoint is not None and not resume:
        raise ResumeError(f"{run} already has a checkpoint; resume the run, or train into another folder")
    if checkpoint is not None:
        trainer.load(checkpoint)
    report = Report.open(run, from_step=trainer.step, tensorboard=tensorboard) if ranks.first else None
    opened = open_clips(clips)
    with tqdm(initial=trainer.step, unit="step", disable=None if progress and ranks.first else True) as bar:
        for batch in trainer.batches(opened, workers):
            if max_steps is not None and trainer.step >= max_steps:
                break
            losses, prediction = trainer.train_step(batch, precision)
            _check_finite(losses, trainer.step)
            bar.update()
            if report is not None:
                report.write(trainer.step, losses, batch, prediction)
            if ranks.first and trainer.step % config.checkpoint_steps == 0:
                save_checkpoint(run, trainer.step, trainer.state(), keep=config.keep_checkpoints)
    if report is not None:
        report.close()
    if ranks.first:
        save_checkpoint(run, trainer.step, trainer.state(), keep=config.keep_checkpoints)
        save_model(trainer.animator(), run / "model.safetensors", facts={"steps": trainer.step}, half=False)
    ranks.leave()
    return run / "model.safetensors"


def _check_finite(losses: dict[str, float], step: int) -> None:
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        raise TrainingError(
            f"losses must be finite, got {', '.join(f'{losses[name]} for {name}' for name in bad)} at step {step}: the "
            "run has diverged; lower the learning rates, or train in float32 if it was bfloat16"
        )
