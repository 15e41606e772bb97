"""The group of all commands; errors become exit codes only here."""

from __future__ import annotations

import importlib
import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, TextIO

import click

from fomaug import __version__
from fomaug.cli import Received
from fomaug.cli.help import COMMAND_SECTIONS, Group
from fomaug.cli.options import suggest_choices
from fomaug.errors import FomaugError


class _Entry(NamedTuple):
    target: str  # module:attribute, imported when the command is called
    summary: str
    interrupted: str = "no unfinished file was left behind"


_RESUME: Final = "all written files are complete; the same command with --resume continues"

COMMANDS: Final = {
    "expand": _Entry(
        "fomaug.cli.datasets:expand", "Enlarge a face dataset: animate its faces and move their labels.", _RESUME
    ),
    "convert": _Entry(
        "fomaug.cli.datasets:convert", "Convert an expanded dataset to a format that trainers read.", _RESUME
    ),
    "study": _Entry(
        "fomaug.cli.evaluate:study",
        "Measure whether copies help on a dataset: train without and with them.",
        "finished runs are kept; the same command continues",
    ),
    "animate": _Entry("fomaug.cli.driving:animate", "Animate a picture by a clip, or many pictures from a list."),
    "report": _Entry("fomaug.cli.inspection:report", "Summarise an expanded dataset."),
    "check": _Entry("fomaug.cli.inspection:check", "Find sources and driving clips that several datasets share."),
    "verify": _Entry(
        "fomaug.cli.inspection:verify", "Report whether files are marked as synthetic, and by which model."
    ),
    "pool": _Entry("fomaug.cli.driving:pool", "Build driving pools and list their tracks."),
    "model": _Entry("fomaug.cli.model:model", "List, describe and import models."),
    "train": _Entry("fomaug.cli.model:train", "Train a model on videos.", _RESUME),
    "reconstruct": _Entry(
        "fomaug.cli.evaluate:reconstruct", "Reconstruct clips from their first frames and measure the result."
    ),
    "evaluate": _Entry("fomaug.cli.evaluate:evaluate", "Compare models on the same clips."),
    "bench": _Entry("fomaug.cli.model:bench", "Measure speed and memory on this machine."),
    "export": _Entry("fomaug.cli.model:export", "Export a model to ONNX."),
}


class LazyGroup(Group):
    """A group that lists its commands by name and summary, and imports a command when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return suggest_choices(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List summaries without importing the commands."""
        width = max(map(len, COMMANDS))
        for title, names in COMMAND_SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), COMMANDS[name].summary) for name in names.split()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="fomaug", message="%(prog)s %(version)s")
def fomaug() -> None:
    """Animate every face of a dataset with the motion of driving clips, and move its labels with the face."""


def run(words: list[str], received: Received) -> int:
    """Run a command and return its exit code.

    Args:
        words: arguments without the program's name.
        received: record of the received signals.
    """
    with _printable(sys.stdout), _short_warnings():
        try:
            return _run(words)
        except (KeyboardInterrupt, click.Abort):
            pass
        except Exception:
            if not received.number:
                raise
    entry = COMMANDS.get(words[0]) if words else None
    click.echo(f"\n{received.word}; {entry.interrupted if entry else 'nothing was done'}.", err=True)
    return received.exit_code


@contextmanager
def _printable(stream: TextIO) -> Iterator[None]:
    """Escape characters that a stream cannot encode, such as file names that are not UTF-8."""
    before = getattr(stream, "errors", None)
    if not isinstance(stream, io.TextIOWrapper) or before is None:
        yield
        return
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        stream.reconfigure(errors=before)


@contextmanager
def _short_warnings() -> Iterator[None]:
    """Print warnings of the library as notes, without the line of code that issued them."""
    show: Any = warnings.showwarning

    def note(message: Warning | str, category: type[Warning], *place: Any, **target: Any) -> None:
        if category.__module__.startswith("fomaug."):
            click.echo(f"note: {message}", err=True)
        else:
            show(message, category, *place, **target)

    warnings.showwarning = note
    try:
        yield
    finally:
        warnings.showwarning = show


def _run(words: list[str]) -> int:
    """Run the command, and turn errors into exit codes."""
    try:
        code = fomaug.main(words, prog_name="fomaug", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except FomaugError as error:
        click.echo(f"Error: {error}", err=True)
        return 2
    except SystemExit as end:
        # click ends with 0 after it has completed a word for the shell, and with 1, which would mean "no", when the
        # output pipe is closed, as by `head`.
        return 141 if end.code else 0
    except OSError as error:
        click.echo(f"Error: {f'{error.filename}: ' if error.filename else ''}{error.strerror or error}", err=True)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not _is_lack_of_memory(error):
            raise
        entry = COMMANDS.get(words[0])
        click.echo(f"Error: not enough memory: {str(error).splitlines()[0] if str(error) else 'none left'}", err=True)
        click.echo(f"Use smaller pictures or batches; {entry.interrupted if entry else 'nothing was done'}.", err=True)
        return 2
    return code if isinstance(code, int) else 0


def _is_lack_of_memory(error: Exception) -> bool:
    """Recognise errors about memory: torch has a class for GPUs, and a RuntimeError with these words for CPUs."""
    kind, words = type(error).__name__, str(error)
    return isinstance(error, MemoryError) or kind == "OutOfMemoryError" or "DefaultCPUAllocator" in words
