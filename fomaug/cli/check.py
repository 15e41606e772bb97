"""`fomaug check`: do expanded datasets share what they must not?"""

from __future__ import annotations

from pathlib import Path

import click

_SHOWN = 20


@click.command()
@click.argument("sets", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--drivers/--no-drivers", default=True, show_default=True, help="Look for shared drivers, too.")
def check(sets: tuple[Path, ...], *, drivers: bool) -> int:
    """Look for pictures and drivers that appear in two of the SETS, or in two splits of one.

    A set is a folder that fomaug expand wrote, or a folder of pictures, such as a test set as it is.

    Exit codes: 0 nothing is shared, 1 something is, 2 a folder cannot be read.
    """
    from fomaug.expand import find_leaks

    leaks = find_leaks(sets, drivers=drivers)
    for leak in leaks[:_SHOWN]:
        click.echo(f"{leak.kind} {' = '.join(leak.names)} is in {', '.join(leak.places)}")
    if len(leaks) > _SHOWN:
        click.echo(f"... and {len(leaks) - _SHOWN} more")
    click.echo(f"{len(leaks)} leaks" if leaks else "no leaks")
    return 1 if leaks else 0
