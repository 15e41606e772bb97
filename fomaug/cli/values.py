"""Option values that click does not know how to read."""

from __future__ import annotations

import click

from fomaug.errors import ArgumentError


def read_reference(ctx: click.Context, param: click.Parameter, value: str) -> str | int:
    """Read closest, first or a frame number."""
    if value in ("closest", "first"):
        return value
    if not value.isdigit():
        raise click.BadParameter(f"{value!r} is neither closest, first nor the number of a frame", ctx, param)
    return int(value)


def read_labels(ctx: click.Context, param: click.Parameter, value: str) -> str | dict[str, str]:
    """Read a policy for labels: a word, or OLD=NEW pairs."""
    if "=" not in value:
        return value
    from fomaug.expand import parse_labels

    try:
        return parse_labels(value)
    except ArgumentError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def read_gates(ctx: click.Context, param: click.Parameter, value: str) -> str | dict[str, float | None]:
    """Read on, off or thresholds."""
    if "=" not in value:
        return value
    from fomaug.expand import parse_gates

    try:
        return parse_gates(value)
    except ArgumentError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def read_weights(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, float] | None:
    """Read CLIP=WEIGHT pairs."""
    if value is None:
        return None
    from fomaug.expand import parse_weights

    try:
        return parse_weights(value)
    except ArgumentError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def read_face(ctx: click.Context, param: click.Parameter, value: str) -> str | tuple[int, int, int, int]:
    """Read auto, whole or X,Y,WIDTH,HEIGHT."""
    from fomaug.visual import parse_face

    try:
        return parse_face(value)
    except ArgumentError as error:
        raise click.BadParameter(str(error), ctx, param) from error
