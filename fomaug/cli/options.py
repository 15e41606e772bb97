"""Make command line options from the fields of a dataclass, and parse the values that click cannot parse."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import click

from fomaug.errors import ArgumentError, did_you_mean

Callback = Callable[[click.Context, click.Parameter, Any], Any]
F = TypeVar("F", bound=Callable[..., Any])
_T = TypeVar("_T")
_Read = Callable[[click.Context, click.Parameter, Any], Any]


class Choice(click.Choice):  # type: ignore[type-arg]  # before click 8.2, the class has no parameter
    """A choice whose error message suggests the nearest value."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the chosen value, or raise `click.BadParameter` with a suggestion."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            hint = did_you_mean(str(value), map(str, self.choices))
            message = f"{error.message.rstrip('.')}{hint}" if hint else error.message
            raise click.BadParameter(message, ctx, param) from error


def suggest_choices(command: click.Command) -> click.Command:
    """Make every choice of a command and of its subcommands suggest the nearest value; return the command."""
    for param in command.params:
        if isinstance(param.type, click.Choice):
            param.type = Choice(param.type.choices, case_sensitive=param.type.case_sensitive)
    if isinstance(command, click.Group):
        for subcommand in command.commands.values():
            suggest_choices(subcommand)
    return command


class _Option(click.Option):
    """An option whose help shows a default of several values as they are typed: `0.3 1.0`."""

    def get_help_extra(self, ctx: click.Context) -> click.types.OptionHelpExtra:
        """Join several values by spaces instead of commas."""
        extra = super().get_help_extra(ctx)
        if "default" in extra and isinstance(self.default, tuple):
            extra["default"] = " ".join(map(str, self.default))
        return extra


def options_of(settings: type, *, callbacks: Mapping[str, Callback] | None = None) -> Callable[[F], F]:
    """Decorate a command with one option for every field of a dataclass whose metadata has `help`.

    The type of a field determines the kind of its option: a `Literal` becomes a choice, a tuple an option with several
    values, a bool a pair of flags. `X | None` is the same as X. All other types need a callback.

    Args:
        settings: dataclass; a field's `metadata["help"]` is the help of its option, `metadata["least"]` the least value
            of an int, and `metadata["off"]` the name of the flag that turns a bool off, if that is not "no-" and the
            name of the field; an empty one leaves this flag out.
        callbacks: readers of the text of options that click cannot parse, by field.

    Returns:
        The decorator; options keep the order of the fields.

    >>> from dataclasses import dataclass, field
    >>> @dataclass
    ... class Settings:
    ...     seed: int = field(default=0, metadata={"help": "Seed of all draws."})
    ...     relative: bool = field(default=True, metadata={"help": "Kind of motion.", "off": "absolute"})
    >>> command = click.command(options_of(Settings)(lambda **options: print(options)))
    >>> command.main(["--seed", "3", "--absolute"], standalone_mode=False)
    {'seed': 3, 'relative': False}
    """
    hints = get_type_hints(settings)
    described = [field for field in fields(settings) if "help" in field.metadata]
    options = [_option(field, hints[field.name], (callbacks or {}).get(field.name)) for field in described]

    def decorate(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def _option(field: Field[Any], hint: Any, callback: Callback | None) -> Callable[[F], F]:
    kind: dict[str, Any] = {"type": str} if callback else _kind(_required(hint), field.name)
    flag = f"--{field.name.replace('_', '-')}"
    if "least" in field.metadata:
        kind["type"] = click.IntRange(field.metadata["least"])
    if kind["type"] is bool and field.metadata.get("off") == "":
        kind = {"is_flag": True}
    elif kind["type"] is bool:
        flag += f"/--{field.metadata.get('off') or f'no-{flag[2:]}'}"
    return click.option(
        flag, cls=_Option, default=field.default, help=field.metadata["help"], callback=callback, **kind
    )


def _required(hint: Any) -> Any:
    """Return X for X | None."""
    if get_origin(hint) in (Union, UnionType):
        kinds = [kind for kind in get_args(hint) if kind is not NoneType]
        return kinds[0] if len(kinds) == 1 else hint
    return hint


def _kind(hint: Any, name: str) -> dict[str, Any]:
    """Translate a type into arguments of `click.option`."""
    if get_origin(hint) is Literal:
        return {"type": click.Choice(get_args(hint))}
    if get_origin(hint) is tuple:
        return {"type": get_args(hint)[0], "nargs": len(get_args(hint))}
    assert hint in (bool, int, float, str), f"option {name} of type {hint} needs a callback"
    return {"type": hint}


def _unless_completing(read: _Read) -> _Read:
    """Return values unread while the shell completes a word, because the modules that read them are slow to import."""

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
