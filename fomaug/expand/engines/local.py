"""The local engine: one worker in this process, or several in processes of their own."""

from __future__ import annotations

import os
import pickle
import time
from collections import deque
from contextlib import nullcontext
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.reduction import ForkingPickler
from multiprocessing.spawn import get_preparation_data
from pathlib import Path
from typing import Any, Final

import torch

from fomaug.errors import ArgumentError, FomaugError
from fomaug.expand.engines import Job
from fomaug.expand.engines.process import serve
from fomaug.expand.fork_server import UNGUARDED, WORKER, context_of_workers, without_interrupts
from fomaug.expand.manifest import new_part_name, part_path
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.resources import WorkerSetup
from fomaug.expand.run import work
from fomaug.expand.tasks import Done, Task, Tasks
from fomaug.weights import pick_device

_WORKER_BYTES: Final = 1 << 30  # memory of one process on a CPU, with a margin
_MOST_DEATHS: Final = 10
_ADVICE: Final = (
    "a script that calls fomaug.expand with several processes must be a file, because each process imports it, and "
    'needs `if __name__ == "__main__":` around the call, or processes=1'
)
_PATIENCE: Final = 10.0  # seconds in which workers must end by themselves


class LocalEngine:
    """Engine of this machine.

    Args:
        plan: settings with `processes` and `device`.
    """

    def __init__(self, plan: ExpandPlan) -> None:
        self.plan = plan

    def run(self, job: Job) -> None:
        """Make the copies of all tasks, see `Engine`."""
        if not len(job.tasks):
            return
        devices = choose_devices(self.plan, len(job.tasks))
        if len(devices) == 1 and self.plan.processes in (1, "auto"):
            _run_here(job)
        else:
            _Processes(job, devices).run()


def _run_here(job: Job) -> None:
    part = job.setup.open_part(new_part_name())
    try:
        work(job.setup, job.stages, part, job.tasks)
    finally:
        part.close()
    job.tasks.index.add(part.path, checked=False)


def choose_devices(plan: ExpandPlan, tasks: int) -> list[str]:
    """Choose the device of each worker process; there are no more workers than tasks.

    With `processes="auto"`, there is one process for each GPU, or for each core of a CPU if the memory is sufficient.
    """
    if plan.processes == 1:
        return [plan.device]
    device = pick_device(plan.device)
    indexed = device.type == "cuda" and device.index is None
    devices = [f"cuda:{number}" for number in range(torch.cuda.device_count())] if indexed else [str(device)]
    count = plan.processes
    if count == "auto":
        count = _count_on_cpu() if device.type == "cpu" else len(devices)
    return [devices[number % len(devices)] for number in range(min(int(count), tasks))]


def _count_on_cpu() -> int:
    return max(1, min(count_cores(), _free_bytes() // _WORKER_BYTES))


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free_bytes() -> int:
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):  # not available on other systems
        return count_cores() * _WORKER_BYTES


@dataclass
class _Process:
    """The job's side of a worker process.

    Attributes:
        process: the process.
        pipe: connection to it.
        part: name of its manifest part.
        device: device of the worker's model.
        tasks: assigned tasks that are not finished.
        has_begun: mark of a loaded model; no task causes a death before that.
    """

    process: Any
    pipe: Any
    part: str
    device: str
    tasks: deque[Task] = field(default_factory=deque)
    has_begun: bool = False


class _Processes:
    """The worker processes of one job."""

    def __init__(self, job: Job, devices: list[str]) -> None:
        self.job = job
        self.tasks: Tasks = job.tasks
        self._on_cpu = all(device == "cpu" for device in devices)
        self.threads = max(1, torch.get_num_threads() // len(devices)) if self._on_cpu else None
        _check_picklable(job.setup, on_cpu=self._on_cpu)
        _check_script()
        self._deaths = 0  # in a row, without a copy in between
        self.devices = devices
        self.workers: list[_Process] = []

    def run(self) -> None:
        """Pass tasks to the workers until all are done."""
        try:
            for device in self.devices:
                self.workers.append(self._start(device))
            for worker in self.workers:
                self._give(worker)
            while busy := [worker for worker in self.workers if worker.tasks]:
                self._listen(busy)
        except BaseException:
            self._stop()
            raise
        self._end()

    def _start(self, device: str) -> _Process:
        for number in range(_MOST_DEATHS):
            try:
                return self._try_to_start(device)
            except (EOFError, ConnectionError):
                # The fork server was killed. It cannot be started again until the system has removed it.
                time.sleep(0.01 * 2**number)
        raise FomaugError(f"{_MOST_DEATHS} worker processes in a row could not be started")

    def _try_to_start(self, device: str) -> _Process:
        context: Any = context_of_workers(on_cpu=self._on_cpu)
        ours, theirs = context.Pipe()
        part = new_part_name()
        setup = self.job.setup.on(device)
        # Objects on a CPU are sent as bytes: the fork server takes fewer file descriptors than a model has tensors.
        sent = pickle.dumps(setup) if self._on_cpu else setup
        arguments = (sent, part, theirs, self.threads, dict(os.environ))
        process = context.Process(target=serve, name=WORKER, args=arguments, daemon=True)
        try:
            # A fork inherits the mask of its server, whose import of torch it waits for; the job can be interrupted.
            with nullcontext() if context.get_start_method() == "forkserver" else without_interrupts():
                process.start()
        except BaseException:
            ours.close()  # ends a process that has started nevertheless, once it has loaded its model
            if process.is_alive():
                process.terminate()
            raise
        finally:
            theirs.close()
        return _Process(process, ours, part, device)

    def _give(self, worker: _Process) -> None:
        """Send a worker its next task, and another one in advance while there are enough for all."""
        wanted = 2 if len(self.tasks) > len(self.workers) else 1
        while len(worker.tasks) < wanted and (task := self.tasks.take()) is not None:
            worker.tasks.append(task)
            try:
                worker.pipe.send(task)
            except OSError:
                return  # the process has died, which `_listen` handles

    def _listen(self, busy: list[_Process]) -> None:
        connection.wait([worker.pipe for worker in busy])
        for worker in busy:
            try:
                while worker.pipe.poll():
                    self._hear(worker, worker.pipe.recv())
            except (EOFError, OSError):
                self._replace(worker)

    def _hear(self, worker: _Process, message: Any) -> None:
        if isinstance(message, BaseException):
            raise message
        if message is None:
            worker.has_begun = True
            return
        self._deaths = 0
        if isinstance(message, Done):
            worker.tasks.popleft()
            self.tasks.done(message)
            self._give(worker)
        else:
            self.tasks.made(*message)

    def _replace(self, worker: _Process) -> None:
        """Start another worker in the place of one that has died, and put its tasks back."""
        worker.process.join(_PATIENCE)
        worker.pipe.close()
        self.workers.remove(worker)
        if worker.process.exitcode == UNGUARDED:
            raise FomaugError(f"the first worker process would have started the job again; {_ADVICE}") from None
        reason = f"ended with exit code {worker.process.exitcode}"
        self._deaths += 1
        if self._deaths > _MOST_DEATHS:
            advice = f"; {_ADVICE}" if worker.process.exitcode == 1 else ""
            raise FomaugError(f"{_MOST_DEATHS} workers in a row made nothing; the last one {reason}{advice}") from None
        for number, task in reversed(list(enumerate(worker.tasks))):
            if number == 0 and worker.has_begun:
                self.tasks.lost(task, worker.part, reason)
            else:
                self.tasks.put_back(task)
        worker.tasks.clear()
        successor = self._start(worker.device)
        self.workers.append(successor)
        self._give(successor)

    def _end(self) -> None:
        """Send the end of tasks to all workers, index their rows while they end, and wait for them."""
        for worker in self.workers:
            try:
                worker.pipe.send(None)
            except OSError:
                continue  # it has ended already
        for worker in self.workers:
            self.tasks.index.add(part_path(self.tasks.index.out, worker.part), checked=False)
        for worker in self.workers:
            worker.process.join()

    def _stop(self) -> None:
        """Interrupt all workers; they remove unfinished files and end."""
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.process.join(_PATIENCE)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()  # ends a worker whose fork server was killed, so that it cannot be joined


def _check_script() -> None:
    """Raise an error if other processes cannot import the script of this one, since it was read from a pipe."""
    path = get_preparation_data(WORKER).get("init_main_from_path")
    if path is not None and not Path(path).exists():
        raise ArgumentError(f"there is no script {path}; {_ADVICE}")


def _check_picklable(setup: WorkerSetup, *, on_cpu: bool) -> None:
    # A forking pickler opens a file descriptor for each tensor on a CPU, and never closes it.
    dumps = pickle.dumps if on_cpu else ForkingPickler.dumps
    for name in ("model", "pool", "embed", "detector"):
        try:
            dumps(getattr(setup, name))
        except (pickle.PicklingError, TypeError, AttributeError) as cause:
            raise ArgumentError(
                f"{name} cannot be passed to other processes ({cause}); define it at the top of a module, "
                "or use processes=1"
            ) from cause
