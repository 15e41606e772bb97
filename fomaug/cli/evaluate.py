"""`fomaug evaluate`: several models on the same frames."""

from __future__ import annotations

from pathlib import Path

import click

from fomaug.cli.measuring import Measuring, with_measuring


@click.command()
@click.argument("clips", type=click.Path(path_type=Path))
@click.option(
    "--model", "models", multiple=True, required=True, help="An installed model, or a model file; give several."
)
@with_measuring
def evaluate(clips: Path, models: tuple[str, ...], measuring: Measuring) -> int:
    """Compare models: each rebuilds CLIPS from their first frames, all on the same frames.

    Judges from outside are functions of yours: a frame (H, W, 3) uint8 to points, to a vector, or to None. The exit
    code is 3 if clips were skipped.
    """
    return measuring.run(models, clips)
