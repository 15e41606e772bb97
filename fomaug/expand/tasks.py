"""The tasks of a job: one for each group with missing copies, for the workers of any engine; and shares of a job."""

from __future__ import annotations

import os
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, ParamSpec, Protocol, TypeVar

from fomaug.errors import ArgumentError, ResumeError
from fomaug.expand.index import RowIndex
from fomaug.expand.manifest import CopyId, part_path
from fomaug.expand.report import Failure, OnMade
from fomaug.expand.shards import Division
from fomaug.expand.sources import Group, Loaded
from fomaug.labels import FaceLabels, Flaw

MOST_DEATHS: Final = 3  # of workers, by one group, before the group is given up

Seconds = dict[str, float]
P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True)
class Task:
    """A group with missing copies, and all facts about the dataset that a worker needs.

    Attributes:
        group: the group.
        recorded: copies of the group that have rows.
        labels: labels of its sources, by key.
        hashes: sha256 of the files that recorded copies were made from, by key of the source.
    """

    group: Group
    recorded: frozenset[CopyId] = frozenset()
    labels: Mapping[str, FaceLabels] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)

    def check_content(self, loaded: Loaded) -> None:
        """Raise `ResumeError` if a picture has other content than when its recorded copies were made."""
        key = loaded.job.source.key
        if loaded.picture is not None and loaded.hash != self.hashes.get(key, loaded.hash):
            raise ResumeError(
                f"{key} was replaced since some of its copies were made, and a job cannot change its pictures; restore "
                "it, or give a new folder"
            )


@dataclass(frozen=True)
class Done:
    """The result of a task in addition to the written files and rows.

    Attributes:
        number: number of the group.
        failed: sources that could not be used.
        flaws: left-out annotations of these sources; those of other sources are in the rows.
        seconds: time that the worker spent in each stage.
    """

    number: int
    failed: tuple[Failure, ...] = ()
    flaws: tuple[Flaw, ...] = ()
    seconds: Seconds = field(default_factory=dict)


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


class Feed(Protocol):
    """The interface of a job for its workers."""

    def take(self, *, wait: bool) -> Task | None:
        """Return the next task; None if there is none, or, without waiting, if there is none yet."""

    def made(self, copies: int, failed: int) -> None:
        """Count settled copies and failed sources."""

    def done(self, done: Done) -> None:
        """Report a finished task."""


class Tasks:
    """The queue of the tasks of a job or of one share, and the results of its workers; it is also a feed.

    Args:
        division: division of the job.
        index: index of the existing rows.
        numbers: numbers of the groups to make.
        labels: labels of the sources, by key.
        on_made: function that is called with a number of settled copies and of failed sources.

    Attributes:
        failed: sources that could not be used.
        flaws: annotations of these sources that were left out.
        seconds: time that all workers spent in each stage.
    """

    def __init__(
        self,
        division: Division,
        index: RowIndex,
        numbers: Iterable[int],
        labels: Mapping[str, FaceLabels],
        on_made: OnMade,
    ) -> None:
        self.division = division
        self.index = index
        self.failed: list[Failure] = []
        self.flaws: list[Flaw] = []
        self.seconds: Counter[str] = Counter()
        self.made = on_made
        self._labels = labels
        self._waiting = deque(number for number in numbers if self._is_missing(number))
        self._deaths: Counter[int] = Counter()

    def __len__(self) -> int:
        """Return the number of tasks that no worker has taken."""
        return len(self._waiting)

    def take(self, *, wait: bool = False) -> Task | None:
        """Return the next task; None if all are taken."""
        return self._task(self._waiting.popleft()) if self._waiting else None

    def done(self, done: Done) -> None:
        """Add the result of a task."""
        self.failed += done.failed
        self.flaws += done.flaws
        self.seconds.update(done.seconds)

    def put_back(self, task: Task) -> None:
        """Put a task back that its worker has not begun."""
        self._waiting.appendleft(task.group.number)

    def lost(self, task: Task, part: str, reason: str) -> None:
        """Put the task of a dead worker back, or report its sources as failed if it was put back too often.

        Args:
            task: the task.
            part: name of the worker's manifest part; its rows are kept.
            reason: end of the sentence "the worker that made its copies ...".
        """
        number = task.group.number
        self.index.add(part_path(self.index.out, part), checked=False)
        self._deaths[number] += 1
        if not self._is_missing(number):
            return
        if self._deaths[number] < MOST_DEATHS:
            self._waiting.appendleft(number)
            return
        missing = [job.source.key for job in task.group.jobs if not all(map(self.index.has, job.copy_ids))]
        times = f"{MOST_DEATHS} times in a row"
        self.failed += [Failure(key, f"the worker that made its group {reason}, {times}") for key in missing]

    def _is_missing(self, number: int) -> bool:
        positions = self.division.positions(number)
        num_copies: int = positions.stop - positions.start
        return self.index.count_recorded(positions) < num_copies

    def _task(self, number: int) -> Task:
        group = self.division.group(number)
        recorded = frozenset(copy_id for copy_id in group.copy_ids if self.index.has(copy_id))
        keys = [job.source.key for job in group.jobs]
        labels = {key: self._labels[key] for key in keys if key in self._labels}
        begun = {key for key, _ in recorded}
        return Task(group, recorded, labels, {key: found for key in begun if (found := self.index.source_hash(key))})


@dataclass(frozen=True)
class Share:
    """One of several equal shares of a job.

    Attributes:
        number: number of the share, from 0.
        count: number of shares.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def groups(self, num_groups: int) -> range:
        """Return the numbers of the share's groups: every `count`-th group, so that shares are similar in any order."""
        return range(self.number, num_groups, self.count)


def parse_share(text: str, environ: Mapping[str, str] | None = None) -> Share:
    """Parse the option `shard`: I/N, or auto for the numbers in a cluster's environment variables.

    `auto` reads RANK and WORLD_SIZE, as torchrun sets them, and SLURM_ARRAY_TASK_ID with _COUNT, _MIN and _STEP. Where
    both are set, each task of the array is divided among its ranks.

    Args:
        text: value of the option.
        environ: environment variables; None for those of this process.

    Raises:
        ArgumentError: the text has another form, or the cluster gives no numbers.

    >>> parse_share("3/16")
    Share(number=3, count=16)
    >>> parse_share("auto", {"SLURM_ARRAY_TASK_ID": "6", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "8"})
    Share(number=5, count=8)
    """
    if text == "auto":
        return _find_share(os.environ if environ is None else environ)
    match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
    if match is None:
        raise ArgumentError(f"shard must be I/N, such as 0/16, or auto, got {text!r}")
    return _checked(Share(int(match[1]), int(match[2])), f"shard {text}")


def _find_share(environ: Mapping[str, str]) -> Share:
    shares = [share for share in (_array_share(environ), _rank_share(environ)) if share is not None]
    if not shares:
        raise ArgumentError(
            "shard auto needs RANK and WORLD_SIZE, or SLURM_ARRAY_TASK_ID and SLURM_ARRAY_TASK_COUNT, and none is set; "
            "give I/N instead"
        )
    number, count = 0, 1
    for share in shares:
        number, count = number * share.count + share.number, count * share.count
    return Share(number, count)


def _rank_share(environ: Mapping[str, str]) -> Share | None:
    if "RANK" not in environ or "WORLD_SIZE" not in environ:
        return None
    share = Share(_number(environ, "RANK"), _number(environ, "WORLD_SIZE"))
    return _checked(share, f"RANK {share.number} with WORLD_SIZE {share.count}")


def _array_share(environ: Mapping[str, str]) -> Share | None:
    if "SLURM_ARRAY_TASK_ID" not in environ or "SLURM_ARRAY_TASK_COUNT" not in environ:
        return None
    task, count = _number(environ, "SLURM_ARRAY_TASK_ID"), _number(environ, "SLURM_ARRAY_TASK_COUNT")
    first = _number(environ, "SLURM_ARRAY_TASK_MIN") if "SLURM_ARRAY_TASK_MIN" in environ else 0
    step = _number(environ, "SLURM_ARRAY_TASK_STEP") if "SLURM_ARRAY_TASK_STEP" in environ else 1
    number, rest = divmod(task - first, max(1, step))
    if rest:
        raise ArgumentError(f"task {task} of an array from {first} in steps of {step} has no number; give I/N instead")
    return _checked(Share(number, count), f"task {task} of an array of {count} tasks from {first} on")


def _number(environ: Mapping[str, str], name: str) -> int:
    if not re.fullmatch(r"\d{1,9}", environ[name]):
        raise ArgumentError(f"{name} must be a number, got {environ[name]!r}; give shard as I/N instead")
    return int(environ[name])


def _checked(share: Share, name: str) -> Share:
    if not 0 <= share.number < share.count:
        raise ArgumentError(f"{name} is none: shares are numbered from 0 to N - 1; give I/N with I below N")
    return share
