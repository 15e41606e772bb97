"""`fomaug reconstruct`: rebuild clips from their first frame, and measure it."""

from __future__ import annotations

from pathlib import Path

import click

from fomaug.cli.evaluate import compare, judging


@click.command()
@click.argument("model_name", metavar="MODEL")
@click.argument("clips", type=click.Path(path_type=Path))
@judging
def reconstruct(
    model_name: str,
    clips: Path,
    output: Path | None,
    video: Path | None,
    landmarks: str | None,
    embedding: str | None,
    features: str | None,
    step: int,
    max_frames: int | None,
    device: str,
) -> int:
    """Rebuild CLIPS from their first frames with MODEL and measure how well that went.

    Judges from outside are functions of yours: a frame (H, W, 3) uint8 to points, to a vector, or to None. The exit
    code is 3 if clips were skipped.
    """
    judges = {"landmarks": landmarks, "embedding": embedding, "features": features}
    return compare((model_name,), clips, output, video, judges, step, max_frames, device)
