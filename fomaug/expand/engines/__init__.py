"""Engines run the workers of a job, in this process, in several, or on a cluster.

An engine takes tasks, passes each to a worker, and returns its result; a task whose worker died is returned by
`Tasks.lost`. The bytes of a group do not depend on its worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fomaug.expand.plan import ExpandPlan
from fomaug.expand.resources import Stages, WorkerSetup
from fomaug.expand.tasks import Tasks

__all__ = ["Engine", "Job", "make_engine"]


@dataclass(frozen=True)
class Job:
    """The input of an engine.

    Attributes:
        tasks: queue of its tasks.
        setup: setup of its workers.
        stages: model and pool of this process, for a worker in it.
    """

    tasks: Tasks
    setup: WorkerSetup
    stages: Stages


class Engine(Protocol):
    """Runner of the workers of a job."""

    def run(self, job: Job) -> None:
        """Make the copies of all tasks.

        Raises:
            FomaugError: a worker had an error that ends the job.
        """


def make_engine(plan: ExpandPlan) -> Engine:
    """Make the engine that a plan names; its module is imported now.

    Raises:
        MissingExtraError: the engine needs a package that is not installed.
    """
    if plan.engine == "ray":
        from fomaug.expand.engines.ray import RayEngine

        return RayEngine(plan)
    from fomaug.expand.engines.local import LocalEngine

    return LocalEngine(plan)
