"""`fomaug train`: train a model on clips by a configuration, or the light face model by its recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from click.core import ParameterSource

from fomaug.cli.help import Command, quiet_option

if TYPE_CHECKING:
    from fomaug.animator import Animator


@click.command(cls=Command)
@click.argument("config", metavar="CONFIG")
@click.option(
    "--data", required=True, type=click.Path(path_type=Path), help="Folder of clips; for `faces`, of packed pictures."
)
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--resume", is_flag=True, help="Continue from the newest checkpoint of the run, or start a new run.")
@click.option(
    "--init", "init_name", help="An installed model, or a model file, whose weights the training starts from."
)
@click.option("--features", help="module:attribute of a feature extractor for the perceptual loss.")
@click.option("--device", default="auto", help="auto, cpu, cuda, ...")
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), default="float32")
@click.option("--workers", type=click.IntRange(0), default=0, help="Number of processes that read clips.")
@click.option("--max-steps", type=click.IntRange(1), help="Number of steps after which the training stops.")
@click.option(
    "--pairs", type=click.IntRange(2), help="For `faces`: number of pairs of pictures in a batch; 8 by default."
)
@click.option("--tensorboard", is_flag=True, help="Also write losses for TensorBoard.")
@quiet_option
def train(
    config: str,
    data: Path,
    out: Path,
    init_name: str | None,
    features: str | None,
    device: str,
    precision: Literal["float32", "bfloat16"],
    workers: int,
    max_steps: int | None,
    pairs: int | None,
    *,
    resume: bool,
    tensorboard: bool,
) -> None:
    """Train a model with CONFIG: a YAML file, the name of an official configuration, or `faces`.

    `faces` trains the light face model, on the CPU unless --device is given; its data folder is
    described in docs/evidence/training-lite-256.md. Several GPUs are used with
    torchrun --nproc-per-node N -m fomaug train ...
    """
    if config == "faces":
        _refuse_for_faces(features=features, precision=precision, workers=workers, tensorboard=tensorboard)
        given = click.get_current_context().get_parameter_source("device") is ParameterSource.COMMANDLINE
        _train_faces(data, out, init_name, device if given else "cpu", steps=max_steps, pairs=pairs)
        return
    if pairs is not None:
        raise click.UsageError("--pairs is for `faces`; for other models, set batch_size in CONFIG")
    from fomaug.names import named_callable
    from fomaug.training import read_config
    from fomaug.training import train as run_training

    parsed = read_config(config)
    first = os.environ.get("RANK", "0") == "0"  # only one of several processes prints
    if features is None and first:
        click.echo(
            "no --features: the perceptual loss compares pixels at every scale, not the features of a network", err=True
        )
    path = run_training(
        parsed,
        data,
        out,
        features=named_callable(features) if features else None,
        resume=resume,
        init=_init(init_name) if init_name else None,
        device=device,
        precision=precision,
        workers=workers,
        tensorboard=tensorboard,
        max_steps=max_steps,
    )
    if first:
        click.echo(f"{path}: the model; losses.jsonl and pictures/ beside it")


def _refuse_for_faces(**options: object) -> None:
    """Raise an error for options that the recipe for faces fixes."""
    context = click.get_current_context()
    for name in options:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name} is fixed by the recipe of `faces`; remove the option")


def _train_faces(data: Path, out: Path, init: str | None, device: str, *, steps: int | None, pairs: int | None) -> None:
    from fomaug.training.faces import FaceTrainConfig, train_faces

    config = FaceTrainConfig() if steps is None else FaceTrainConfig(steps=steps)
    config = config if pairs is None else config.with_pairs(pairs)
    train_faces(config, data, out, init=Path(init) if init else None, device=device)
    click.echo(f"{out}: the run")


def _init(name: str) -> Animator:
    from fomaug.weights import load_model

    return load_model(name, device="cpu", fold=False)
