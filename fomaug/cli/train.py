"""`fomaug train`: on clips, by a configuration; or the light face model, by its own recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from fomaug.animator import Animator


@click.command()
@click.argument("config", metavar="CONFIG")
@click.option(
    "--data", required=True, type=click.Path(path_type=Path), help="Folder of clips (for faces: of packed pictures)."
)
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="Folder of the run.")
@click.option("--resume", is_flag=True, help="Go on from the newest checkpoint of the run, or start a new one.")
@click.option("--init", "init_name", help="An installed model, or a model file, to start from.")
@click.option("--features", help="module:attribute of a feature extractor for the perceptual loss.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, ...")
@click.option("--precision", type=click.Choice(["float32", "bfloat16"]), default="float32", show_default=True)
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes that read clips.")
@click.option("--max-steps", type=click.IntRange(1), help="Stop after so many steps.")
@click.option("--pairs", type=click.IntRange(2), help="For `faces`: pairs of pictures in a batch; 8 if left out.")
@click.option("--tensorboard", is_flag=True, help="Write losses for TensorBoard, too.")
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
    """Train a model by CONFIG: a YAML file, the name of an official configuration, or `faces`.

    `faces` trains the light face model, on the CPU unless --device is given; see docs/training-lite-256.md for what its
    data folder holds. On several GPUs: torchrun --nproc-per-node N -m fomaug train ...
    """
    if config == "faces":
        _refuse_for_faces(features=features, precision=precision, workers=workers, tensorboard=tensorboard)
        given = click.get_current_context().get_parameter_source("device") is ParameterSource.COMMANDLINE
        _train_faces(data, out, init_name, device if given else "cpu", steps=max_steps, pairs=pairs)
        return
    if pairs is not None:
        raise click.UsageError("--pairs is for `faces`; the batch size of other models stands in CONFIG")
    from fomaug.plugins import named_callable
    from fomaug.training import read_config
    from fomaug.training import train as run_training

    parsed = read_config(config)
    speaks = os.environ.get("RANK", "0") == "0"  # of several processes one
    if features is None and speaks:
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
    if speaks:
        click.echo(f"{path}: the model; losses.jsonl and pictures/ beside it")


def _refuse_for_faces(**options: object) -> None:
    """Nothing is dropped in silence: the recipe for faces settles these itself."""
    context = click.get_current_context()
    for name in options:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name} is not for `faces`, whose recipe settles it")


def _train_faces(data: Path, out: Path, init: str | None, device: str, *, steps: int | None, pairs: int | None) -> None:
    from fomaug.training.faces import FaceTrainConfig, train_faces

    config = FaceTrainConfig() if steps is None else FaceTrainConfig(steps=steps)
    config = config if pairs is None else config.with_pairs(pairs)
    train_faces(config, data, out, init=Path(init) if init else None, device=device)
    click.echo(f"{out}: the run")


def _init(name: str) -> Animator:
    from fomaug.weights import load_model

    return load_model(name, device="cpu", fold=False)
