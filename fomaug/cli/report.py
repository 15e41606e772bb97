"""`fomaug report`: what an expanded dataset holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from fomaug.expand import Summary

_SHOWN = 12


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def report(out: Path, *, as_json: bool) -> None:
    """Sum up the expanded dataset in the folder OUT: copies, labels, motion, and what the gates refused."""
    from fomaug.expand import summarise

    summary = summarise(out)
    if as_json:
        click.echo(json.dumps(asdict(summary), indent=2, ensure_ascii=False, default=str))
        return
    _print(summary)


def _print(summary: Summary) -> None:
    unfinished = "" if summary.state == "done" else "; unfinished: the same fomaug expand with --resume goes on"
    click.echo(f"{summary.out}: {summary.copies} copies of {summary.sources} pictures by {summary.model}{unfinished}")
    flawed = f", {summary.flawed} annotations could not be used" if summary.flawed else ""
    click.echo(f"{summary.bytes / 1e6:.1f} MB, {summary.failed} pictures failed{flawed}")
    for title, counts in (("label", summary.labels), ("split", summary.splits), ("clip", summary.clips)):
        _print_counts(title, counts)
    _print_counts("refused", summary.rejected)
    spreads = {"strength": summary.strength, **summary.scores}
    click.echo(f"\n{'':30} {'least':>8} {'mean':>8} {'most':>8}")
    for name, spread in spreads.items():
        if spread is not None:
            click.echo(f"{name:30} {spread.least:8.3f} {spread.mean:8.3f} {spread.most:8.3f}")
    if summary.contact_sheet:
        click.echo(f"\ncontact sheet  {summary.contact_sheet}")


def _print_counts(title: str, counts: Mapping[str, int]) -> None:
    if not counts:
        return
    click.echo(f"\n{title:30} {'copies':>8}")
    for name, count in list(counts.items())[:_SHOWN]:
        click.echo(f"{name or '(none)':30} {count:8}")
    if len(counts) > _SHOWN:
        click.echo(f"{f'... {len(counts) - _SHOWN} more':30} {sum(list(counts.values())[_SHOWN:]):8}")
