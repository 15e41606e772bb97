"""Measure the time that workers spend in their stages, and describe the stage that limits a job."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

STAGES: Final = {
    "tasks": ("waiting for tasks", "fewer processes do as well, or smaller --samples-per-shard"),
    "reading": ("waiting for sources that are read and decoded", "more --workers, a faster disk or smaller pictures"),
    "faces": ("finding faces and fitting annotations", "--faces frame, or boxes from annotations"),
    "model": ("drawing and animating", "more --processes, a GPU, or --dtype float16 on one"),
    "gates": ("judging copies", "--gates off"),
    "writing": ("waiting for copies that are encoded and written", "more --workers, or JPEG instead of PNG"),
    "recording": ("flushing files and rows to the disk", "archives instead of folders, or a faster disk"),
}
"""The work of each stage, and remedies for a long stage."""


class Clock:
    """Sums of the time in each stage; the time of an inner stage is not part of the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._stack: list[float] = []

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Count the time of a block."""
        start = time.perf_counter()
        self._stack.append(0.0)
        try:
            yield
        finally:
            spent, within = time.perf_counter() - start, self._stack.pop()
            self.seconds[stage] = self.seconds.get(stage, 0.0) + spent - within
            if self._stack:
                self._stack[-1] += spent

    def timed(self, stage: str, function: Callable[P, R]) -> Callable[P, R]:
        """Wrap a function so that its time is counted."""

        def call(*args: P.args, **options: P.kwargs) -> R:
            with self(stage):
                return function(*args, **options)

        return call

    def reset(self) -> dict[str, float]:
        """Return the sums so far, and reset them."""
        seconds, self.seconds = self.seconds, {}
        return seconds


def describe(seconds: Mapping[str, float]) -> list[str]:
    """Return lines about the stages of all workers, and about the stage that limits the job.

    >>> describe({"model": 3.0, "reading": 1.0})[-1]
    'drawing and animating limits: 75 %; what helps: more --processes, a GPU, or --dtype float16 on one'
    """
    total = sum(seconds.values())
    if not total:
        return ["no copy was made, so no stage limits"]
    lines = [
        f"{seconds.get(name, 0):9.1f} s  {seconds.get(name, 0) / total:4.0%}  {STAGES[name][0]}" for name in STAGES
    ]
    longest = max(STAGES, key=lambda name: seconds.get(name, 0))
    does, remedy = STAGES[longest]
    share = f"{100 * seconds[longest] / total:.0f} %"
    return [*lines, f"{does} limits: {share}; what helps: {remedy}"]
