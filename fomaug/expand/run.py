"""The pipeline of a worker: threads load sources before the model and write copies after it."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from fomaug.errors import MediaError
from fomaug.expand.copies import Outcome, make_planned
from fomaug.expand.formats import ArchiveWriter, FormatWriter, Unfinished, open_writer
from fomaug.expand.manifest import Part, Row, copy_id_of, explained_writes
from fomaug.expand.output import push_archive
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.report import Failure
from fomaug.expand.resources import Stages, WorkerSetup
from fomaug.expand.samples import Sample, encode_copy, keep_thumbnail, move_labels, rejected_row
from fomaug.expand.sources import FitLabels, Loaded, SourceJob, Unit, load, prepare
from fomaug.expand.tasks import Clock, Done, Feed, Task
from fomaug.labels import Flaw

_AHEAD: Final = 2  # units that are loaded before the current unit of the model, and written after it


@dataclass(eq=False)
class _Run:
    """A task in the pipeline.

    Attributes:
        task: the task.
        units: units of the task with missing copies; all units for archives, which are always made as a whole.
        failed: sources that could not be used.
        flaws: annotations of these sources.
        rejected: rows of rejected copies of an unfinished shard.
        unfinished: samples of its archive that an earlier run has left.
    """

    task: Task
    units: list[Unit]
    failed: list[Failure] = field(default_factory=list)
    flaws: list[Flaw] = field(default_factory=list)
    rejected: list[Row] = field(default_factory=list)
    unfinished: Unfinished = field(default_factory=Unfinished)


@dataclass
class _Batch:
    """One unit in the pipeline.

    Attributes:
        run: task of the unit.
        unit: the unit.
        loads: sources that threads load.
        samples: copies that threads encode.
        rejected: rows of the rejected copies.
    """

    run: _Run
    unit: Unit
    loads: dict[SourceJob, Future[Loaded]]
    samples: list[Future[Sample]] = field(default_factory=list)
    rejected: list[Row] = field(default_factory=list)

    @property
    def is_first(self) -> bool:
        """Whether it is the first unit of its task."""
        return self.unit is self.run.units[0]

    @property
    def is_last(self) -> bool:
        """Whether it is the last unit of its task."""
        return self.unit is self.run.units[-1]


class Pipeline:
    """Pipeline of one worker, which makes the missing copies of groups.

    Args:
        plan: settings of the job.
        stages: stages that every source passes.
        writer: writer of the job's format.
        part: manifest part of the worker.
        feed: tasks of the worker.
        shown: keys of the sources on the contact sheet.
    """

    def __init__(
        self,
        plan: ExpandPlan,
        stages: Stages,
        writer: FormatWriter,
        part: Part,
        feed: Feed,
        shown: Collection[str] = (),
    ) -> None:
        self.plan = plan
        self.shown = shown
        self.clock = Clock()
        self.stages = replace(stages, judge=stages.judge and self.clock.timed("gates", stages.judge))
        self.writer = writer
        self.part = part
        self.feed = feed
        self._target = plan.target
        self._model = stages.augment.model  # each access checks the devices of the weights
        self._runs: list[_Run] = []
        self._ahead: deque[_Batch] = deque()
        self._behind: deque[_Batch] = deque()
        self._units: Iterator[tuple[_Run, Unit]] = iter(())

    def run(self) -> None:
        """Make the copies of all tasks.

        Raises:
            MediaError: a source is unusable and the plan's policy is to raise; or the disk is full.
        """
        with ThreadPoolExecutor(self.plan.workers, thread_name_prefix="fomaug") as threads:
            try:
                self._run(threads)
            except KeyboardInterrupt:
                threads.shutdown(wait=True, cancel_futures=True)
                self.writer.interrupt()
                raise
            finally:
                threads.shutdown(wait=True, cancel_futures=True)
                self.writer.abandon()
                for run in self._runs:
                    run.unfinished.close()

    def _run(self, threads: ThreadPoolExecutor) -> None:
        while True:
            self._load_ahead(threads)
            if self._ahead:
                batch = self._ahead.popleft()
                self._make(self._usable_sources(batch, threads), batch, threads)
                self._behind.append(batch)
            if self._behind and (len(self._behind) > _AHEAD or not self._ahead):
                self._store(self._behind.popleft())
            elif not self._ahead and not self._behind:
                return

    def _load_ahead(self, threads: ThreadPoolExecutor) -> None:
        """Start to load units; wait for a task only if there is nothing else to do."""
        while len(self._ahead) <= _AHEAD:
            found = next(self._units, None)
            if found is not None:
                run, unit = found
                stored = not self.writer.per_unit and run.unfinished.has(unit)
                missing = [] if stored else [job for job in unit if self._is_wanted(job, run.task)]
                self._ahead.append(_Batch(run, unit, {job: self._load(job, threads) for job in missing}))
                continue
            with self.clock("tasks"):
                task = self.feed.take(wait=not self._ahead and not self._behind)
            if task is None:
                return
            self._units = self._start(task)

    def _load(self, job: SourceJob, threads: ThreadPoolExecutor) -> Future[Loaded]:
        return threads.submit(load, job, self.plan.max_pixels)

    def _is_wanted(self, job: SourceJob, task: Task) -> bool:
        """Return whether a source is needed: every source of an archive, or one with missing copies in a folder."""
        return not self.writer.per_unit or not task.recorded.issuperset(job.copy_ids)

    def _start(self, task: Task) -> Iterator[tuple[_Run, Unit]]:
        """Find the units of a task with missing copies."""
        run = _Run(task, [], unfinished=self.writer.open_unfinished(task.group.name))
        self._runs.append(run)
        missing = [unit for unit in task.group.units if any(self._has_missing(job, task) for job in unit)]
        if self.writer.per_unit or not task.recorded:
            run.units += missing
        elif self._can_make_any([job for unit in missing for job in unit if self._has_missing(job, task)], run):
            run.units += task.group.units
            run.failed.clear()
            run.flaws.clear()
        if not run.units:
            self._finish(run)
        return iter([(run, unit) for unit in run.units])

    def _has_missing(self, job: SourceJob, task: Task) -> bool:
        return not task.recorded.issuperset(job.copy_ids)

    def _can_make_any(self, jobs: Sequence[SourceJob], run: _Run) -> bool:
        """Return whether a source is usable now that is missing in a written archive.

        Without such a source, the archive would be the same if it were made again.
        """
        return any(self._usable([load(job, self.plan.max_pixels)], run) for job in jobs)

    def _usable_sources(self, batch: _Batch, threads: ThreadPoolExecutor) -> list[Loaded]:
        """Return the loaded sources of a unit; empty if none of the missing copies can be made.

        The copies of a unit are always computed together, since the bits of a copy may depend on its batch.
        """
        with self.clock("reading"):
            loaded = {job: future.result() for job, future in batch.loads.items()}
        usable = {found.job: found for found in self._usable(list(loaded.values()), batch.run)}
        if usable and len(loaded) < len(batch.unit):
            with self.clock("reading"):
                others = [self._load(job, threads) for job in batch.unit if job not in loaded]
                found_others = [future.result() for future in others]
            usable |= {found.job: found for found in self._usable(found_others, batch.run)}
        return [usable[job] for job in batch.unit if job in usable]

    def _usable(self, sources: Sequence[Loaded], run: _Run) -> list[Loaded]:
        usable, fit_labels = list[Loaded](), self._fit_labels(run.task)
        for loaded in sources:
            run.task.check_content(loaded)
            with self.clock("faces"):
                found = prepare(loaded, fit_labels, self.stages.locate) if loaded.picture is not None else loaded
            if found.picture is None:
                self._fail(found, run, missing=loaded.picture is not None)
            else:
                usable.append(found)
        return usable

    def _fit_labels(self, task: Task) -> FitLabels | None:
        annotator = self.stages.annotator
        if annotator is None:
            return None
        return lambda key, size: annotator.fit(task.labels.get(key), key, size)

    def _fail(self, loaded: Loaded, run: _Run, *, missing: bool) -> None:
        failure = Failure(loaded.job.source.key, loaded.reason)
        if (self.plan.on_missing == "error") if missing else (self.plan.on_error == "raise"):
            raise MediaError(f"{failure.source}: {failure.reason}")
        run.failed.append(failure)
        run.flaws += loaded.flaws

    def _make(self, sources: Sequence[Loaded], batch: _Batch, threads: ThreadPoolExecutor) -> None:
        with self.clock("model"):
            made = make_planned(self.plan, self.stages.augment, sources, self.stages.judge)
        for loaded, outcomes in zip(sources, made, strict=True):
            for outcome in outcomes:
                if outcome.verdict.reasons:
                    batch.rejected.append(rejected_row(loaded, outcome))
                elif not self._is_written(loaded, outcome, batch.run.task):
                    batch.samples.append(threads.submit(self._encode, loaded, outcome))

    def _is_written(self, loaded: Loaded, outcome: Outcome, task: Task) -> bool:
        """Return whether a copy has its file; archives are always written as a whole."""
        return self.writer.per_unit and (loaded.job.source.key, outcome.copy) in task.recorded

    def _encode(self, loaded: Loaded, outcome: Outcome) -> Sample:
        annotator = self.stages.annotator
        annotation = move_labels(loaded.labels, outcome.moved)
        sample = self.writer.prepare(encode_copy(loaded, outcome, self._model, self.plan, annotation))
        if loaded.job.source.key in self.shown:
            keep_thumbnail(self.plan, sample)
        if annotator and annotation:
            annotator.write_with(sample.name, outcome.moved.picture.size, annotation)
        return sample

    def _store(self, batch: _Batch) -> None:
        """Write the copies of a unit, and record them: at once in a folder, with the last unit of an archive."""
        # Write errors of the threads are raised here, too; errors of a user's detector elsewhere, and keep their type.
        run, per_unit = batch.run, self.writer.per_unit
        with explained_writes(self._target):
            if per_unit or batch.is_first:
                self.writer.begin(run.task.group.name)
            with self.clock("writing"):
                count = self._write(batch)
            run.rejected += batch.rejected
            if per_unit or batch.is_last:
                self._record(run)
        self.feed.made(count + len(batch.rejected), 0)
        if batch.is_last:
            self._finish(run)

    def _write(self, batch: _Batch) -> int:
        """Write the samples of a unit, and return their number."""
        count, made = 0, (future.result() for future in batch.samples)
        # Nothing was loaded for a unit whose samples an earlier run has left.
        for sample in made if batch.loads else batch.run.unfinished.samples(batch.unit):
            self.writer.add(sample)
            count += 1
        return count

    def _record(self, run: _Run) -> None:
        with self.clock("recording"):
            rows = [*self.writer.finish(), *run.rejected]
            run.unfinished.remove()  # before its rows are recorded, because no process looks for it after that
            if self.plan.out_url and isinstance(self.writer, ArchiveWriter):
                push_archive(self.plan, self.writer.file)
            self.part.append(row for row in rows if copy_id_of(row) not in run.task.recorded)
        run.rejected.clear()

    def _finish(self, run: _Run) -> None:
        run.unfinished.remove()
        self._runs.remove(run)
        self.feed.made(0, len(run.failed))
        self.feed.done(Done(run.task.group.number, tuple(run.failed), tuple(run.flaws), self.clock.reset()))


def work(setup: WorkerSetup, stages: Stages, part: Part, feed: Feed) -> None:
    """Make the copies of all tasks of a feed."""
    writer = open_writer(Path(setup.plan.out), setup.plan.format, setup.classes)
    Pipeline(setup.plan, stages, writer, part, feed, setup.shown).run()
