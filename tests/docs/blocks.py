"""Execution of the blocks of a page, one after the other, in a folder and a namespace of their own."""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pages import Block, Page

from fomaug.cli import main

LANGUAGES = ("python", "console")
NOT_RUN = "not run: "
FILE = re.compile(r"\w+\.py")
Before = Callable[[list[str]], None]

# Programs that the tests do not start, and why.
OTHER_PROGRAMS = {
    "pip": "it installs packages; the environment of the tests was made by it",
    "make": "it makes an environment and runs these tests",
    "python": "programs of the project have tests of their own: test_examples.py, test_benchmarks.py, test_figures.py",
}

# What makes a documented call small enough for a test, or fits it to a machine without a GPU.
_SMALLER_COMMANDS = (
    (r"^expand (?!.*(--shard|--finish|--copies))(.*)", r"expand \2 --copies 2"),
    (r"--copies \d+", "--copies 2"),
    (
        r"--copies 2 --purpose recognition",
        "--copies 1 --purpose recognition",
    ),  # the face of each copy is searched later
    (r"--per-class \d+", "--per-class 1"),
    (r"--processes auto", "--processes 2"),
    (r"--max-steps \d+", "--max-steps 2"),
    (r"--(shard \d+)/\d+", r"--\1/4"),
    (r"(?<![\w.])/shared/", "shared/"),
    (r"^study (.*)", r"study \1 --steps 2 --choices 2 --seeds 1 --copies 1 --gates off --no-progress"),
    (r"^animate (.*)", r"animate \1 --max-frames 3"),
    (r"^bench (.*)", r"bench \1 --rounds 1"),
    (r"^(reconstruct|evaluate) (.*)", r"\1 \2 --max-frames 6"),
    (r"^pool build (.*)", r"pool build \1 --max-frames 6"),
)
_SMALLER_CODE = (
    (r'"cuda"', '"cpu"'),
    (r"copies=(8|16)\b", "copies=2"),
    (r"\b8, 0\)", "2, 0)"),  # repeat_interleave(8, 0), which goes with copies=8
    (r"num_workers=\d+", "num_workers=0"),
    (r"batch_size=64", "batch_size=2"),
    (r"processes=\d+", "processes=1"),
    (r"steps=\d+", "steps=1"),
    (r"fomaug\.study\((.*?)\)", r'fomaug.study(\1, choices=2, seeds=1, copies=1, gates="off")'),
)


def reason_not_to_run(block: Block) -> str:
    """Return the reason that a block gives for not being run, or an empty text."""
    return block.remark.removeprefix(NOT_RUN) if block.remark.startswith(NOT_RUN) else ""


def commands_of(text: str) -> list[str]:
    """Return the commands of a console block, without prompts and output.

    >>> commands_of("$ fomaug model list   # all\\nlite-256\\n$ a \\\\\\n    b\\n")
    ['fomaug model list   # all', 'a b']
    """
    joined = re.sub(r"\\\n\s*", "", text)
    return [line.removeprefix("$ ") for line in joined.splitlines() if line.startswith("$ ")]


def run_page(page: Page, names: dict[str, Any], before: Before = lambda words: None) -> int:
    """Run the blocks of a page in the current folder, and return how many were run.

    A Python block with the name of a file behind its language is that file, too.

    Args:
        page: the page.
        names: names that Python blocks find, and that they add to.
        before: function that gets the words of each command before it is run.
    """
    done = 0
    for block in page.blocks:
        if block.language not in LANGUAGES or reason_not_to_run(block):
            continue
        place = f"{page.name}:{block.line}"
        if block.language == "python":
            _run_code(block, place, names)
        else:
            for command in commands_of(block.text):
                _run_command(command, place, before)
        done += 1
    return done


def _run_code(block: Block, place: str, names: dict[str, Any]) -> None:
    code = _replaced(block.text, _SMALLER_CODE)
    if FILE.fullmatch(block.remark):
        Path(block.remark).write_text(block.text)
    lines = "\n" * (block.line - 1)  # so that a traceback has the line of the page
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a note to the user, as in a session of theirs
        exec(compile(lines + code, place, "exec"), names)


def _run_command(command: str, place: str, before: Before) -> None:
    program, *words = shlex.split(command, comments=True)
    if program in OTHER_PROGRAMS:
        return
    assert program == "fomaug", f"{place}: mark the block as `{NOT_RUN}REASON`, since {program} cannot be run here"
    words = shlex.split(_replaced(shlex.join(words), _SMALLER_COMMANDS))
    before(words)
    code = main(words)
    assert code == 0, f"{place}: {shlex.join(['fomaug', *words])} ended with {code}"


def _replaced(text: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in pairs:
        text = re.sub(pattern, replacement, text)
    return text
