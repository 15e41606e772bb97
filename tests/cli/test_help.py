"""What `--help` teaches, and what scripts and shells rely on."""

from __future__ import annotations

import json
import os
import pty
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from PIL import Image

from fomaug.cli import group, help, main


def all_commands(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    """Yield the name of each command and subcommand, without the program's, with its context."""
    yield help._name(ctx), command, ctx
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            found = command.get_command(ctx, name)
            assert found is not None
            yield from all_commands(found, click.Context(found, ctx, name, **found.context_settings))


COMMANDS = {
    name: (command, ctx)
    for name, command, ctx in all_commands(
        group.fomaug, click.Context(group.fomaug, info_name="fomaug", **group.fomaug.context_settings)
    )
}


def test_examples_are_those_of_the_commands() -> None:
    assert set(help.EXAMPLES) == set(COMMANDS)


@pytest.mark.parametrize(("name", "example"), [(name, text) for name, texts in help.EXAMPLES.items() for text in texts])
def test_every_example_is_shown_and_can_be_parsed(name: str, example: str) -> None:
    command, ctx = COMMANDS[name]
    assert f"\n  {example}\n" in command.get_help(ctx)
    assert len(example) < 98, "it fits on a line"
    words = shlex.split(example)
    assert words[: 1 + len(name.split())] == ["fomaug", *name.split()]
    leaf = max((own for own in COMMANDS if example.startswith(f"fomaug {own} ")), key=len)
    COMMANDS[leaf][0].make_context(leaf, words[1 + len(leaf.split()) :])


@pytest.mark.parametrize("name", help.SECTIONS)
def test_sections_hold_options_that_exist_and_each_once(name: str) -> None:
    command, ctx = COMMANDS[name]
    listed = [option for options in help.SECTIONS[name].values() for option in options.split()]
    assert len(listed) == len(set(listed))
    known = {param.name for param in command.get_params(ctx) if isinstance(param, click.Option)}
    assert set(listed) <= known
    shown = command.get_help(ctx)
    assert all(f"\n{title}:\n" in shown for title in help.SECTIONS[name])


def test_help_of_every_command_comes_without_torch() -> None:
    code = (
        "import sys, click; from fomaug.cli.group import COMMANDS, fomaug; ctx = click.Context(fomaug); "
        "print([name for name in COMMANDS if fomaug.get_command(ctx, name) and 'torch' in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_commands_are_in_sections_of_the_first_page() -> None:
    listed = [name for names in help.COMMAND_SECTIONS.values() for name in names.split()]
    assert sorted(listed) == sorted(group.COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_default_is_shown(name: str) -> None:
    command, ctx = COMMANDS[name]
    for param in command.params:
        default = param.get_default(ctx)
        # A flag that is off needs no word; click has a value of its own for no default.
        if isinstance(param, click.Option) and isinstance(default, str | int | float) and default is not False:
            shown = param.get_help_record(ctx)
            assert shown is not None
            assert "[default: " in shown[1], param.name


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["pool", "biuld"], "no command 'biuld'; did you mean 'build'?"),
        (["model", "lst"], "no command 'lst'; did you mean 'list'?"),
        (["expand", "a", "b", "--copeis", "3"], "--copies"),
        (["study", "a", "--task", "recogntion"], "did you mean 'recognition'?"),
    ],
)
def test_errors_for_wrong_words_suggest_the_nearest(
    words: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert hint in capsys.readouterr().err


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.linear_gradient("L").save(folder / "a.png")
    shutil.copytree(folder, tmp_path / "same")
    return folder


def test_quiet_prints_no_result_and_keeps_the_exit_code(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(pictures), "--quiet"]) == 1
    assert main(["check", str(pictures), str(pictures.parent / "same"), "-q"]) == 1
    assert main(["expand", str(pictures), str(pictures.parent / "out"), "--dry-run", "-q"]) == 0
    assert tuple(capsys.readouterr()) == ("", "")


def test_quiet_keeps_problems_and_json(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (pictures / "b.png").write_bytes(b"no picture")
    assert main(["verify", str(pictures), "--quiet"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "b.png" in said.err
    assert main(["check", str(pictures), str(pictures.parent / "same"), "--quiet", "--json"]) == 1
    assert {leak["kind"] for leak in json.loads(capsys.readouterr().out)} == {"source"}


def test_results_of_expand_and_the_list_of_models_are_json(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = pictures.parent / "out"
    assert main(["expand", str(pictures), str(out), "--dry-run", "--copies", "3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["planned"], report["sources"], report["out"]) == (3, 1, str(out))
    assert main(["model", "list", "--json"]) == 0
    assert "lite-256" in {model["name"] for model in json.loads(capsys.readouterr().out)}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(
    shell: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if shell == "bash":
        monkeypatch.setattr("click.shell_completion.BashComplete._check_version", lambda *_: None)
    monkeypatch.setenv("_FOMAUG_COMPLETE", f"{shell}_source")
    assert main([]) == 0
    assert "_FOMAUG_COMPLETE" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [("fomaug ex", {"expand", "export"}), ("fomaug pool b", {"build"}), ("fomaug expand --selec", {"--selection"})],
)
def test_words_are_completed_without_loading_torch(words: str, expected: set[str]) -> None:
    code = (
        "import sys; from fomaug.cli import main; code = main([]); print('torch' in sys.modules, code, file=sys.stderr)"
    )
    env = {**os.environ, "_FOMAUG_COMPLETE": "bash_complete", "COMP_WORDS": words}
    env["COMP_CWORD"] = str(len(words.split()) - 1)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert {line.partition(",")[2] for line in done.stdout.split()} == expected
    assert done.stderr == "False 0\n"


@pytest.mark.parametrize("words", [["--help"], ["expand", "--help"], ["expnad"]])
def test_the_output_has_no_colours(words: list[str]) -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "NO_COLOR": "1"}
    subprocess.run([sys.executable, "-m", "fomaug", *words], stdout=theirs, stderr=theirs, stdin=theirs, env=env)
    os.close(theirs)
    said = b""
    try:
        while part := os.read(ours, 65536):
            said += part
    except OSError:  # the end of a pseudo-terminal
        pass
    os.close(ours)
    assert b"fomaug" in said
    assert b"\x1b[" not in said
