"""`fomaug animate`: one picture, one clip, one video."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fomaug.cli._values import read_reference


@click.command(context_settings={"show_default": True})
@click.argument("image", type=click.Path(path_type=Path))
@click.argument("clip", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), help="The .mp4, .gif or .webp to write."
)
@click.option("--model", default="lite-256", help="An installed model, or a model file.")
@click.option("--compare", is_flag=True, help="Source, driving frame and result side by side.")
@click.option("--overlay", type=click.Choice(["keypoints", "flow", "occlusion"]), help="Draw what the networks see.")
@click.option("--relative/--absolute", default=True, help="Add the clip's motion, or take its pose.")
@click.option("--strength", default=1.0, help="Share of the motion.")
@click.option(
    "--reference",
    callback=read_reference,
    default="closest",
    help="Frame that is no motion: closest, first or a number.",
)
@click.option("--crop", type=click.Choice(["face", "frame"]), default="face", help="Part of the clip to look at.")
@click.option("--max-frames", type=click.IntRange(1), help="Use no more of the clip.")
@click.option("--batch-size", default=8, help="Frames that go through the model together.")
@click.option("--device", default="auto", help="auto, cpu, cuda, ...")
@click.option("--progress/--no-progress", default=True, help="Show a bar.")
def animate(image: Path, clip: Path, output: Path, **options: Any) -> None:
    """Animate the face in IMAGE as the face in CLIP moves.

    CLIP is a video, a GIF, an animated WebP or a folder of pictures.
    """
    from fomaug.visual import animate_clip

    click.echo(animate_clip(image, clip, output, **options))
