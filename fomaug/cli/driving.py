"""`fomaug animate` and `fomaug pool`: animate pictures by driving clips, and build driving pools of clips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from fomaug.cli.help import Command, Group, json_option, print_json, quiet_option
from fomaug.cli.options import options_of, read_face, read_reference
from fomaug.visual import AnimateOptions

if TYPE_CHECKING:
    from fomaug.driving import DrivingPool, MotionTrack
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


@click.group(cls=Group)
def pool() -> None:
    """Build driving pools from clips, and list their tracks."""


@pool.command()
@click.argument("clips", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), help="The pool file to write.")
@click.option("--model", "model_name", default="lite-256", help="An installed model, or a model file.")
@click.option(
    "--crop",
    type=click.Choice(["face", "frame"]),
    default="face",
    help="A fixed square around the face, or the whole frame.",
)
@click.option("--labels", help="CSV file with columns clip,label; or 'folders' for the names of the clips' folders.")
@click.option(
    "--max-frames",
    type=click.IntRange(1),
    default=2000,
    help="Largest number of frames of each clip.",
)
@click.option(
    "--on-error",
    type=click.Choice(["skip", "raise"]),
    default="skip",
    help="Policy for unusable clips: skip and name them, or stop at the first.",
)
@click.option("--gestures", is_flag=True, help="Add the named motions of a mean face.")
@click.option("--half", is_flag=True, help="Round keypoints to half precision, which halves the file.")
@click.option("--device", default="auto", help="auto, cpu, cuda, ...")
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=16,
    help="Number of frames in a batch of the model.",
)
@click.option("--progress/--no-progress", default=True, help="Show a progress bar.")
@quiet_option
def build(
    clips: tuple[Path, ...],
    output: Path,
    model_name: str,
    crop: Literal["face", "frame"],
    labels: str | None,
    max_frames: int,
    on_error: Literal["skip", "raise"],
    *,
    gestures: bool,
    half: bool,
    device: str,
    batch_size: int,
    progress: bool,
) -> int:
    """Write the motion of CLIPS to one pool file.

    CLIPS are videos, GIFs, animated WebPs, folders of pictures, or folders with any of these below them. The file
    contains no pixels. The exit code is 3 if clips were skipped.
    """
    from fomaug.driving import DrivingPool
    from fomaug.weights import load_model

    model = load_model(model_name, device=device)
    made = DrivingPool.from_clips(
        clips,
        model,
        labels=labels,
        crop=crop,
        max_frames=max_frames,
        on_error=on_error,
        progress=progress,
        batch_size=batch_size,
    )
    if gestures:
        made = made + _beside(DrivingPool.gestures(model), made)
    made = made.rounded() if half else made
    made.save(output)
    _report(made, output)
    return 3 if made.skipped else 0


@pool.command()
@click.argument("path", metavar="POOL", type=click.Path(path_type=Path))
@json_option
def show(path: Path, *, as_json: bool) -> None:
    """List the motion tracks of POOL, which is a file, or builtin, gestures, parametric or views."""
    shown = _open(path)
    rows = [_row(track) for track in shown]
    if as_json:
        print_json({**_head(shown), "tracks": rows})
        return
    click.echo(f"{len(shown)} tracks, {shown.num_frames} frames, hash {shown.hash[:12]}")
    click.echo(f"for model {shown.model_name} ({shown.model_hash[:12]})")
    for line in _table(rows, ("name", "label", "frames", "fps", "motion", "driver")):
        click.echo(line)


def _beside(gestures: DrivingPool, clips: DrivingPool) -> DrivingPool:
    """Rename gestures that have the name of a clip."""
    from fomaug.driving import DrivingPool

    named = [replace(track, name=f"gestures/{track.name}") if track.name in clips else track for track in gestures]
    return DrivingPool(named, gestures.model_name, gestures.model_hash)


def _open(path: Path) -> DrivingPool:
    from fomaug.driving import DrivingPool, is_named_pool, load_pool
    from fomaug.files import exists
    from fomaug.weights import load_model

    if is_named_pool(str(path)) or not exists(path):
        return load_pool(str(path), load_model("lite-256", device="cpu"))
    return DrivingPool.load(path)


def _report(made: DrivingPool, output: Path) -> None:
    size = output.stat().st_size / 1000
    click.echo(f"{output}: {len(made)} tracks, {made.num_frames} frames, {size:.0f} kB, hash {made.hash[:12]}")
    for track in made:
        if "note" in track.facts:
            click.echo(f"note: {track.name}: {track.facts['note']}", err=True)
    for clip, reason in made.skipped:
        click.echo(f"skipped: {clip}: {reason}", err=True)


def _head(shown: DrivingPool) -> dict[str, Any]:
    return {
        "hash": shown.hash,
        "model": shown.model_name,
        "model_hash": shown.model_hash,
        "frames": shown.num_frames,
    }


def _row(track: MotionTrack) -> dict[str, Any]:
    return {
        "name": track.name,
        "label": track.label,
        "frames": len(track),
        "fps": round(track.fps, 3),
        "motion": round(track.motion_range, 4),
        "driver": track.driver,
        "weight": track.weight,
        "clip_hash": track.clip_hash,
        "crop": track.crop,
        **track.facts,
    }


def _table(rows: list[dict[str, Any]], columns: tuple[str, ...]) -> list[str]:
    cells = [list(columns)] + [["-" if row[name] in (None, "") else str(row[name]) for name in columns] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(columns))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
