from __future__ import annotations

import errno
import io
import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
import torch

from fomaug import DrivingPool
from fomaug.cli import group, main
from fomaug.errors import ArgumentError
from fomaug.media import DamagedClipWarning


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
def test_wrong_arguments_end_with_2_and_are_named(
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


def test_warnings_of_the_library_are_notes_without_lines_of_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    @click.command()
    def command() -> None:
        warnings.warn("a.mp4: damaged after 3 frames", DamagedClipWarning, stacklevel=1)
        warnings.warn_explicit("driving clip b: one frame", UserWarning, group.__file__, 1)
        warnings.warn_explicit("of another library", UserWarning, np.__file__, 1)

    monkeypatch.setattr(group.LazyGroup, "get_command", lambda *_: command)
    shown = warnings.showwarning
    with pytest.warns(UserWarning, match="of another library") as others:
        assert main(["train"]) == 0
    assert warnings.showwarning is shown
    assert len(others) == 1
    assert capsys.readouterr().err == "note: a.mp4: damaged after 3 frames\nnote: driving clip b: one frame\n"


def test_interrupted_says_how_to_resume(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_raising(KeyboardInterrupt(), monkeypatch) == 130
    assert "--resume continues" in capsys.readouterr().err
    assert run_raising(KeyboardInterrupt(), monkeypatch, "animate") == 130
    assert "no unfinished file" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: 8 bytes\nmore"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    ],
)
def test_lack_of_memory_is_reported_with_a_remedy(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_raising(error, monkeypatch, "train") == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and said[0].startswith("Error: not enough memory: ")
    assert "smaller pictures or batches" in said[1] and "--resume continues" in said[1]


def test_torch_words_lack_of_memory_as_expected() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert group._is_lack_of_memory(caught.value)


def test_other_runtime_errors_are_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        run_raising(RuntimeError("a bug"), monkeypatch)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "out/a.png"), "Error: out/a.png: Permission denied\n"),
        (OSError(errno.ENOSPC, "No space left on device"), "Error: No space left on device\n"),
        (FileExistsError(errno.EEXIST, "File exists", "run"), "Error: run: File exists\n"),
    ],
)
def test_system_errors_are_one_line_and_end_with_2(
    error: OSError, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_raising(error, monkeypatch, "train") == 2
    assert capsys.readouterr().err == said


def test_a_closed_pipe_is_not_an_error() -> None:
    code = f"{sys.executable} -m fomaug model info lite-256 --json"
    done = subprocess.run(["bash", "-c", f"{code} | true; echo ${{PIPESTATUS[0]}}"], capture_output=True, text=True)
    assert done.stderr == ""
    assert done.stdout in ("141\n", "0\n")  # 0 where everything was printed before the reader had gone


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_an_unavailable_device_is_named_with_the_available_ones(
    device: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--device", device, "--against", "none", "--rounds", "1"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"Error: device {device!r} cannot be used here (") and said.count("\n") == 1
    assert "); this machine has cpu" in said


@pytest.mark.parametrize(
    "words",
    [
        ["verify", "{folder}"],
        ["model", "import", "{folder}"],
        ["train", "{folder}", "--data", "x", "--out", "y"],
        ["model", "info", "{folder}"],
        ["export", "{folder}", "out"],
    ],
)
def test_a_folder_in_place_of_a_file_is_called_a_folder(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word.format(folder=tmp_path) for word in words]) == 2
    assert f"{tmp_path} is a folder" in capsys.readouterr().err


def test_every_option_has_a_help_text_and_the_same_name_the_same_text() -> None:
    helps: dict[str, set[str]] = {}
    for command in commands(group.fomaug):
        for option in command.params:
            if isinstance(option, click.Option) and not option.is_flag:
                assert option.help or isinstance(option.type, click.Choice), (command.name, option.name)
                said = (option.help or "").split(";")[0].rstrip(".")
                helps.setdefault(option.opts[-1], set()).add(said)
    for shared in ("--device", "--dtype", "--model"):
        assert len(helps[shared]) == 1, helps[shared]


def commands(command: click.Command) -> Iterator[click.Command]:
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                yield from commands(found)
    else:
        yield command


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


@pytest.mark.parametrize("name", ["caf\udce9", "\ud800"])
def test_names_that_cannot_be_written_are_printed_escaped(
    tmp_path: Path, tiny_pool: DrivingPool, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    track = replace(tiny_pool.tracks[0], name=name)
    DrivingPool([track], name, f"{name}{tiny_pool.model_hash}").save(tmp_path / "pool.safetensors")
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding="utf-8", write_through=True)
    monkeypatch.setattr(sys, "stdout", stream)
    assert main(["pool", "show", str(tmp_path / "pool.safetensors")]) == 0
    assert name.encode("ascii", "backslashreplace") in written.getvalue()
    assert stream.errors == "strict"
