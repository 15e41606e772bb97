"""`fomaug model`, `train`, `bench` and `export`: list, describe, import, train, measure and export models."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from fomaug.cli.help import Command, Group, json_option, print_json, quiet_option

if TYPE_CHECKING:
    from fomaug.animator import Animator
    from fomaug.evaluation import Bench
    from fomaug.weights import ModelInfo


@click.group(cls=Group)
def model() -> None:
    """List, describe and import models."""


@model.command("list")
@json_option
def list_(*, as_json: bool) -> int:
    """List the models that --model accepts by name.

    Exit codes: 0 all models are listed, 3 some files are broken and are named.
    """
    from fomaug.weights import list_models, models_folder

    damages: list[str] = []
    found = list(list_models(on_damage=damages.append))
    if as_json:
        print_json([_plain(info) for info in found])
    for info in () if as_json else found:
        licence = info.facts.get("licence") or info.facts.get("license") or ""
        size = f"{info.size} px" if info.size else "any size"
        click.echo(f"{info.name:20} {info.architecture:6} {size:9} {info.parameters / 1e6:6.1f} M  {licence}".rstrip())
    for damage in damages:
        click.echo(f"left out: {damage}", err=True)
    click.echo(f"Imported models are stored in {models_folder()}.", err=True)
    return 3 if damages else 0


def _plain(info: ModelInfo) -> dict[str, Any]:
    return {**asdict(info), "path": str(info.path)}


@model.command()
@click.argument("name")
@json_option
def info(name: str, *, as_json: bool) -> None:
    """Describe the model NAME: an installed model, or the path of a model file."""
    from fomaug.weights import model_info

    found = model_info(name)
    if as_json:
        print_json(_plain(found))
        return
    click.echo(f"{found.name}\n  file          {found.path} ({found.bytes / 1e6:.1f} MB)")
    click.echo(f"  architecture  {found.architecture}, {found.parameters / 1e6:.1f} M parameters")
    click.echo(f"  size          {f'{found.size} x {found.size}' if found.size else 'the size of each picture'}")
    for key, value in found.facts.items():
        click.echo(f"  {key:13} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")


@model.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--config", help="YAML file of the checkpoint, or the name of an official configuration.")
@click.option("--name", help="Name of the model; by default the name of the file.")
@click.option("--overwrite", is_flag=True, help="Replace an imported model of this name.")
@quiet_option
def import_(file: Path, config: str | None, name: str | None, *, overwrite: bool) -> None:
    """Import an official checkpoint FILE (.pth.tar), so that --model accepts its name.

    The file is a pickle; it is read without running any code in it.
    """
    from fomaug.weights import import_official

    made = import_official(file, config=config, name=name, overwrite=overwrite)
    click.echo(f"imported as {made.stem}: {made}")


@click.command(cls=Command)
@click.argument("model_name", metavar="MODEL")
@click.argument("folder", metavar="OUT_DIR", type=click.Path(path_type=Path, file_okay=False))
@quiet_option
def export(model_name: str, folder: Path) -> None:
    """Write MODEL as detector.onnx, encoder.onnx and generator.onnx into OUT_DIR, and check them in ONNX Runtime."""
    from fomaug.weights import export_onnx, load_model

    differences = export_onnx(load_model(model_name, device="cpu"), folder)
    for name, difference in differences.items():
        click.echo(f"{folder / name}: differs from the model by at most {difference:.1e}")


@click.command(cls=Command)
@click.option("--model", "model_name", default="lite-256", help="An installed model, or a model file.")
@click.option("--against", default="vox-256", help="Official architecture to compare with, or 'none'.")
@click.option("--threads", type=click.IntRange(1), help="Number of CPU threads; all by default.")
@click.option("--device", default="auto", help="auto, cpu, cuda, ...")
@click.option("--dtype", default="auto", help="auto, float32, bfloat16 or float16.")
@click.option("--batch", "batch_size", type=click.IntRange(1), default=1, help="Number of pictures in a batch.")
@click.option("--rounds", type=click.IntRange(1), default=10, help="Number of measurements of each stage.")
@json_option
def bench(
    model_name: str,
    against: str,
    threads: int | None,
    device: str,
    dtype: str,
    batch_size: int,
    rounds: int,
    *,
    as_json: bool,
) -> None:
    """Time detector, encoder and generator in alternation with the official architecture.

    The official architecture has random weights, because weights do not change the speed.
    """
    from tqdm import tqdm

    from fomaug.evaluation import bench as run_bench
    from fomaug.evaluation import official_animator
    from fomaug.weights import load_model

    animators = [load_model(model_name, device=device, dtype=dtype)]
    if against != "none":
        animators.append(official_animator(against).to(animators[0].device, animators[0].dtype))
    with tqdm(total=rounds, unit="round", disable=None, leave=False) as bar:
        result = run_bench(animators, batch_size=batch_size, rounds=rounds, threads=threads, progress=bar.update)
    print_json(result.to_dict()) if as_json else click.echo(_table(result))


def _table(result: Bench) -> str:
    machine = ", ".join(f"{key} {value}" for key, value in result.machine.items())
    lines = [
        machine,
        f"{'model':28} {'stage':8} {'GFLOP':>9} {'ms':>9} {'quartiles':>19} {'a second':>9} {'peak MB':>9}",
    ]
    for name, timings in result.models.items():
        for t in timings:
            spread = f"{t.spread_ms[0]:.2f} to {t.spread_ms[1]:.2f}"
            lines.append(
                f"{name:28} {t.stage:8} {t.gflop:9.3f} {t.ms:9.2f} {spread:>19} {t.per_second:9.2f} {t.peak_mb:9.1f}"
            )
    if len(result.models) > 1:
        lines.append(f"frames a second, first over last: {result.ratio:.1f}")
    return "\n".join(lines)


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
    from fomaug.imports import named_callable
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
        click.echo(f"{path}: the model; losses.jsonl and pictures/ are in the same folder")


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
