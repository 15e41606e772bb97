"""The pipeline: read ahead, animate, write behind; rows are recorded in order, after what they tell of is written."""

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
from fomaug.expand.copies import Judge, Outcome, make_copies
from fomaug.expand.faces import Locate
from fomaug.expand.formats import Sample, Sink
from fomaug.expand.jobs import Shard, Unit
from fomaug.expand.load import Loaded, load
from fomaug.expand.manifest import Ledger, Row, explained_writes
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.report import Failure
from fomaug.expand.rows import make_sample, reject
from fomaug.labels import Flaw

_AHEAD: Final = 2  # units that are read before, and written after, the one in the model


@dataclass(frozen=True)
class Crew:
    """Who does the work on each picture.

    Attributes:
        augment: draws and animates.
        judge: the gates; None lets everything pass.
        annotator: moves annotations; None if there are none.
        locate: marks the faces; None for whole pictures.
    """

    augment: MotionAugment
    judge: Judge | None = None
    annotator: Annotator | None = None
    locate: Locate | None = None


@dataclass
class _Written:
    """A unit whose copies are being encoded in other threads."""

    shard: Shard
    is_first: bool
    is_last: bool
    samples: list[Future[Sample]] = field(default_factory=list)
    rejected: list[Row] = field(default_factory=list)


class Runner:
    """Runs the units of a plan that are not yet settled.

    Attributes:
        failed: sources that could not be used.
        flaws: annotations of these that were left out; those of other sources are in their rows.
        new: copies made.
    """

    def __init__(self, plan: ExpandPlan, crew: Crew, ledger: Ledger, sink: Sink) -> None:
        self.plan = plan
        self.crew = crew
        self.ledger = ledger
        self.sink = sink
        self.failed: list[Failure] = []
        self.flaws: list[Flaw] = []
        self.new = 0
        self._rejected: list[Row] = []

    def run(self, shards: Sequence[Shard], *, progress: bool = False) -> None:
        """Do all that is left to do.

        Raises:
            MediaError: a source cannot be used and the plan says to raise; or the disk is full.
        """
        tokens = [token for shard in shards for token in shard.tokens]
        done = sum(token in self.ledger.settled for token in tokens)
        with (
            tqdm(total=len(tokens), initial=done, unit="copy", disable=not progress, dynamic_ncols=True) as bar,
            ThreadPoolExecutor(self.plan.workers, thread_name_prefix="fomaug") as threads,
        ):
            try:
                self._run([shard for shard in shards if not self._is_settled(shard)], threads, bar)
            finally:
                threads.shutdown(wait=True, cancel_futures=True)
                self.sink.abandon()

    def _is_settled(self, shard: Shard) -> bool:
        return all(token in self.ledger.settled for token in shard.tokens)

    def _run(self, shards: Sequence[Shard], threads: ThreadPoolExecutor, bar: Any) -> None:
        behind: deque[_Written] = deque()
        for shard, unit, sources in self._read_ahead(shards, threads):
            written = _Written(shard, unit is shard.units[0], unit is shard.units[-1])
            self._make(self._usable(sources), written, threads)
            behind.append(written)
            if len(behind) > _AHEAD:
                self._store(behind.popleft(), bar)
        while behind:
            self._store(behind.popleft(), bar)

    def _read_ahead(
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
        for loaded in sources:
            found = self._prepared(loaded) if loaded.picture is not None else loaded
            if found.picture is None:
                self._fail(found, missing=loaded.picture is not None)
            else:
                usable.append(found)
        return usable

    def _prepared(self, loaded: Loaded) -> Loaded:
        """Give a picture its labels, and mark its faces."""
        found = self.crew.annotator.attach(loaded) if self.crew.annotator else loaded
        return self.crew.locate(found) if self.crew.locate else found

    def _fail(self, loaded: Loaded, *, missing: bool) -> None:
        failure = Failure(loaded.job.source.key, loaded.reason)
        if (self.plan.on_missing == "error") if missing else (self.plan.on_error == "raise"):
            raise MediaError(f"{failure.source}: {failure.reason}")
        self.failed.append(failure)
        self.flaws += loaded.flaws

    def _make(self, sources: Sequence[Loaded], written: _Written, threads: ThreadPoolExecutor) -> None:
        made = make_copies(
            self.crew.augment,
            sources,
            self.crew.judge,
            # The frames of a sequence are of one clip; one that is drawn anew would be of another.
            tries=1 if self.plan.selection == "sequence" else self.plan.tries,
            batch_size=self.plan.batch_size,
            # A copy takes one label from its clip, so all its faces have to wear it.
            alike=self.plan.labels == "from_clip",
        )
        for loaded, outcomes in zip(sources, made, strict=True):
            for outcome in outcomes:
                if outcome.verdict.reasons:
                    written.rejected.append(reject(loaded, outcome))
                elif not self._is_there(loaded, outcome):
                    written.samples.append(threads.submit(self._encode, loaded, outcome))

    def _is_there(self, loaded: Loaded, outcome: Outcome) -> bool:
        """Archives are written as a whole; of a folder only what is missing."""
        return self.plan.format == "folder" and (loaded.job.source.key, outcome.copy) in self.ledger.settled

    def _encode(self, loaded: Loaded, outcome: Outcome) -> Sample:
        annotator, model = self.crew.annotator, self.crew.augment.model
        annotation = move_labels(loaded, outcome.moved)
        sample = self.sink.prepare(make_sample(loaded, outcome, model, self.plan, annotation))
        if annotator and annotation:
            annotator.write_with(sample.name, outcome.moved.picture.size, annotation)
        return sample

    def _store(self, written: _Written, bar: Any) -> None:
        # All writing ends here, also that of the threads; a detector or embedder of the user's has errors of its own.
        with explained_writes(self.ledger.out):
            if written.is_first:
                self.sink.begin(written.shard.name)
                self._rejected = []
            for future in written.samples:
                self.sink.add(future.result())
            self._rejected += written.rejected
            if written.is_last:
                self.new += self.ledger.record(self.sink.finish(), self._rejected)
        bar.update(len(written.samples) + len(written.rejected))
