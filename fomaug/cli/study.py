"""`fomaug study`: measure whether copies help on a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from fomaug.cli.help import Command, json_option, print_json, quiet_option
from fomaug.cli.options import options_of
from fomaug.study import StudyPlan

_SHOWN = 10  # Largest number of skipped pictures that are printed; study.json names all.
_PATH = click.Path(path_type=Path)


@click.command(cls=Command)
@click.argument("dataset", type=_PATH)
@click.option("-o", "--out", type=_PATH, help="Folder for runs and results.  [the dataset's name with -study]")
@options_of(StudyPlan)
@click.option(
    "--arm",
    "arms",
    multiple=True,
    metavar="NAME=WHAT",
    help="Additional arm with copies: its name, and a JSON file of options or a pool.",
)
@click.option("--embedding", help="Model of features instead of the trained network, as module:attribute.")
@click.option("--device", default="auto", help="auto, cpu, cuda, ...")
@click.option("--progress/--no-progress", default=True, help="Whether to show a progress bar.")
@quiet_option
@json_option
def study(
    dataset: Path, out: Path | None, arms: tuple[str, ...], embedding: str | None, *, as_json: bool, **options: Any
) -> int:
    """Measure whether copies help on DATASET: train without augmentation, with classic, and with copies.

    The answer, which may be no, is printed with its interval and written to the output folder as study.json, study.txt
    and study.svg. The same command resumes an interrupted study.

    Exit codes: 0 for a finished study, whatever the answer; 2 for wrong arguments or input; 3 for a finished study that
    skipped pictures, which are named; 130 for an interrupted study.
    """
    from fomaug.plugins import named_callable
    from fomaug.study import study as run

    result = run(
        dataset,
        out or Path(f"{dataset.resolve().name}-study"),
        arms=dict(map(_read_arm, arms)),
        embed=named_callable(embedding) if embedding else None,
        announce=lambda line: click.echo(line, err=True),
        **options,
    )
    print_json(result.to_dict()) if as_json else click.echo(result.table())
    for key, reason in result.skipped[:_SHOWN]:
        click.echo(f"skipped: {key}: {reason}", err=True)
    if len(result.skipped) > _SHOWN:
        click.echo(f"skipped: {len(result.skipped) - _SHOWN} more, all named in study.json", err=True)
    return 3 if result.skipped else 0


def _read_arm(text: str) -> tuple[str, str]:
    name, equals, what = text.partition("=")
    if not equals or not name or not what:
        raise click.UsageError(
            f"--arm {text!r} is not NAME=WHAT, such as wide=options.json or wide='parametric yaw=-45:45'"
        )
    return name, what
