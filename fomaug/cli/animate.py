"""`fomaug animate`: animate one picture by one clip, or many pairs from a list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from fomaug.cli.help import Command, quiet_option
from fomaug.cli.options import options_of, read_face, read_reference
from fomaug.visual import AnimateOptions

if TYPE_CHECKING:
    from fomaug.visual import AnimateReport


@click.command(cls=Command)
@click.argument("image", type=click.Path(path_type=Path), required=False)
@click.argument("clip", type=click.Path(path_type=Path), required=False)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The .mp4, .gif or .webp file to write; an image file for a driving picture; a folder with --pairs.",
)
@click.option("--pairs", type=click.Path(path_type=Path), help="CSV file with columns source,driving, one pair a row.")
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    help="Folder that the paths in the list are relative to; by default that of the list.",
)
@click.option(
    "--video-format",
    type=click.Choice(["mp4", "gif", "webp"]),
    default="mp4",
    help="Format of results without a name in the column out.",
)
@click.option("--overwrite", is_flag=True, help="With --pairs, also make results that exist already.")
@click.option("--model", default="lite-256", help="An installed model, or a model file.")
@click.option("--config", help="Configuration of an official checkpoint given by --model: a YAML file or a name.")
@options_of(AnimateOptions, callbacks={"reference": read_reference, "source_frame": read_reference, "face": read_face})
@click.option("--device", default="auto", help="auto, cpu, cuda, ...")
@click.option("--dtype", default="auto", help="auto, float32, bfloat16 or float16.")
@click.option("--progress/--no-progress", default=True, help="Show a progress bar.")
@quiet_option
def animate(
    image: Path | None,
    clip: Path | None,
    output: Path,
    pairs: Path | None,
    root: Path | None,
    video_format: Literal["mp4", "gif", "webp"],
    *,
    overwrite: bool,
    **options: Any,
) -> int:
    """Animate the face in IMAGE with the motion of the face in CLIP.

    CLIP is a video, a GIF, an animated WebP or a folder of pictures; or one picture with a pose and an expression.
    IMAGE is a picture, or a clip of which one frame is animated.

    A list animates many pairs: fomaug animate --pairs LIST.csv -o FOLDER. Existing results are kept, so the same
    command continues an interrupted run.

    Exit codes: 0 success, 2 wrong arguments or input, 3 some pairs failed and are named.
    """
    from fomaug.visual import animate_clip, animate_pairs

    def on_note(note: str) -> None:
        click.echo(f"note: {note}", err=True)

    if pairs is None:
        if image is None or clip is None:
            raise click.UsageError("give IMAGE and CLIP, or a list with --pairs")
        click.echo(animate_clip(image, clip, output, on_note=on_note, **options))
        return 0
    if image is not None:
        raise click.UsageError(f"with --pairs, sources and clips come from the list; remove {str(image)!r}")
    report = animate_pairs(
        pairs, output, root=root, video_format=video_format, overwrite=overwrite, on_note=on_note, **options
    )
    _print_report(report, output)
    return 0 if report.complete else 3


def _print_report(report: AnimateReport, output: Path) -> None:
    if report.failed:
        click.echo(f"{len(report.failed)} of the pairs could not be animated:", err=True)
    for failure in report.failed:
        click.echo(f"  {failure.source} by {failure.driving}: {failure.reason}", err=True)
    kept = f", {len(report.kept)} existed already" if report.kept else ""
    click.echo(f"{len(report.made)} made{kept}, in {output}")
