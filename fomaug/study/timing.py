"""The time that a study will take, measured before it begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from fomaug.study.arms import Arm
from fomaug.study.copies import make_copies
from fomaug.study.features import Embed, match, num_views
from fomaug.study.runs import RunId
from fomaug.study.splits import Split
from fomaug.study.train import Run, train

_STEPS: Final = 4  # timed, after as many to warm up


@dataclass(frozen=True)
class Forecast:
    """What a study will take.

    Attributes:
        seconds: of all that is left to do.
        runs: that are left.
        copies: to be made.
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
    """Time a few steps and copies, and add up.

    Args:
        run: of the classic arm, to be timed.
        arms: all arms.
        splits: all choices of training pictures.
        left: runs that are not done yet.
        embed: the model of features; None for the network.
    """
    second_per_run = _time_features(run, embed) if embed else _time_steps(run) * run.plan.steps
    groups = {(name, choice) for name, choice, _ in left}
    copies, seconds = 0, len(left) * second_per_run
    for arm in arms:
        choices = [choice for name, choice in groups if name == arm.name]
        if arm.augment is None or not choices:
            continue
        count = run.plan.copies * sum(len(splits[choice].train) for choice in choices)
        copies += count
        seconds += count * _time_copies(run, arm) / run.plan.copies
    return Forecast(seconds, len(left), copies)


def _time_steps(run: Run) -> float:
    """Seconds per training step; the last test on all pictures is left out, which takes as long as a few steps."""
    short = replace(run, plan=replace(run.plan, steps=2 * _STEPS))
    marks: list[float] = []
    train(short, progress=lambda _: marks.append(time.perf_counter()))
    return (marks[-1] - marks[-1 - _STEPS]) / _STEPS


def _time_features(run: Run, embed: Embed) -> float:
    few = Split(run.split.train[:8], run.split.test[:64])
    short = replace(run, split=few)
    return _seconds(lambda: match(short, embed, progress=lambda _: None)) * num_views(run) / num_views(short)


def _time_copies(run: Run, arm: Arm) -> float:
    """Seconds for all copies of one picture, the second time that they are made."""
    augment = arm.augment
    assert augment is not None

    def once() -> None:
        gates = run.plan.gates == "on"
        make_copies(
            augment, run.faces, run.split.train[:1], copies=run.plan.copies, gates=gates, progress=lambda _: None
        )

    once()
    return _seconds(once)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
