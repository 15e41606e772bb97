"""The end of a job: rows are joined, annotations, contact sheet and summary written, and the outcome reported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from fomaug.expand.card import save_card
from fomaug.expand.index import RowIndex
from fomaug.expand.inspect.contact import choose_sources, save_contact_sheet
from fomaug.expand.manifest import CARD, CONTACT_SHEET, MANIFEST, REJECTED, SUMMARY, Row, read_rows, save_summary
from fomaug.expand.originals import Originals
from fomaug.expand.prepare import Prepared, inputs_of
from fomaug.expand.profile import describe
from fomaug.expand.report import ExpandReport, Failure
from fomaug.expand.shards import Division
from fomaug.expand.shares import Share
from fomaug.expand.storage import push, remove_pieces
from fomaug.expand.tasks import Tasks
from fomaug.expand.thumbnails import MOST, remove_thumbnails
from fomaug.labels import Flaw
from fomaug.media import Provenance


def complete(prepared: Prepared, index: RowIndex, tasks: Tasks, report: ExpandReport) -> ExpandReport:
    """Write all that describes the whole dataset, and complete the report of the job."""
    out, annotator = prepared.out, prepared.stages.annotator
    shown = _choose_rows(prepared, index)
    setup = prepared.setup()
    index.join()
    originals = Originals(setup.plan, prepared.sources, setup.classes, annotator)
    unused = {failure.source for failure in (*report.failed, *tasks.failed)}
    count = 0 if setup.plan.include_sources == "none" else originals.add(unused)
    if annotator is not None:
        annotator.write_all(read_rows(out / MANIFEST, originals=True))
    url = prepared.plan.out_url
    sheet, unshown = save_contact_sheet(out, shown, prepared.sources, _provenance(prepared), url=url)
    save_card(
        setup.plan, prepared.sources, setup.classes, metadata=annotator is not None and annotator.format == "jsonl"
    )
    failed = (*report.failed, *_sort(tasks.failed, prepared.division), *originals.failed)
    named = {failure.source for failure in failed}
    report = replace(
        _count(prepared, index, tasks, report),
        failed=(*failed, *(failure for failure in unshown if failure.source not in named)),
        originals=count,
        unannotated=0 if annotator is None else len(annotator.missing),
        labels=index.count_labels(),
        contact_sheet=sheet,
    )
    summary = {"state": "done", **report.result(), **prepared.facts, "given": inputs_of(prepared.plan)}
    save_summary(out, summary)
    remove_thumbnails(out)
    push(prepared.plan, MANIFEST, REJECTED, CONTACT_SHEET, CARD, SUMMARY)
    remove_pieces(prepared.plan)
    return report


def report_share(prepared: Prepared, index: RowIndex, tasks: Tasks, report: ExpandReport, share: Share) -> ExpandReport:
    """Complete the report of a share; its rows stay in its parts until all shares are joined."""
    failed = (*report.failed, *_sort(tasks.failed, prepared.division))
    return replace(_count(prepared, index, tasks, report, share), failed=failed, shard=str(share))


def _count(
    prepared: Prepared, index: RowIndex, tasks: Tasks, report: ExpandReport, share: Share | None = None
) -> ExpandReport:
    written, rejected = index.counts(None if share is None else share.groups(prepared.division.num_groups))
    return replace(
        report,
        written=written,
        new=written - report.written,
        rejected=rejected,
        skipped_clips=tuple(Failure(clip, reason) for clip, reason in prepared.stages.augment.driving.skipped),
        flawed=_list_flaws(prepared, index, tasks.flaws),
        profile=tuple(describe(tasks.seconds)),
    )


def _choose_rows(prepared: Prepared, index: RowIndex) -> dict[str, list[Row]]:
    """Choose the rows of the contact sheet, by the key of their source, in planned order."""
    keys = choose_sources([source.key for source in prepared.sources])
    keys.sort(key=lambda key: prepared.division.span(key).start)
    return {key: index.rows_of(key, MOST) for key in keys}


def _provenance(prepared: Prepared) -> Provenance:
    model, pool = prepared.stages.augment.model, prepared.stages.augment.driving
    return Provenance(model.name, model_hash=model.hash, pool_hash=pool.hash, source_type="composite")


def _sort(failed: Iterable[Failure], division: Division) -> list[Failure]:
    """Sort failures into planned order, one for each source."""
    first = {failure.source: failure for failure in reversed(list(failed))}
    return sorted(first.values(), key=lambda failure: division.span(failure.source).start)


def _list_flaws(prepared: Prepared, index: RowIndex, unrecorded: Sequence[Flaw]) -> tuple[Failure, ...]:
    """List flaws from the reader, from the rows, and of sources without rows."""
    annotator = prepared.stages.annotator
    if annotator is None:
        return ()
    others = {(flaw.where, flaw.described) for flaw in (*annotator.flaws, *unrecorded)}
    return tuple(Failure(*found) for found in sorted(index.flaws | others))
