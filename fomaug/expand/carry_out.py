"""One job from its first file to its summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from fomaug import __version__
from fomaug.augment import MotionAugment
from fomaug.expand.annotate import Annotator
from fomaug.expand.formats import open_sink
from fomaug.expand.inspect.contact import save_contact_sheet
from fomaug.expand.jobs import Shard
from fomaug.expand.labels import list_classes
from fomaug.expand.manifest import MANIFEST, MANIFEST_FORMAT, REJECTED, Ledger, explained_writes
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.report import ExpandReport, Failure, count_labels
from fomaug.expand.resources import digest_clip_labels, keep_pool
from fomaug.expand.run import Crew, Runner
from fomaug.expand.source_list import keep_sources
from fomaug.expand.sources import SourceFile, digest_sources
from fomaug.labels import Flaw
from fomaug.media import Provenance


def carry_out(
    plan: ExpandPlan,
    sources: Sequence[SourceFile],
    shards: Sequence[Shard],
    crew: Crew,
    asked: ExpandReport,
    *,
    resume: bool,
    progress: bool,
) -> ExpandReport:
    """Begin or resume a job, do what is left of it, and sum up.

    Args:
        plan: what is asked for.
        sources: the pictures.
        shards: how the work is cut.
        crew: who does it.
        asked: the report as it is before anything is done.
        resume: go on with what the output folder holds.
        progress: show a bar.

    Raises:
        MediaError: a source cannot be used and the plan says to raise; or the disk is full.
    """
    augment, annotator = crew.augment, crew.annotator
    facts = _facts(plan, sources, augment, annotator)
    ledger = Ledger(Path(plan.out))
    sink = open_sink(ledger.out, plan.format, list_classes(plan, sources, augment.driving))
    with explained_writes(ledger.out):
        ledger.begin(facts, resume=resume, beside=None if annotator is None else annotator.file_with)
        keep_sources(ledger.out, sources)
        keep_pool(plan, augment.driving)
    runner = Runner(plan, crew, ledger, sink)
    runner.run(shards, progress=progress)
    with explained_writes(ledger.out):
        ledger.put_in_order(token for shard in shards for token in shard.tokens)
        if annotator is not None:
            annotator.write_all(ledger.rows())
        report = _sum_up(asked, sources, crew, ledger, runner)
        ledger.save_summary({"state": "done", **report.result(), **facts, "given": _given(plan)})
    return report


def _sum_up(
    asked: ExpandReport, sources: Sequence[SourceFile], crew: Crew, ledger: Ledger, runner: Runner
) -> ExpandReport:
    model, pool = crew.augment.model, crew.augment.driving
    provenance = Provenance(model.name, model_hash=model.hash, pool_hash=pool.hash, source_type="composite")
    rejected = sum(1 for _ in ledger.rows(REJECTED))
    sheet, unshown = save_contact_sheet(ledger.out, ledger.rows(), sources, provenance)
    failed = (*asked.failed, *runner.failed)
    named = {failure.source for failure in failed}
    return replace(
        asked,
        written=len(ledger.settled) - rejected,
        new=runner.new,
        rejected=rejected,
        failed=(*failed, *(failure for failure in unshown if failure.source not in named)),
        skipped_clips=tuple(Failure(clip, reason) for clip, reason in pool.skipped),
        flawed=_list_flaws(crew.annotator, ledger, runner.flaws),
        unannotated=0 if crew.annotator is None else len(crew.annotator.missing),
        labels=count_labels(ledger.rows()),
        contact_sheet=sheet,
    )


def _list_flaws(annotator: Annotator | None, ledger: Ledger, unsettled: Sequence[Flaw]) -> tuple[Failure, ...]:
    """Name the annotations that were left out: when they were read, and when their pictures were."""
    if annotator is None:
        return ()
    rows = (row for name in (MANIFEST, REJECTED) for row in ledger.rows(name))
    settled = [(where, reason) for row in rows for where, reason in row.get("flaws", ())]
    others = [(flaw.where, flaw.described) for flaw in (*annotator.flaws, *unsettled)]
    return tuple(Failure(*found) for found in sorted({*settled, *others}))


def _facts(
    plan: ExpandPlan, sources: Sequence[SourceFile], augment: MotionAugment, annotator: Annotator | None
) -> dict[str, Any]:
    """What must be the same for a job to be resumed, as plain JSON."""
    pool, model = augment.driving, augment.model
    return {
        "fomaug": __version__,
        "manifest": MANIFEST_FORMAT,
        "settings": plan.settings(),
        "model": {"name": model.name, "hash": model.hash},
        "pool": {"hash": pool.hash, "tracks": len(pool), "frames": pool.num_frames},
        "dataset": {
            "pictures": len(sources),
            "labels": dict(sorted(Counter(source.label for source in sources).items())),
            "digest": digest_sources(sources),
        },
        "clip_labels": digest_clip_labels(plan),
        "annotations": None if annotator is None else {"format": annotator.format, "digest": annotator.digest()},
    }


def _given(plan: ExpandPlan) -> dict[str, Any]:
    """The names under which dataset, clips and model were given."""
    return {
        name: getattr(plan, name) for name in ("dataset", "driving", "model", "config", "clip_labels", "annotations")
    }
