"""The files of a study that is under way: its settings, and a line for every finished run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from fomaug.errors import ResumeError, shortened
from fomaug.files import MANIFEST, SUMMARY, append_line, is_temporary, read_regular, write_file
from fomaug.strict_json import load_json

SETTINGS: Final = "settings.json"
RUNS: Final = "runs.jsonl"


class RunId(NamedTuple):
    """Which run: the name of its arm, the number of its choice of training pictures, the number of its seed."""

    arm: str
    choice: int
    seed: int


class RunResult(NamedTuple):
    """The result of a run.

    Attributes:
        scores: score of each test picture by its key.
        train: mean score of the training pictures.
        copies: number of copies that the run had.
        refused: number of copies that the gates refused.
    """

    scores: dict[str, float]
    train: float
    copies: int
    refused: int


_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "arm": (str,),
    "choice": (int,),
    "seed": (int,),
    "scores": (dict,),
    "train": (int, float),
    "copies": (int,),
    "refused": (int,),
}


class RunLog:
    """Finished runs on disk.

    A run is one line, appended in one write and flushed; the end of a line that a killed process left is cut off when
    the study goes on.

    Args:
        out: folder of the study; it is made.
        settings: all that decides the results, as plain JSON.

    Raises:
        ResumeError: the folder holds another study, or something else.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        self.path = out / RUNS
        self.done: dict[RunId, RunResult] = {}
        _enter(out, json.loads(json.dumps(settings)))
        if self.path.exists():
            self.done = dict(_read(self.path))

    def add(self, run: RunId, result: RunResult) -> None:
        """Record a finished run."""
        line = json.dumps({**run._asdict(), **result._asdict()}, ensure_ascii=False)
        append_line(self.path, line + "\n", durable=True)
        self.done[run] = result


def _enter(out: Path, settings: dict[str, Any]) -> None:
    path = out / SETTINGS
    if not path.exists():
        strangers = [entry.name for entry in out.iterdir() if not is_temporary(entry)] if out.is_dir() else []
        if strangers:
            raise ResumeError(f"{out} is not empty and holds no study ({strangers[0]}); give a new folder")
        write_file(path, (json.dumps(settings, indent=2) + "\n").encode(), durable=True)
        return
    known = load_json(read_regular(path, SUMMARY), path, ResumeError)
    if changed := list(_changes(known, settings)):
        raise ResumeError(
            f"{out} holds a study with other settings: {'; '.join(changed[:3])}. Give the same settings to go on, or a "
            "new folder"
        )


def _changes(known: Any, wanted: Any, name: str = "") -> Iterator[str]:
    """Name what differs between two plain JSON values."""
    if isinstance(known, dict) and isinstance(wanted, dict):
        for key in dict.fromkeys([*known, *wanted]):
            yield from _changes(known.get(key), wanted.get(key), f"{name}.{key}" if name else key)
    elif known != wanted:
        yield f"{name} was {json.dumps(known)[:60]} and is {json.dumps(wanted)[:60]}"


def _read(path: Path) -> Iterator[tuple[RunId, RunResult]]:
    content = read_regular(path, MANIFEST)
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        write_file(path, whole, durable=True)
    for number, line in enumerate(whole.splitlines(), 1):
        name = f"{path}, line {number}"
        row = load_json(line, name, ResumeError)
        try:
            _check(row)
        except (KeyError, TypeError) as cause:
            raise ResumeError(f"{name} is damaged ({cause}); remove the line to repeat the run") from cause
        yield RunId(*(row[field] for field in RunId._fields)), RunResult(*(row[field] for field in RunResult._fields))


def _check(row: Any) -> None:
    """Raise KeyError or TypeError unless the row has the fields of a run, each of its kind."""
    for field, kinds in _KINDS.items():
        value = row[field]
        if not isinstance(value, kinds) or isinstance(value, bool):
            raise TypeError(f"{field} is {shortened(value)}")
    if not all(isinstance(score, int | float) for score in row["scores"].values()):
        raise TypeError(f"scores are {shortened(row['scores'])}")
