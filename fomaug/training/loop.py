"""The training loop on the CPU, on one GPU, or on several with `torchrun`."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from tqdm import tqdm

from fomaug.animator import Animator
from fomaug.errors import FomaugError, ResumeError
from fomaug.training.clips import open_clips
from fomaug.training.config import TrainConfig
from fomaug.training.losses import Features, pixels
from fomaug.training.ranks import Ranks
from fomaug.training.run_folder import Report, last_checkpoint, save_checkpoint
from fomaug.training.trainer import Precision, Trainer
from fomaug.weights import save_model


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
        resume: whether the run continues from its newest checkpoint; otherwise a folder with a checkpoint is refused.
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
        ResumeError: if `run` has a checkpoint and `resume` is False, or the checkpoint has another configuration.
        MediaError: for clips that cannot be read, or too few of them.
        TrainingError: if a loss is not finite; the checkpoints before it are kept.
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
