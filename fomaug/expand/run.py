"""The pipeline: threads load sources ahead of the model and write copies behind it; rows are recorded in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from tqdm import tqdm

from fomaug.augment import MotionAugment
from fomaug.errors import MediaError
from fomaug.expand.annotate import Annotator, move_labels
from fomaug.expand.copies import Judge, Outcome, make_planned
from fomaug.expand.formats import FormatWriter
from fomaug.expand.manifest import Manifest, Row, explained_writes
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.report import Failure
from fomaug.expand.samples import Sample, encode_copy, rejected_row
from fomaug.expand.sources import Loaded, Locate, Shard, Unit, load, prepare
from fomaug.labels import Flaw

_AHEAD: Final = 2  # units that are loaded before, and written after, the unit in the model


@dataclass(frozen=True)
class Stages:
    """The stages that every source passes.

    Attributes:
        augment: transform that draws and applies motion.
        judge: gates; None accepts every copy.
        annotator: reader and writer of annotations; None without annotations.
        locate: function that finds the faces of a source; None for whole pictures.
    """

    augment: MotionAugment
    judge: Judge | None = None
    annotator: Annotator | None = None
    locate: Locate | None = None


@dataclass
class _Batch:
    """Copies of one unit that threads encode.

    Attributes:
        shard: shard of the unit.
        is_first: True for the first unit of its shard.
        is_last: True for the last unit of its shard.
        samples: encoded copies.
        rejected: rows of the rejected copies.
    """

    shard: Shard
    is_first: bool
    is_last: bool
    samples: list[Future[Sample]] = field(default_factory=list)
    rejected: list[Row] = field(default_factory=list)


class Pipeline:
    """Pipeline over the shards that are not yet recorded.

    Attributes:
        failed: sources that could not be used.
        flaws: annotations of these sources that were left out; rows hold those of all other sources.
        new: number of copies made.
    """

    def __init__(self, plan: ExpandPlan, stages: Stages, manifest: Manifest, writer: FormatWriter) -> None:
        self.plan = plan
        self.stages = stages
        self.manifest = manifest
        self.writer = writer
        self.failed: list[Failure] = []
        self.flaws: list[Flaw] = []
        self.new = 0
        self._rejected: list[Row] = []

    def run(self, shards: Sequence[Shard], *, progress: bool = False) -> None:
        """Make and write all copies that are not yet recorded.

        Args:
            shards: all shards of the job.
            progress: True to show a progress bar.

        Raises:
            MediaError: a source cannot be used and the plan says to raise; or the disk is full.
        """
        copy_ids = [copy_id for shard in shards for copy_id in shard.copy_ids]
        done = sum(copy_id in self.manifest.recorded for copy_id in copy_ids)
        with (
            tqdm(total=len(copy_ids), initial=done, unit="copy", disable=not progress, dynamic_ncols=True) as bar,
            ThreadPoolExecutor(self.plan.workers, thread_name_prefix="fomaug") as threads,
        ):
            try:
                self._run([shard for shard in shards if not self._is_recorded(shard)], threads, bar)
            finally:
                threads.shutdown(wait=True, cancel_futures=True)
                self.writer.abandon()

    def _is_recorded(self, shard: Shard) -> bool:
        return all(copy_id in self.manifest.recorded for copy_id in shard.copy_ids)

    def _run(self, shards: Sequence[Shard], threads: ThreadPoolExecutor, bar: Any) -> None:
        behind: deque[_Batch] = deque()
        for shard, unit, sources in self._load_ahead(shards, threads):
            batch = _Batch(shard, unit is shard.units[0], unit is shard.units[-1])
            self._make(self._usable(sources), batch, threads)
            behind.append(batch)
            if len(behind) > _AHEAD:
                self._store(behind.popleft(), bar)
        while behind:
            self._store(behind.popleft(), bar)

    def _load_ahead(
        self, shards: Sequence[Shard], threads: ThreadPoolExecutor
    ) -> Iterator[tuple[Shard, Unit, list[Loaded]]]:
        ahead: deque[tuple[Shard, Unit, list[Future[Loaded]]]] = deque()
        for shard in shards:
            for unit in shard.units:
                ahead.append((shard, unit, [threads.submit(load, job, self.plan.max_pixels) for job in unit]))
                if len(ahead) > _AHEAD:
                    shard_, unit_, futures = ahead.popleft()
                    yield shard_, unit_, [future.result() for future in futures]
        for shard_, unit_, futures in ahead:
            yield shard_, unit_, [future.result() for future in futures]

    def _usable(self, sources: Sequence[Loaded]) -> list[Loaded]:
        usable = []
        fit_labels = self.stages.annotator.fit if self.stages.annotator else None
        for loaded in sources:
            found = prepare(loaded, fit_labels, self.stages.locate) if loaded.picture is not None else loaded
            if found.picture is None:
                self._fail(found, missing=loaded.picture is not None)
            else:
                usable.append(found)
        return usable

    def _fail(self, loaded: Loaded, *, missing: bool) -> None:
        failure = Failure(loaded.job.source.key, loaded.reason)
        if (self.plan.on_missing == "error") if missing else (self.plan.on_error == "raise"):
            raise MediaError(f"{failure.source}: {failure.reason}")
        self.failed.append(failure)
        self.flaws += loaded.flaws

    def _make(self, sources: Sequence[Loaded], batch: _Batch, threads: ThreadPoolExecutor) -> None:
        made = make_planned(self.plan, self.stages.augment, sources, self.stages.judge)
        for loaded, outcomes in zip(sources, made, strict=True):
            for outcome in outcomes:
                if outcome.verdict.reasons:
                    batch.rejected.append(rejected_row(loaded, outcome))
                elif not self._is_written(loaded, outcome):
                    batch.samples.append(threads.submit(self._encode, loaded, outcome))

    def _is_written(self, loaded: Loaded, outcome: Outcome) -> bool:
        """Whether a copy has its file; archives are always written as a whole."""
        return self.plan.format == "folder" and (loaded.job.source.key, outcome.copy) in self.manifest.recorded

    def _encode(self, loaded: Loaded, outcome: Outcome) -> Sample:
        annotator, model = self.stages.annotator, self.stages.augment.model
        annotation = move_labels(loaded.labels, outcome.moved)
        sample = self.writer.prepare(encode_copy(loaded, outcome, model, self.plan, annotation))
        if annotator and annotation:
            annotator.write_with(sample.name, outcome.moved.picture.size, annotation)
        return sample

    def _store(self, batch: _Batch, bar: Any) -> None:
        # Write errors of the threads are raised here, too. Errors of a user's detector or embedder are raised elsewhere
        # and keep their type.
        with explained_writes(self.manifest.out):
            if batch.is_first:
                self.writer.begin(batch.shard.name)
                self._rejected = []
            for future in batch.samples:
                self.writer.add(future.result())
            self._rejected += batch.rejected
            if batch.is_last:
                self.new += self.manifest.record(self.writer.finish(), self._rejected)
        bar.update(len(batch.samples) + len(batch.rejected))
