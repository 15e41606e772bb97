"""Parse option values that click cannot parse."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import click

from fomaug.errors import ArgumentError

_T = TypeVar("_T")
_Read = Callable[[click.Context, click.Parameter, Any], Any]


def _unless_completing(read: _Read) -> _Read:
    """Leave values as they are while the shell completes a word: the modules that read them take long to import."""

    @functools.wraps(read)
    def read_or_keep(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        return value if ctx.resilient_parsing else read(ctx, param, value)

    return read_or_keep


def read_reference(ctx: click.Context, param: click.Parameter, value: str) -> str | int:
    """Read closest, first or a frame number."""
    if value in ("closest", "first"):
        return value
    if not value.isdigit():
        raise click.BadParameter(f"{value!r} is neither closest, first nor the number of a frame", ctx, param)
    return int(value)


def read_processes(ctx: click.Context, param: click.Parameter, value: str | int) -> str | int:
    """Read auto or a number of processes."""
    if value == "auto" or isinstance(value, int):
        return value
    if not value.isdigit() or not int(value):
        raise click.BadParameter(f"{value!r} is neither auto nor a number from 1", ctx, param)
    return int(value)


@_unless_completing
def read_labels(ctx: click.Context, param: click.Parameter, value: str) -> str | dict[str, str]:
    """Read a label policy: a word, or OLD=NEW pairs."""
    from fomaug.expand import parse_labels

    return _parsed(parse_labels, ctx, param, value)


@_unless_completing
def read_gates(ctx: click.Context, param: click.Parameter, value: str) -> str | dict[str, float | None]:
    """Read on, off or NAME=THRESHOLD pairs."""
    from fomaug.expand import parse_gates

    return _parsed(parse_gates, ctx, param, value)


@_unless_completing
def read_weights(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, float] | None:
    """Read CLIP=WEIGHT pairs."""
    from fomaug.expand import parse_weights

    return None if value is None else _parsed(parse_weights, ctx, param, value)


@_unless_completing
def read_face(ctx: click.Context, param: click.Parameter, value: str) -> str | tuple[int, int, int, int]:
    """Read auto, whole or X,Y,WIDTH,HEIGHT."""
    from fomaug.visual import parse_face

    return _parsed(parse_face, ctx, param, value)


def _parsed(parse: Callable[[str], _T], ctx: click.Context, param: click.Parameter, value: str) -> _T:
    """Parse the text of an option; an error of the parser names the option."""
    try:
        return parse(value)
    except ArgumentError as error:
        raise click.BadParameter(str(error), ctx, param) from error
