from __future__ import annotations

import json
import subprocess
import sys

import click
import pytest
import torch

from fomaug._errors import ArgumentError
from fomaug.cli import _group as group
from fomaug.cli import main


def test_help_lists_every_command_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, json; from fomaug.cli import main; main(['--help']); "
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(f"  {name} " in done.stdout for name in group.COMMANDS)
    assert not {"torch", "numpy", "av", "PIL"} & set(json.loads(done.stderr))


def test_every_command_in_the_table_exists() -> None:
    with click.Context(group.fomaug) as context:
        for name in group.COMMANDS:
            command = group.fomaug.get_command(context, name)
            assert command is not None
            assert command.get_short_help_str(1000), name


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["expnad"], "no command 'expnad'; did you mean 'expand'?"),
        (["verify"], "Missing argument 'FILES...'"),
        (["verify", "--jsno", "a.png"], "No such option '--jsno'"),
        (["--nothing"], "No such option '--nothing'"),
    ],
)
def test_wrong_words_end_with_2_and_say_what_is_wrong(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    assert message in capsys.readouterr().err


def raising(error: BaseException) -> click.Command:
    @click.command()
    def command() -> None:
        raise error

    return command


def run_raising(error: BaseException, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(group.LazyGroup, "get_command", lambda *_: raising(error))
    return main(list(words or ["expand"]))


def test_errors_of_the_library_are_one_line_and_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_raising(ArgumentError("copies must be 1 or more, got 0"), monkeypatch) == 2
    assert capsys.readouterr().err == "Error: copies must be 1 or more, got 0\n"


def test_interrupted_says_how_to_resume(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_raising(KeyboardInterrupt(), monkeypatch) == 130
    assert "--resume goes on from there" in capsys.readouterr().err
    assert run_raising(KeyboardInterrupt(), monkeypatch, "animate") == 130
    assert "nothing half-written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: 8 bytes\nmore"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    ],
)
def test_too_little_memory_is_said_and_what_to_do(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_raising(error, monkeypatch, "train") == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and said[0].startswith("Error: not enough memory: ")
    assert "smaller pictures or batches" in said[1] and "--resume goes on from there" in said[1]


def test_torch_words_lack_of_memory_as_expected() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert group._is_lack_of_memory(caught.value)


def test_other_runtime_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        run_raising(RuntimeError("a bug"), monkeypatch)


def test_errors_that_are_bugs_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZeroDivisionError):
        run_raising(ZeroDivisionError(), monkeypatch)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    from fomaug import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fomaug {__version__}\n"


def test_the_module_runs_as_a_program() -> None:
    done = subprocess.run([sys.executable, "-m", "fomaug", "verify"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Missing argument" in done.stderr
