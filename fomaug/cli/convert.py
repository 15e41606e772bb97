"""`fomaug convert`: convert an expanded dataset to the formats that trainers read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fomaug.cli.help import Command, json_option, print_json, quiet_option
from fomaug.cli.options import options_of
from fomaug.convert import ConvertPlan
from fomaug.names import named_callable

if TYPE_CHECKING:
    from fomaug.convert import ConvertReport

_SHOWN = 10  # failures that the terminal shows


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
    print_json(report) if as_json else _print_report(report)
    return 0 if report.complete else 3


def _print_note(note: str) -> None:
    click.echo(f"Note: {note}", err=True)


def _print_report(report: ConvertReport) -> None:
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
