"""`fomaug expand`: a face dataset in, a larger one out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fomaug.cli.values import read_gates, read_labels, read_reference, read_weights

if TYPE_CHECKING:
    from fomaug.expand import ExpandReport, Failure

_SHOWN = 10  # failures in the terminal; all are in expand.json


@click.command(context_settings={"show_default": True})
@click.argument("dataset", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--driving", default="builtin", help="builtin, gestures, parametric, a pool file, a clip or a folder.")
@click.option("--copies", default=8, help="Copies of each picture.")
@click.option("--model", default="lite-256", help="An installed model, or a model file.")
@click.option("--config", help="Of an official checkpoint given as --model: YAML file or name.")
@click.option("--seed", default=0, help="Of all draws.")
@click.option("--format", type=click.Choice(["folder", "webdataset", "parquet"]), default="folder")
@click.option("--image-format", type=click.Choice(["same", "jpeg", "png", "webp"]), default="same")
@click.option("--quality", default=95, help="Of JPEG and WebP, 1 to 100.")
@click.option("--samples-per-shard", default=1000, help="In each tar or parquet file.")
@click.option("--selection", type=click.Choice(["diverse", "uniform", "sequence"]), default="diverse")
@click.option("--strength-range", type=float, default=(0.3, 1.0), help="Share of the motion: LOW HIGH.", nargs=2)
@click.option("--region", type=click.Choice(["all", "head", "mouth", "eyes", "expression"]), default="all")
@click.option(
    "--reference",
    callback=read_reference,
    default="closest",
    help="Frame that is no motion: closest, first or a number.",
)
@click.option("--relative/--absolute", default=True, help="Add the clip's motion, or take its pose.")
@click.option("--relative-jacobian/--absolute-jacobian", default=True, help="The same for local deformation.")
@click.option("--adapt-scale/--no-adapt-scale", default=True, help="Scale the motion to the face.")
@click.option("--yaw-range", type=float, nargs=2, help="Turn of the driving head in degrees: LOW HIGH.")
@click.option("--pitch-range", type=float, nargs=2, help="Nod of the driving head in degrees: LOW HIGH.")
@click.option(
    "--labels", callback=read_labels, default="keep", help="keep, from_clip, drop, or OLD=NEW,... with * for others."
)
@click.option("--faces", type=click.Choice(["frame", "boxes", "detect"]), default="frame", help="What is animated.")
@click.option("--on-missing", type=click.Choice(["skip", "copy", "error"]), default="skip", help="Without a face.")
@click.option("--annotations", help="Landmarks, boxes or masks that move along: a file or folder.")
@click.option("--annotation-format", help="Its name, where the path does not tell.")
@click.option("--clip-labels", help="CSV file with columns clip,label, for any pool; or folders.")
@click.option("--clip-weights", callback=read_weights, help="CLIP=WEIGHT,...: how often clips are drawn; 0 is never.")
@click.option("--clip-crop", type=click.Choice(["face", "frame"]), default="face")
@click.option("--split", type=click.Choice(["train", "val", "test", "all"]), default="train")
@click.option("--balance/--no-balance", default=False, help="Make more copies in small classes.")
@click.option("--max-copies", default=100, help="Of one picture, whatever --balance asks for.")
@click.option("--gates", callback=read_gates, default="on", help="on, off, or NAME=THRESHOLD,... for some.")
@click.option("--tries", default=3, help="Draws for a copy that the gates refuse, before it is given up.")
@click.option("--on-error", type=click.Choice(["skip", "raise"]), default="skip")
@click.option("--max-pixels", default=64_000_000, help="Larger pictures are not read.")
@click.option("--batch-size", default=16, help="Copies that go through the model together.")
@click.option("--device", default="auto", help="auto, cpu, cuda, ...")
@click.option("--dtype", default="auto", help="auto, float32, bfloat16 or float16.")
@click.option("--workers", default=2, help="Threads that read and write.")
@click.option("--resume/--no-resume", default=False, help="Go on with an interrupted job, or start in a new folder.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--progress/--no-progress", default=True, help="Show a bar.")
def expand(dataset: Path, out: Path, **options: Any) -> int:
    """Animate every picture of DATASET several times and write the copies to OUT, with their labels.

    DATASET is a folder of class folders, or of pictures. With a top folder train, val or test, only train is expanded.
    Every copy has a row in OUT/manifest.jsonl; OUT/expand.json sums up; OUT/contact_sheet.png shows some.

    Exit codes: 0 all done, 2 wrong arguments or input, 3 done but for pictures, clips or annotations that are
    named, 130 interrupted: the same command with --resume goes on.
    """
    from fomaug.expand import expand as run

    report = run(dataset, out, **options)
    if options["dry_run"]:
        _print_plan(report)
        return 0
    _print_report(report)
    return 0 if report.complete else 3


def _print_plan(report: ExpandReport) -> None:
    _print_unused(report, "and so on")
    click.echo(f"{report.sources} pictures, {report.planned} copies, about {_size(report.estimated_bytes or 0)}")
    for label, count in report.labels:
        click.echo(f"  {label or '(no label)':30} {count:8} copies")
    click.echo(f"would go to {report.out}; nothing was written")


def _print_report(report: ExpandReport) -> None:
    _print_unused(report, f"all of them are in {report.out / 'expand.json'}")
    if report.unannotated:
        click.echo(f"{report.unannotated} pictures have no annotations; their copies have none, either", err=True)
    rejected = f", {report.rejected} rejected by the gates" if report.rejected else ""
    click.echo(f"{report.written} copies of {report.sources} pictures, {report.new} of them new{rejected}")
    click.echo(f"copies         {report.out}")
    if report.written:
        click.echo(f"manifest       {report.out / 'manifest.jsonl'}")
    if report.contact_sheet:
        click.echo(f"contact sheet  {report.contact_sheet}")


def _print_unused(report: ExpandReport, rest: str) -> None:
    for folder in report.expanded:
        click.echo(f"{folder} is an expanded dataset and was left out", err=True)
    for kind, failures in _unused(report):
        if failures:
            click.echo(f"{len(failures)} {kind}{'s' * (len(failures) > 1)} could not be used:", err=True)
        for failure in failures[:_SHOWN]:
            click.echo(f"  {failure.source}: {failure.reason}", err=True)
        if len(failures) > _SHOWN:
            click.echo(f"  ... {rest}", err=True)


def _unused(report: ExpandReport) -> tuple[tuple[str, tuple[Failure, ...]], ...]:
    return ("picture", report.failed), ("clip", report.skipped_clips), ("annotation", report.flawed)


def _size(count: int) -> str:
    number, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000 or unit == "TB":
            break
        number /= 1000
    return f"{number:.0f} {unit}" if number >= 10 or unit == "B" else f"{number:.1f} {unit}"
