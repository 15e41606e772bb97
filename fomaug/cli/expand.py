"""The command `fomaug expand`, which enlarges a face dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fomaug.cli.options import options_of
from fomaug.cli.values import read_gates, read_labels, read_reference, read_weights
from fomaug.expand import ExpandPlan, ExpandReport, Failure

_SHOWN = 10  # failures that the terminal shows; expand.json lists all of them


@click.command(context_settings={"show_default": True})
@click.argument("dataset", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@options_of(
    ExpandPlan,
    callbacks={
        "reference": read_reference,
        "labels": read_labels,
        "clip_weights": read_weights,
        "gates": read_gates,
    },
)
@click.option("--resume/--no-resume", default=False, help="Go on with an interrupted job, or start in a new folder.")
@click.option("--dry-run", is_flag=True, help="Count the copies and write nothing.")
@click.option("--progress/--no-progress", default=True, help="Show a progress bar.")
def expand(dataset: Path, out: Path, **options: Any) -> int:
    """Animate every image of DATASET several times and write the copies to OUT, with their labels.

    DATASET is a folder of class folders, or of images. In a dataset with split folders, only train is expanded. Every
    copy has a row in OUT/manifest.jsonl. OUT/expand.json is the summary, and OUT/contact_sheet.png shows some copies.

    Exit codes: 0 for a complete job, 2 for wrong arguments or input, 3 for a job that had to leave out the images,
    clips or annotations it names, 130 for an interrupted job, which the same command with --resume continues.
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
