from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import click
import pytest

from fomaug.cli.options import options_of, suggest_choices


def described(default: Any, **metadata: str) -> Any:
    return field(default=default, metadata={"help": "A setting.", **metadata})


@dataclass
class Settings:
    path: str = "not an option"
    part: Literal["head", "mouth"] | None = described(None)
    size_range: tuple[int, int] | None = described(None)
    strength: float = described(1.0)
    relative: bool = described(default=True, off="absolute")
    weights: Mapping[str, float] | None = described(None)


def parsed(*words: str) -> dict[str, Any]:
    def read(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, float] | None:
        return None if value is None else dict.fromkeys(value.split(","), 1.0)

    command = click.command(options_of(Settings, callbacks={"weights": read})(lambda **options: options))
    found: dict[str, Any] = command.main(list(words), standalone_mode=False)
    return found


def test_defaults_are_those_of_the_fields_with_help() -> None:
    assert parsed() == {"part": None, "size_range": None, "strength": 1.0, "relative": True, "weights": None}


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--part", "mouth"], "part", "mouth"),
        (["--size-range", "3", "4"], "size_range", (3, 4)),
        (["--strength", "2"], "strength", 2.0),
        (["--absolute"], "relative", False),
        (["--weights", "a,b"], "weights", {"a": 1.0, "b": 1.0}),
    ],
)
def test_the_type_of_a_field_decides_how_its_option_is_read(words: list[str], name: str, value: object) -> None:
    assert parsed(*words)[name] == value


@pytest.mark.parametrize("words", [["--part", "nose"], ["--size-range", "3"], ["--strength", "much"], ["--path", "x"]])
def test_values_of_another_type_are_refused(words: list[str]) -> None:
    with pytest.raises(click.UsageError):
        parsed(*words)


@dataclass
class Bounded:
    count: int | None = field(default=None, metadata={"help": "A count.", "least": 2})
    compare: bool = field(default=False, metadata={"help": "A flag.", "off": ""})


def test_metadata_names_the_least_value_and_leaves_out_the_flag_that_turns_off() -> None:
    command = click.command(options_of(Bounded)(lambda **options: options))
    assert command.main(["--count", "2", "--compare"], standalone_mode=False) == {"count": 2, "compare": True}
    assert command.main([], standalone_mode=False) == {"count": None, "compare": False}
    with pytest.raises(click.UsageError, match="2"):
        command.main(["--count", "1"], standalone_mode=False)
    with pytest.raises(click.NoSuchOption):
        command.main(["--no-compare"], standalone_mode=False)


def test_defaults_of_several_values_are_shown_as_they_are_typed() -> None:
    @dataclass
    class Ranges:
        strength_range: tuple[float, float] = described((0.3, 1.0))

    command = click.command(context_settings={"show_default": True})(options_of(Ranges)(lambda **_: None))
    assert "[default: 0.3 1.0]" in command.get_help(click.Context(command, show_default=True))


def test_a_choice_suggests_the_nearest_word() -> None:
    with pytest.raises(click.BadParameter) as error:
        suggested("--part", "moth")
    assert error.value.message == "'moth' is not one of 'head', 'mouth'; did you mean 'mouth'?"
    with pytest.raises(click.BadParameter, match=r"'zzz' is not one of 'head', 'mouth'\.$"):
        suggested("--part", "zzz")


def suggested(*words: str) -> None:
    @click.group()
    def group() -> None:
        pass

    @group.command()
    @click.option("--part", type=click.Choice(["head", "mouth"]))
    def do(part: str) -> None:
        pass

    suggest_choices(group).main(["do", *words], standalone_mode=False)


def test_a_type_that_click_cannot_read_needs_a_callback() -> None:
    with pytest.raises(AssertionError, match=r"option weights of type .* needs a callback"):
        options_of(Settings)
