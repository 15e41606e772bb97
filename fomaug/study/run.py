"""`fomaug.study`: measure whether copies help on a dataset."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from torch import nn
from tqdm import tqdm

from fomaug.errors import ArgumentError, did_you_mean
from fomaug.files import write_file
from fomaug.study.arms import NONE, Arm, Defaults, Options, make_arms
from fomaug.study.augmentation import Copies, make_copies
from fomaug.study.data import StudyData, choose_views, load_data
from fomaug.study.design import Split, make_splits
from fomaug.study.faces import check_faces, warnings_of
from fomaug.study.features import Embed, match, num_views
from fomaug.study.plan import StudyPlan
from fomaug.study.report import StudyResult, draw_chart, summarise
from fomaug.study.runs import RunId, RunLog, RunResult, make_settings
from fomaug.study.train import Run, Scored, train

_STEPS: Final = 4  # Steps that are timed, after as many for warming up.


@dataclass(frozen=True)
class Forecast:
    """The remaining time and work of a study.

    Attributes:
        seconds: estimated time in seconds.
        runs: number of remaining runs.
        copies: number of copies to make.
    """

    seconds: float
    runs: int
    copies: int

    def __str__(self) -> str:
        minutes = self.seconds / 60
        when = f"{minutes:.0f} minutes" if minutes >= 1.5 else f"{self.seconds:.0f} seconds"
        return f"about {when} to go: {self.runs} runs and {self.copies} copies"


def forecast(
    run: Run, arms: Sequence[Arm], splits: Sequence[Split], left: Sequence[RunId], embed: Embed | None
) -> Forecast:
    """Time a few steps and copies, and estimate the remaining time.

    Args:
        run: run of the classic arm, which is timed.
        arms: all arms.
        splits: all choices of training pictures.
        left: remaining runs.
        embed: model of features; None for the network.
    """
    copies, seconds = 0, len(left) * (_time_features(run, embed) if embed else _time_run(run))
    groups = {(name, splits[choice].train.tobytes()): len(splits[choice].train) for name, choice, _ in left}
    for arm in arms:
        pictures = sum(count for (name, _), count in groups.items() if name == arm.name)
        if arm.augment is None or not pictures:
            continue
        copies += arm.mixture.num_copies(run.plan) * pictures
        seconds += pictures * _time_copies(run, arm)
    return Forecast(seconds, len(left), copies)


def _time_run(run: Run) -> float:
    """Return the seconds for the steps of a run and the test after the last step."""
    short = replace(run, plan=replace(run.plan, steps=2 * _STEPS))
    marks: list[float] = []
    train(short, progress=lambda _: marks.append(time.perf_counter()))
    return (marks[-1] - marks[-1 - _STEPS]) / _STEPS * run.plan.steps + time.perf_counter() - marks[-1]


def _time_features(run: Run, embed: Embed) -> float:
    few = Split(run.split.train[:8], run.split.test[:64])
    short = replace(run, split=few)
    return _seconds(lambda: match(short, embed, progress=lambda _: None)) * num_views(run) / num_views(short)


def _time_copies(run: Run, arm: Arm) -> float:
    """Return the seconds for all copies of one picture, after making them once for warming up."""
    augment = arm.augment
    assert augment is not None

    def once() -> None:
        gates = (arm.mixture.gates or run.plan.gates) == "on"
        copies = arm.mixture.num_copies(run.plan)
        make_copies(augment, run.data, run.split.train[:1], copies=copies, gates=gates, progress=lambda _: None)

    once()
    return _seconds(once)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


RESULT: Final = "study.json"
TABLE: Final = "study.txt"
CHART: Final = "study.svg"


def study(
    dataset: str | Path,
    out: str | Path,
    *,
    arms: Mapping[str, Options] | None = None,
    embed: Embed | None = None,
    device: str = "auto",
    progress: bool = False,
    announce: Callable[[str], object] | None = None,
    **options: Any,
) -> StudyResult:
    """Measure whether copies help on a dataset: train networks without augmentation, with classic, and with copies.

    The same call resumes an interrupted study, and a call with further arms adds them to a finished one. The results
    are written to `out`: study.json, study.txt and study.svg.

    Args:
        dataset: folder of class folders; for landmarks, folder of pictures.
        out: folder for finished runs and results; a new one, or that of the same study.
        arms: options of further arms with copies by name: keyword arguments of `MotionAugment` and of
            `fomaug.study.Mixture`, a JSON file with them, a pool specification such as "parametric yaw=-20:20", or a
            `MotionAugment`. The name "copies" replaces the copies of the task's purpose, which is "auto" for
            recognition.
        embed: model of features, from (B, 3, S, S) float in [0, 1] to (B, D), that is used instead of the network:
            pictures are assigned to the nearest person. It is for recognition only.
        device: device of the model that makes the copies; networks are trained on the CPU.
        progress: whether to show a progress bar.
        announce: function that receives a sentence with the remaining time, and warnings of the training pictures.
        options: fields of `StudyPlan`: task, per_class, train_images, test, annotations, test_annotations,
            annotation_format, group_pattern, normaliser, choices, seeds, steps, batch_size, share, copies, gates, size,
            worth, seed. `test` is a folder of test pictures; without it, each choice tests on pictures of the dataset
            that it does not train on.

    Returns:
        Scores, gains with their intervals, and the verdict.

    Raises:
        ArgumentError: an option or the dataset does not allow the study.
        ResumeError: `out` holds another study.
    """
    plan = make_plan(options)
    _check_embed(plan, embed)
    folder, target = Path(dataset), Path(out)
    data = load_data(folder, plan, features=embed is not None)
    splits = make_splits(data, plan)
    made = make_arms(arms or {}, Defaults(plan.purpose, plan.seed, device, partial(choose_views, data)))
    settings = make_settings(plan, data, made, embed)
    log = RunLog(target, settings)
    work = _Work(plan, data, splits, made, embed)
    left = [run for run in _all_runs(work) if run not in log.done]
    faces = check_faces(data, splits, made)
    if left and announce is not None:
        for warning in warnings_of(faces, {}):
            announce(f"warning: {warning}")
        first = Run(data, splits[0], plan, classic=True, copies=None, seeds=(0, 0))
        announce(str(forecast(first, made, splits, left, embed)))
    _do(work, left, log, progress=progress)
    result = summarise(plan, data, splits, made, log, settings, faces)
    _write(target, result)
    return result


def make_plan(options: Mapping[str, Any]) -> StudyPlan:
    """Turn keyword arguments into a plan.

    Raises:
        ArgumentError: an argument is unknown or has a wrong value.
    """
    known = [field.name for field in fields(StudyPlan)]
    for name in options:
        if name not in known:
            raise ArgumentError(f"unknown option {name!r} of study{did_you_mean(name, known)}")
    values: dict[str, Any] = {k: os.fspath(v) if isinstance(v, Path) else v for k, v in options.items()}
    return StudyPlan(**values)


@dataclass(frozen=True, eq=False)
class _Work:
    plan: StudyPlan
    data: StudyData
    splits: Sequence[Split]
    arms: Sequence[Arm]
    embed: Embed | None


def _all_runs(work: _Work) -> Iterator[RunId]:
    """Yield all runs, choice by choice, so that only the copies of one choice are in memory."""
    for choice in range(len(work.splits)):
        for arm in work.arms:
            yield from (RunId(arm.name, choice, seed) for seed in range(work.plan.seeds))


def _do(work: _Work, left: Sequence[RunId], log: RunLog, *, progress: bool) -> None:
    with tqdm(total=_units(work, left), disable=not progress, unit="step", dynamic_ncols=True) as bar:
        copies, trained = dict[str, Copies](), b""
        for run in left:
            bar.set_description(f"choice {run.choice + 1} of {len(work.splits)}, {run.arm}")
            split = work.splits[run.choice]
            if split.train.tobytes() != trained:
                copies, trained = {}, split.train.tobytes()
            arm = next(arm for arm in work.arms if arm.name == run.arm)
            made = _copies(work, run.choice, arm, copies, bar.update)
            task = Run(work.data, split, work.plan, run.arm != NONE, made, (run.choice, run.seed), arm.mixture)
            scored = _scored(work, task, bar.update)
            keys = [work.data.keys[row] for row in split.test]
            scores = dict(zip(keys, scored.test.round(6).tolist(), strict=True))
            counts = (0, 0) if made is None else (len(made.images), made.rejected)
            log.add(run, RunResult(scores, round(scored.train, 6), *counts))


def _units(work: _Work, left: Sequence[RunId]) -> int:
    """Return the number of steps or views of the remaining runs, plus the number of copies to make."""
    recipes = {arm.name: _recipe(arm, work.plan) for arm in work.arms if arm.augment is not None}
    numbers = {recipes[arm.name]: arm.mixture.num_copies(work.plan) for arm in work.arms if arm.name in recipes}
    trained = [split.train for split in work.splits]
    groups = {(recipes[run.arm], trained[run.choice].tobytes()): run for run in left if run.arm in recipes}
    copies = sum(numbers[recipe] * len(trained[run.choice]) for (recipe, _), run in groups.items())
    if work.embed is None:
        return copies + len(left) * work.plan.steps
    return copies + sum(
        num_views(
            Run(work.data, work.splits[run.choice], work.plan, classic=run.arm != NONE, copies=None, seeds=(0, 0))
        )
        for run in left
    )


def _copies(
    work: _Work, choice: int, arm: Arm, made: dict[str, Copies], update: Callable[[int], object]
) -> Copies | None:
    """Make the copies of an arm, or return those of an arm with the same transform, number and gates."""
    if arm.augment is None:
        return None
    recipe, gates = _recipe(arm, work.plan), arm.mixture.gates or work.plan.gates
    if recipe not in made:
        number = arm.mixture.num_copies(work.plan)
        rows = work.splits[choice].train
        made[recipe] = make_copies(arm.augment, work.data, rows, copies=number, gates=gates == "on", progress=update)
    return made[recipe]


def _recipe(arm: Arm, plan: StudyPlan) -> str:
    assert arm.augment is not None
    return json.dumps([arm.augment.to_dict(), arm.mixture.num_copies(plan), arm.mixture.gates or plan.gates])


def _scored(work: _Work, run: Run, update: Callable[[int], object]) -> Scored:
    return train(run, progress=update) if work.embed is None else match(run, work.embed, progress=update)


def _check_embed(plan: StudyPlan, embed: Embed | None) -> None:
    if embed is None:
        return
    if plan.task != "recognition":
        raise ArgumentError(f"a model of features is for task 'recognition', got {plan.task!r}; leave embed out")
    if isinstance(embed, nn.Module) and embed.training:
        raise ArgumentError("the model of features is in training mode; call its eval() first")


def _write(out: Path, result: StudyResult) -> None:
    write_file(out / CHART, draw_chart(result).encode())
    write_file(out / TABLE, (result.table() + "\n").encode())
    write_file(out / RESULT, (json.dumps(result.to_dict(), indent=2) + "\n").encode())
