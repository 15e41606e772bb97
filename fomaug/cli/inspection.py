"""`fomaug report`, `fomaug check` and `fomaug verify`: inspect expanded datasets and files."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fomaug.cli.help import Command, json_option, print_json, quiet_option

if TYPE_CHECKING:
    from fomaug.expand import Leak, Summary
    from fomaug.media import Mark

_COUNTS_SHOWN = 12
_LEAKS_SHOWN = 20


@click.command(cls=Command)
@click.argument("out", type=click.Path(path_type=Path))
@json_option
def report(out: Path, *, as_json: bool) -> None:
    """Summarise the expanded dataset in the folder OUT: copies, labels, motion, and copies that the gates rejected."""
    from fomaug.expand import summarise

    summary = summarise(out)
    print_json(summary) if as_json else _print(summary)


def _print(summary: Summary) -> None:
    unfinished = "" if summary.state == "done" else "; unfinished: the same fomaug expand with --resume continues"
    click.echo(f"{summary.out}: {summary.copies} copies of {summary.sources} pictures by {summary.model}{unfinished}")
    flawed = f", {summary.flawed} annotations could not be used" if summary.flawed else ""
    click.echo(f"{summary.bytes / 1e6:.1f} MB, {summary.failed} pictures failed{flawed}")
    for title, counts in (("label", summary.labels), ("split", summary.splits), ("clip", summary.clips)):
        _print_counts(title, counts)
    _print_counts("rejected", summary.rejected)
    found = {"strength": summary.strength, **summary.scores}
    spreads = [(name, spread) for name, spread in found.items() if spread is not None]
    if spreads:
        click.echo(f"\n{'':30} {'least':>8} {'mean':>8} {'most':>8}")
    for name, spread in spreads:
        click.echo(f"{name:30} {spread.least:8.3f} {spread.mean:8.3f} {spread.most:8.3f}")
    if summary.contact_sheet:
        click.echo(f"\ncontact sheet  {summary.contact_sheet}")


def _print_counts(title: str, counts: Mapping[str, int]) -> None:
    if not counts:
        return
    click.echo(f"\n{title:30} {'copies':>8}")
    for name, count in list(counts.items())[:_COUNTS_SHOWN]:
        click.echo(f"{name or '(none)':30} {count:8}")
    if len(counts) > _COUNTS_SHOWN:
        rest = list(counts.values())[_COUNTS_SHOWN:]
        click.echo(f"{f'... {len(rest)} more':30} {sum(rest):8}")


@click.command(cls=Command)
@click.argument("sets", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--drivers/--no-drivers", default=True, help="Also find driving clips that several sets share.")
@quiet_option
@json_option
def check(sets: tuple[Path, ...], *, drivers: bool, as_json: bool) -> int:
    """Find pictures and driving clips that appear in two of the SETS, or in two splits of one.

    A set is a folder that fomaug expand wrote, or any folder of pictures, such as a test set.

    Exit codes: 0 nothing is shared, 1 something is shared, 2 a folder cannot be read.
    """
    from fomaug.expand import find_leaks

    leaks = find_leaks(sets, drivers=drivers)
    print_json([asdict(leak) for leak in leaks]) if as_json else _print_leaks(leaks)
    return 1 if leaks else 0


def _print_leaks(leaks: Sequence[Leak]) -> None:
    for leak in leaks[:_LEAKS_SHOWN]:
        click.echo(f"{leak.kind} {' = '.join(leak.names)} is in {', '.join(leak.places)}")
    if len(leaks) > _LEAKS_SHOWN:
        click.echo(f"... and {len(leaks) - _LEAKS_SHOWN} more")
    click.echo(f"{len(leaks)} leaks" if leaks else "no leaks")


@click.command(cls=Command)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object per file, with all properties of the mark."
)
@quiet_option
def verify(files: tuple[Path, ...], *, as_json: bool) -> int:
    """Report for each of FILES whether it is marked as synthetic, and by which model.

    For a folder, all pictures, videos and archives below it are read, in the order of their paths. The pictures of
    folders and archives (.tar, .parquet) are counted at the end.

    The mark is read from JPEG, PNG, WebP, TIFF, GIF, MP4 and MOV files, and for BMP from the .xmp file beside it; a BMP
    in an archive counts as not marked. Marks can be removed: a file without a mark may still be synthetic.

    Exit codes: 0 all files are marked as synthetic, 1 some are not, 2 some cannot be read.
    """
    from fomaug.expand.inputs import ARCHIVES

    counts = Counter[str]()
    for name, mark in (found for path in _expanded(files) for found in _marks(path)):
        if isinstance(mark, str):  # the other files are still read
            click.echo(mark, err=True)
            counts["unread"] += 1
            continue
        counts["marked" if mark.synthetic else "unmarked"] += 1
        _print_mark(name, mark, as_json=as_json)
    if not as_json and any(path.is_dir() or path.suffix.lower() in ARCHIVES for path in files):
        unread = f", {counts['unread']} cannot be read" if counts["unread"] else ""
        click.echo(f"{counts['marked']} marked as synthetic, {counts['unmarked']} not{unread}")
    return 2 if counts["unread"] else 1 if counts["unmarked"] else 0


def _marks(path: Path) -> Iterator[tuple[str, Mark | str]]:
    """Yield the name and the mark of a file, or of each picture in an archive; an error message in place of a mark."""
    from fomaug.errors import ArgumentError, MediaError, reason_of
    from fomaug.expand.inputs import ARCHIVES, list_input
    from fomaug.media import read_mark

    try:
        listed = list_input(str(path)) if path.suffix.lower() in ARCHIVES else None
        if listed is None:
            yield str(path), read_mark(path)
            return
    except (ArgumentError, MediaError) as error:
        yield str(path), str(error)
        return
    yield from ((failure.source, f"{failure.source} {failure.reason}") for failure in listed.failed)
    for source in listed.sources:
        name = f"{path}: {source.key}"
        try:
            yield name, read_mark(source.read())
        except MediaError as error:
            yield name, f"{name} {str(error).removeprefix('<bytes> ')}"
        except OSError as error:
            yield name, f"{name} cannot be read: {reason_of(error)}"


def _expanded(paths: tuple[Path, ...]) -> Iterator[Path]:
    """Yield the files among the paths, and the pictures, videos and archives below the folders, but no hidden ones."""
    from fomaug.errors import ArgumentError
    from fomaug.expand.inputs import ARCHIVES
    from fomaug.media import read_suffixes, unread_suffixes
    from fomaug.media.clips import VIDEOS

    suffixes = {*read_suffixes, *unread_suffixes, *VIDEOS, *ARCHIVES}
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        below = [file for file in sorted(path.rglob("*")) if file.suffix.lower() in suffixes and not file.is_dir()]
        found = [file for file in below if not any(part.startswith(".") for part in file.relative_to(path).parts)]
        if not found:
            raise ArgumentError(f"{path} is a folder without pictures and videos; give the folder of the copies")
        yield from found


def _print_mark(name: str, mark: Mark, *, as_json: bool) -> None:
    if as_json:
        row = {"file": name, "synthetic": mark.synthetic, "model": mark.model, "mark": mark.properties}
        click.echo(json.dumps(row, ensure_ascii=False))
        return
    maker = mark.model or mark.properties.get("xmp:CreatorTool", "") or "an unnamed maker"
    kind = f"synthetic, by {maker} ({mark.source_type})" if mark.synthetic else "not marked as synthetic"
    click.echo(f"{name}: {kind}")
