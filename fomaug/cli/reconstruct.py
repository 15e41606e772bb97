"""`fomaug reconstruct`: rebuild clips from their first frame, and measure it."""

from __future__ import annotations

from pathlib import Path

import click

from fomaug.cli.measuring import Measuring, with_measuring


@click.command()
@click.argument("model_name", metavar="MODEL")
@click.argument("clips", type=click.Path(path_type=Path))
@with_measuring
def reconstruct(model_name: str, clips: Path, measuring: Measuring) -> int:
    """Rebuild CLIPS from their first frames with MODEL and measure how well that went.

    Judges from outside are functions of yours: a frame (H, W, 3) uint8 to points, to a vector, or to None. The exit
    code is 3 if clips were skipped.
    """
    return measuring.run((model_name,), clips)
