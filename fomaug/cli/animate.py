"""`fomaug animate`: one picture, one clip, one video; or many of them from a list."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from fomaug.cli.values import read_face, read_reference

if TYPE_CHECKING:
    from fomaug.visual import AnimateReport


@click.command(context_settings={"show_default": True})
@click.argument("image", type=click.Path(path_type=Path), required=False)
@click.argument("clip", type=click.Path(path_type=Path), required=False)
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path),
    help="The .mp4, .gif or .webp to write; .png and the like for a driving picture; a folder with --pairs.",
)
@click.option("--pairs", type=click.Path(path_type=Path), help="CSV file with columns source,driving: many in one run.")
@click.option(
    "--root", type=click.Path(path_type=Path), help="Folder that the list's paths start from, if not its own."
)
@click.option(
    "--video-format", type=click.Choice(["mp4", "gif", "webp"]), default="mp4", help="Of pairs without an out."
)
@click.option("--overwrite", is_flag=True, help="With --pairs, make results anew that are there already.")
@click.option("--model", default="lite-256", help="An installed model, or a model file.")
@click.option("--config", help="Of an official checkpoint given as --model: YAML file or name.")
@click.option("--relative/--absolute", default=True, help="Add the clip's motion, or take its pose.")
@click.option("--strength", default=1.0, help="Share of the motion.")
@click.option(
    "--region",
    type=click.Choice(["all", "head", "mouth", "eyes", "expression"]),
    default="all",
    help="Part of the face that moves.",
)
@click.option(
    "--reference",
    callback=read_reference,
    default="closest",
    help="Frame of the clip that is no motion: closest, first or a number.",
)
@click.option(
    "--source-frame",
    callback=read_reference,
    default="closest",
    help="Frame of a source that is a video: closest, first or a number.",
)
@click.option(
    "--face", callback=read_face, default="auto", help="Part that is animated: auto, whole or X,Y,WIDTH,HEIGHT."
)
@click.option("--crop", type=click.Choice(["face", "frame"]), default="face", help="Part of the clip to look at.")
@click.option("--compare", is_flag=True, help="Source, driving frame and result side by side.")
@click.option("--overlay", type=click.Choice(["keypoints", "flow", "occlusion"]), help="Draw what the networks see.")
@click.option("--audio/--no-audio", default=True, help="Keep the clip's sound, in .mp4.")
@click.option("--max-frames", type=click.IntRange(1), help="Use no more of the clip.")
@click.option("--max-pixels", default=64_000_000, help="Larger pictures are not read.")
@click.option("--batch-size", default=8, help="Frames that go through the model together.")
@click.option("--device", default="auto", help="auto, cpu, cuda, ...")
@click.option("--dtype", default="auto", help="auto, float32, bfloat16 or float16.")
@click.option("--progress/--no-progress", default=True, help="Show a bar.")
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
    """Animate the face in IMAGE as the face in CLIP moves.

    CLIP is a video, a GIF, an animated WebP or a folder of pictures; or one picture, for its pose and expression. IMAGE
    is a picture, or any of these, for one frame of it.

    With --pairs, many: fomaug animate --pairs LIST.csv -o FOLDER. Results that are there are kept, so the same command
    goes on where it was stopped.

    Exit codes: 0 all done, 2 wrong arguments or input, 3 done but for pairs that are named.
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
        raise click.UsageError(f"with --pairs, sources and clips come from the list; take {str(image)!r} away")
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
    kept = f", {len(report.kept)} were there already" if report.kept else ""
    click.echo(f"{len(report.made)} made{kept}, in {output}")
