"""`fomaug expand` and `fomaug convert`: enlarge a face dataset, and convert the result to the formats of trainers."""

from __future__ import annotations

import inspect
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from fomaug.cli.help import Command, json_option, print_json, quiet_option
from fomaug.cli.options import options_of, read_gates, read_labels, read_processes, read_reference, read_weights
from fomaug.convert import ConvertPlan
from fomaug.expand import ExpandPlan
from fomaug.expand.fork_server import start_early
from fomaug.imports import named_callable

if TYPE_CHECKING:
    from fomaug.convert import ConvertReport
    from fomaug.expand import ExpandReport, Failure


_SHOWN = 10  # failures that the terminal shows; expand.json lists all of them


@click.command(cls=Command)
@click.argument("dataset")
@click.argument("out", required=False)
@options_of(
    ExpandPlan,
    callbacks={
        "reference": read_reference,
        "labels": read_labels,
        "clip_weights": read_weights,
        "gates": read_gates,
        "processes": read_processes,
    },
)
@click.option("--resume/--no-resume", default=False, help="Continue an interrupted job, or start in a new folder.")
@click.option("--dry-run", is_flag=True, help="Check the inputs, count the copies and write nothing.")
@click.option("--prepare", is_flag=True, help="Save the plan of the job and make no copies, so that shares can begin.")
@click.option("--shard", help="I/N: make only the I-th of N shares, from 0; auto: the numbers of the cluster.")
@click.option("--finish", is_flag=True, help="Make the missing copies in OUT, and join its shares.")
@click.option("--profile", is_flag=True, help="Report at the end which stage limits the speed.")
@click.option("--progress/--no-progress", default=True, help="Show a progress bar.")
@quiet_option
@json_option
def expand(dataset: str, out: str | None, *, as_json: bool, **options: Any) -> int:
    """Animate every image of DATASET several times and write the copies to OUT, with their labels.

    DATASET is a folder of class folders, or of images; a list of pictures (.csv, .jsonl); WebDataset tar files or
    parquet files, or a folder of them; or the URL of one of these, such as s3://bucket/faces. In a dataset with splits,
    only train is expanded. Every copy has a row in OUT/manifest.jsonl. OUT/expand.json is the summary, and
    OUT/.contact_sheet.png shows some copies.

    A job can be divided among machines: `fomaug expand DATASET OUT --prepare` with all options, `fomaug expand OUT
    --shard I/N` on each machine, and `fomaug expand OUT --finish` at the end.

    Exit codes: 0 for a complete job, 2 for wrong arguments or input, 3 for a job that had to leave out the images,
    clips or annotations it names, 130 for an interrupted and 143 for a terminated job, which the same command with
    --resume continues.
    """
    ctx = click.get_current_context()
    if not (options["dry_run"] or options["prepare"]):
        start_early(options["processes"], options["engine"], options["device"])
    if options["purpose"] is not None:
        options = _without_defaults(ctx, options)
    finishes, profiles = options.pop("finish"), options.pop("profile")
    if out is None:
        if not finishes and options["shard"] is None:
            raise click.UsageError("Missing argument 'OUT'.", ctx)
        report = _go_on(ctx, dataset, options)
    else:
        from fomaug.expand import expand as run

        options["resume"] = options["resume"] or finishes
        report = run(dataset, out, **options)
    if as_json:
        print_json(report)
    elif options["dry_run"]:
        _print_plan(report)
    elif options["prepare"]:
        click.echo(f"{report.planned} copies of {report.sources} pictures are prepared in {_out(report)}")
    else:
        _print_report(report)
    if profiles:
        click.echo("\n".join(report.profile), err=True)
    return 0 if report.complete or options["dry_run"] or options["prepare"] else 3


def _without_defaults(ctx: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Leave out the settings that the user did not give, so that those of the preset are used."""
    settings = {field.name for field in fields(ExpandPlan)}
    return {
        name: value
        for name, value in options.items()
        if name not in settings or ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    }


def _go_on(ctx: click.Context, out: str, options: dict[str, Any]) -> ExpandReport:
    """Continue the job of a folder with its own settings."""
    from fomaug.expand import finish

    taken = {name: options[name] for name in inspect.signature(finish).parameters if name in options}
    for name in options.keys() - taken.keys() - {"resume"}:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            flag = f"--{name.replace('_', '-')}"
            raise click.UsageError(f"{flag} is read from {out}/expand.json; leave it out, or give DATASET, too", ctx)
    return finish(out, **taken)


def _print_plan(report: ExpandReport) -> None:
    _print_unused(report, "and so on")
    click.echo(f"{report.sources} pictures, {report.planned} copies, about {_size(report.estimated_bytes or 0)}")
    for label, count in report.labels:
        click.echo(f"  {label or '(no label)':30} {count:8} copies")
    click.echo(f"would go to {_out(report)}; nothing was written")


def _print_share(report: ExpandReport) -> None:
    click.echo(f"share {report.shard}: {report.written} of {report.planned} copies, {report.new} of them new")
    click.echo(f"when all shares are done: fomaug expand {_out(report)} --finish")


def _print_report(report: ExpandReport) -> None:
    _print_unused(report, f"all of them are in {_out(report)}/expand.json")
    if report.unannotated:
        click.echo(f"{report.unannotated} pictures have no annotations; their copies have none, either", err=True)
    if report.shard:
        _print_share(report)
        return
    rejected = f", {report.rejected} rejected by the gates" if report.rejected else ""
    click.echo(f"{report.written} copies of {report.sources} pictures, {report.new} of them new{rejected}")
    if report.rejected and not report.written:
        click.echo(
            f"note: the gates rejected every copy; {_out(report)}/rejected.jsonl has the reasons, and --gates sets "
            "other thresholds",
            err=True,
        )
    click.echo(f"copies         {_out(report)}")
    if report.originals:
        click.echo(f"originals      {report.originals} in the same folder")
    if report.written:
        click.echo(f"manifest       {_out(report)}/manifest.jsonl")
    if report.contact_sheet:
        click.echo(f"contact sheet  {_out(report)}/{report.contact_sheet.name}")


def _out(report: ExpandReport) -> str:
    return report.url or str(report.out)


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


def _list_formats(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's
    """Print the formats and exit."""
    if not value or ctx.resilient_parsing:
        return
    from fomaug.convert.formats import CONVERTERS

    for name, converter in CONVERTERS.items():
        click.echo(f"{name:18} {converter.summary}")
    ctx.exit()


@click.command(cls=Command)
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("dest", type=click.Path(path_type=Path))
@click.option("--to", required=True, help="Name of the format; --list names all of them.")
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=_list_formats, help="List the formats."
)
@options_of(ConvertPlan)
@click.option("--dataset", type=click.Path(path_type=Path), help="Folder of the originals, if it was moved.")
@click.option("--annotations", type=click.Path(path_type=Path), help="Annotations of the originals, if moved.")
@click.option(
    "--model",
    help="An installed model, or a model file; used for the points of aligned crops, by default that of the copies.",
)
@click.option("--detector", help="Function MODULE:NAME from a picture to five points of each face, for aligned crops.")
@click.option("--resume/--no-resume", default=False, help="Continue an interrupted conversion.")
@click.option("--progress/--no-progress", default=True, help="Show a progress bar.")
@quiet_option
@json_option
def convert(out: Path, dest: Path, *, detector: str | None, as_json: bool, **options: Any) -> int:
    """Convert the expanded dataset OUT, originals and copies together, to a format that trainers read, in DEST.

    Notes on labels that the format cannot store are printed before anything is written.

    Exit codes: 0 for a complete conversion, 2 for wrong arguments or input, 3 for one that had to leave out the
    pictures or annotations it names, 130 for an interrupted one, which the same command with --resume continues.
    """
    from fomaug.convert import convert as run

    found = None if detector is None else named_callable(detector)
    report = run(out, dest, detector=found, on_note=_print_note, **options)
    print_json(report) if as_json else _print_result(report)
    return 0 if report.complete else 3


def _print_note(note: str) -> None:
    click.echo(f"Note: {note}", err=True)


def _print_result(report: ConvertReport) -> None:
    if report.failed:
        click.echo(f"{len(report.failed)} pictures or annotations could not be used:", err=True)
    for failure in report.failed[:_SHOWN]:
        click.echo(f"  {failure.source}: {failure.reason}", err=True)
    if len(report.failed) > _SHOWN:
        click.echo("  ... and so on", err=True)
    for reason, count in report.left_out.items():
        if count:
            click.echo(f"{count} {reason} were left out", err=True)
    click.echo(f"{report.originals} originals and {report.copies} copies in {report.dest}")
    for name in report.files[:_SHOWN]:
        click.echo(f"  {name}")
