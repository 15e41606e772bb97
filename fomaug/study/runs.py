"""The files of an unfinished study: its settings, and one line for each finished run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import fomaug
from fomaug.errors import ResumeError, shortened
from fomaug.files import MANIFEST, SUMMARY, append_line, is_temporary, read_regular, write_file
from fomaug.study.arms import Arm
from fomaug.study.data import StudyData
from fomaug.study.features import Embed, describe
from fomaug.study.pictures import digest_pictures
from fomaug.study.plan import StudyPlan
from fomaug.untrusted import load_json

SETTINGS: Final = "settings.json"
RUNS: Final = "runs.jsonl"
_SHOWN: Final = 8  # Largest number of differences in a message.
# Largest number of characters of a value in a message; options are far shorter, damaged files may not be.
_LONGEST: Final = 200
_FILES: Final = {
    "pictures": "the pictures of the dataset",
    "test_pictures": "the pictures of the test folder",
    "labels": "the landmarks",
}
_OTHER_COPIES: Final = (
    ". The pool of the arm 'copies' depends on the purpose of the task; --arm copies=POOL gives the pool that it had, "
    "such as builtin"
)


class RunId(NamedTuple):
    """The identifier of a run.

    Attributes:
        arm: name of the arm.
        choice: index of the choice of training pictures.
        seed: index of the seed.
    """

    arm: str
    choice: int
    seed: int


class RunResult(NamedTuple):
    """The result of a run.

    Attributes:
        scores: score of each test picture by key.
        train: mean score of the training pictures.
        copies: number of copies of the training pictures.
        rejected: number of copies that the gates rejected.
    """

    scores: dict[str, float]
    train: float
    copies: int
    rejected: int


_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "arm": (str,),
    "choice": (int,),
    "seed": (int,),
    "scores": (dict,),
    "train": (int, float),
    "copies": (int,),
    "rejected": (int,),
}


def make_settings(plan: StudyPlan, data: StudyData, arms: Sequence[Arm], embed: Embed | None) -> dict[str, Any]:
    """Return the settings and hashes that determine the results, as plain JSON; the paths of folders are not there."""
    values = {
        **plan.to_dict(),
        "annotations": _names(plan.annotations),
        "test_annotations": _names(plan.test_annotations),
    }
    left_out = {"test"} if data.test_folder is not None else {"test", "test_annotations"}
    settings = {
        "fomaug": fomaug.__version__,
        "plan": {name: value for name, value in values.items() if name not in left_out},
        "arms": {arm.name: arm.to_dict()["copies"] for arm in arms},
        "features": None if embed is None else describe(embed),
        "pictures": digest_pictures(data.folder, data.keys[: data.num_own]),
        "labels": _digest_landmarks(data),
    }
    if data.test_folder is None:
        return settings
    return {**settings, "test_pictures": digest_pictures(data.test_folder, data.keys[data.num_own :])}


def _names(path: str | None) -> list[str]:
    return [] if path is None else [Path(path).name]


def _digest_landmarks(data: StudyData) -> str | None:
    """Return the sha256 of the landmarks that are learned, or that say where the faces are; None without landmarks."""
    if data.points is not None and data.visible is not None:
        return hashlib.sha256(data.points.numpy().tobytes() + data.visible.numpy().tobytes()).hexdigest()
    parts = [face.points for face in data.faces if face is not None and face.points is not None]
    return hashlib.sha256(b"".join(points.tobytes() for points in parts)).hexdigest() if parts else None


class RunLog:
    """Finished runs on disk.

    Each run is one line, which is appended in one write and flushed. An unfinished line of a killed process is removed
    when the study is resumed.

    Args:
        out: folder of the study; it is created if it does not exist.
        settings: settings and hashes that determine the results, as plain JSON.

    Raises:
        ResumeError: the folder holds another study or other files.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]) -> None:
        self.path = out / RUNS
        self.done: dict[RunId, RunResult] = {}
        _enter(out, json.loads(json.dumps(settings)))
        if self.path.exists():
            self.done = dict(_read(self.path))

    def add(self, run: RunId, result: RunResult) -> None:
        """Append a finished run."""
        line = json.dumps({**run._asdict(), **result._asdict()}, ensure_ascii=False)
        append_line(self.path, line + "\n", durable=True)
        self.done[run] = result


def _enter(out: Path, settings: dict[str, Any]) -> None:
    path = out / SETTINGS
    if not path.exists():
        others = [entry.name for entry in out.iterdir() if not is_temporary(entry)] if out.is_dir() else []
        if others:
            raise ResumeError(f"{out} is not empty and holds no study ({others[0]}); give a new folder")
        write_file(path, (json.dumps(settings, indent=2) + "\n").encode(), durable=True)
        return
    known = load_json(read_regular(path, SUMMARY), path, ResumeError)
    if known != settings and known == _without_new_arms(settings, known):
        write_file(path, (json.dumps(settings, indent=2) + "\n").encode(), durable=True)
        return
    if changed := list(_changes(known, _without_new_arms(settings, known))):
        more = f"; and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        has_other_pool = any(where == ("arms", "copies", "pool_hash") for where, _, _ in changed)
        listed = "; ".join(_described(*one) for one in changed[:_SHOWN])
        raise ResumeError(
            f"{out} holds a study with other settings: {listed}{more}. "
            f"Give the same settings to resume it, or a new folder{_OTHER_COPIES if has_other_pool else ''}"
        )


def _without_new_arms(settings: dict[str, Any], known: Any) -> dict[str, Any]:
    """Leave out the arms that a known study does not have; arms may be added to it, and not removed or changed."""
    before = known.get("arms") if isinstance(known, dict) else None
    if not isinstance(before, dict):
        return settings
    return {**settings, "arms": {name: arm for name, arm in settings["arms"].items() if name in before}}


def _changes(known: Any, wanted: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """Yield the path, the old and the new value of each difference between two plain JSON values."""
    if isinstance(known, dict) and isinstance(wanted, dict):
        for key in dict.fromkeys([*known, *wanted]):
            yield from _changes(known.get(key), wanted.get(key), (*path, key))
    elif known != wanted:
        yield path, known, wanted


def _described(path: tuple[str, ...], old: Any, new: Any) -> str:
    """Say in words what differs; of files, the settings have only hashes."""
    name, *parts = path or ("the settings",)
    if name in _FILES:
        what = "are not given now" if new is None else "were not given before" if old is None else "have changed"
        return f"{_FILES[name]} {what}"
    if name == "plan" and parts:
        return f"{parts[-1]} was {_value(old)} and is {_value(new)}"
    if name == "arms" and len(parts) == 1 and isinstance(old, dict) and new is None:
        return f"arm {parts[0]!r} is not given now"
    of = f"{'.'.join(parts[1:]) or 'the copies'} of arm {parts[0]!r}" if name == "arms" and parts else name
    return f"{of} was {_value(old)} and is {_value(new)}"


def _value(value: Any) -> str:
    text = "not given" if value is None else json.dumps(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


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
    """Raise KeyError or TypeError unless a row has all fields of a run with values of their types."""
    for field, types in _TYPES.items():
        value = row[field]
        if not isinstance(value, types) or isinstance(value, bool):
            raise TypeError(f"{field} is {shortened(value)}")
    if not all(isinstance(score, int | float) for score in row["scores"].values()):
        raise TypeError(f"scores are {shortened(row['scores'])}")
