"""The Ray engine: workers are actors on the machines of a Ray cluster."""

from __future__ import annotations

import atexit
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from tempfile import mkdtemp
from typing import Any, Final

from fomaug.errors import FomaugError
from fomaug.expand.engines import Job
from fomaug.expand.manifest import new_part_name, part_path
from fomaug.expand.output import fetch
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.resources import WorkerSetup, load_stages
from fomaug.expand.run import work
from fomaug.expand.tasks import Done, Task
from fomaug.imports import require

_MOST_DEATHS: Final = 10  # of workers in a row that made nothing
_PRESTART: Final = "RAY_prestart_worker_first_driver"


class RayEngine:
    """Engine of a Ray cluster, whose machines must share the dataset and the output folder.

    An actor gets its next task when its last one is done, by `ray.wait`; `ray.util.ActorPool` cannot replace an actor
    that has died.

    Args:
        plan: settings with `processes`, `address` and `device`.
    """

    def __init__(self, plan: ExpandPlan) -> None:
        self.plan = plan
        self._ray: Any = require("ray")

    def run(self, job: Job) -> None:
        """Make the copies of all tasks, see `Engine`."""
        if not len(job.tasks):
            return
        starts = not self._ray.is_initialized()
        if starts:
            with _no_first_worker():
                self._ray.init(address=self.plan.address, log_to_driver=False)
        try:
            _Actors(self._ray, self.plan, job).run()
        finally:
            if starts:
                self._ray.shutdown()


@contextmanager
def _no_first_worker() -> Iterator[None]:
    """Make Ray start no worker before it is used, unless the environment says otherwise.

    Ray starts one while it starts itself, and waits for it without end if it is killed at that moment.
    """
    if _PRESTART in os.environ:
        yield
        return
    os.environ[_PRESTART] = "0"
    try:
        yield
    finally:
        del os.environ[_PRESTART]


class _Actors:
    """The actors of one job."""

    def __init__(self, ray: Any, plan: ExpandPlan, job: Job) -> None:
        self._ray = ray
        self._job = job
        gpus = int(plan.device in ("auto", "cuda") and self._ray.cluster_resources().get("GPU", 0) >= 1)
        device = "cuda" if gpus else "cpu" if plan.device == "auto" else plan.device
        self._setup = ray.put(job.setup.on(device))
        # A dead actor is replaced here, so that its rows are read before its task is given to another one.
        self._actor = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0, max_task_retries=0)(_Worker)
        self._count = _count(plan, ray.cluster_resources().get("GPU" if gpus else "CPU", 1))
        self._busy: dict[Any, tuple[Any, str, Task]] = {}
        self._parts: list[str] = []
        self._deaths = 0

    def run(self) -> None:
        """Pass tasks to the actors until all are done."""
        for _ in range(min(self._count, len(self._job.tasks))):
            self._start()
        while self._busy:
            (ready, *_), _ = self._ray.wait(list(self._busy), num_returns=1)
            self._settle(ready)
        self._fetch_rows()
        for part in self._parts:
            self._job.tasks.index.add(part_path(self._job.tasks.index.out, part), checked=False)

    def _settle(self, ready: Any) -> None:
        """Record the result of a call, and give its actor the next task.

        Ray ends an actor without references, which an actor without tasks is as soon as this function returns. Its core
        may be needed for an actor that waits to be started.
        """
        actor, part, task = self._busy.pop(ready)
        try:
            done, copies = self._ray.get(ready)
        except self._ray.exceptions.RayActorError as error:
            self._ray.kill(actor)  # it may be unreachable and still work
            self._replace(part, task, error)
            return
        except self._ray.exceptions.RayTaskError as error:
            raise _cause(error) from error
        self._deaths = 0
        self._job.tasks.made(copies, len(done.failed))
        self._job.tasks.done(done)
        self._give(actor, part)

    def _fetch_rows(self) -> None:
        """Index the rows and thumbnails that actors wrote to storage."""
        url, index = self._job.setup.plan.out_url, self._job.tasks.index
        if url:
            for path in fetch(url, index.out):
                if path.suffix == ".jsonl":
                    index.add(path, checked=False)

    def _start(self) -> None:
        part = new_part_name()
        self._parts.append(part)
        self._give(self._actor.remote(self._setup, part), part)

    def _give(self, actor: Any, part: str) -> None:
        task = self._job.tasks.take()
        if task is not None:
            self._busy[actor.make.remote(task)] = (actor, part, task)

    def _replace(self, part: str, task: Task, error: Exception) -> None:
        """Start another actor in place of one that has died, possibly with its machine."""
        reason = f"was lost ({str(error).splitlines()[0]})"
        self._deaths += 1
        if self._deaths > _MOST_DEATHS:
            raise FomaugError(f"{_MOST_DEATHS} workers in a row made nothing; the last one {reason}") from error
        self._parts.remove(part)
        self._job.tasks.lost(task, part, reason)
        self._start()


def _count(plan: ExpandPlan, resources: float) -> int:
    """Return the number of actors: that of the plan, or one for each GPU or core of the cluster."""
    return max(1, int(resources)) if plan.processes == "auto" else plan.processes


class _Worker:
    """A worker in an actor; a task is a call."""

    def __init__(self, setup: WorkerSetup, part: str) -> None:
        import torch

        if setup.plan.device == "cpu":
            torch.set_num_threads(1)
        if setup.plan.out_url:  # the machine has no folder of the job
            folder = mkdtemp(prefix="fomaug-")
            atexit.register(shutil.rmtree, folder, ignore_errors=True)
            setup = replace(setup, plan=replace(setup.plan, out=folder))
        self._setup = setup
        self._part = setup.open_part(part)
        self._stages = load_stages(setup)

    def make(self, task: Task) -> tuple[Done, int]:
        """Make the copies of a task, and return its result and the number of its settled copies."""
        feed = _Single(task)
        work(self._setup, self._stages, self._part, feed)
        assert feed.result is not None
        return feed.result, feed.copies


class _Single:
    """The feed of one task."""

    def __init__(self, task: Task) -> None:
        self._task: Task | None = task
        self.result: Done | None = None
        self.copies = 0

    def take(self, *, wait: bool) -> Task | None:
        """Return the task once, see `Feed`."""
        task, self._task = self._task, None
        return task

    def made(self, copies: int, failed: int) -> None:
        """Count settled copies."""
        self.copies += copies

    def done(self, done: Done) -> None:
        """Keep the result of the task."""
        self.result = done


def _cause(error: Any) -> Exception:
    """Return the error that ended an actor's call, as the local engine raises it."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Exception) else FomaugError(str(error).splitlines()[-1])
