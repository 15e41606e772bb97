"""`fomaug bench`: measure the speed of a model on this machine, next to the official architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fomaug.cli.help import Command, json_option, print_json

if TYPE_CHECKING:
    from fomaug.evaluation import Bench


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
