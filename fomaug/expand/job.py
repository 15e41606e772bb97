"""One expansion from its arguments to its report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from fomaug import __version__
from fomaug.animator import Animator
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, MediaError, did_you_mean
from fomaug.expand.annotate import Annotator, check_policy, list_classes, make_annotator
from fomaug.expand.dataset import Found, digest_sources, find_sources, save_sources, with_deleted
from fomaug.expand.formats import open_writer
from fomaug.expand.gates import Embed, make_judge, read_gates
from fomaug.expand.inspect.contact import save_contact_sheet
from fomaug.expand.manifest import MANIFEST, MANIFEST_FORMAT, REJECTED, Manifest, explained_writes, locked
from fomaug.expand.plan import ExpandOptions, ExpandPlan, Format, LabelOption
from fomaug.expand.report import ExpandReport, Failure, count_labels, estimate_bytes
from fomaug.expand.resources import GIVEN, digest_clip_labels, load_augment, save_pool
from fomaug.expand.run import Pipeline, Stages
from fomaug.expand.shards import plan_shards
from fomaug.expand.sources import Shard, SourceFile, make_locator
from fomaug.faces import Detector
from fomaug.labels import Flaw
from fomaug.media import Provenance
from fomaug.motion import DRAWS, Selection
from fomaug.options import OnError


def expand(
    dataset: str | Path,
    out: str | Path,
    *,
    driving: str | Path | DrivingPool = "builtin",
    copies: int = 8,
    model: str | Path | Animator = "lite-256",
    seed: int = 0,
    format: Format = "folder",
    selection: Selection = "diverse",
    strength_range: tuple[float, float] = (0.3, 1.0),
    labels: LabelOption = "keep",
    on_error: OnError = "skip",
    resume: bool = False,
    dry_run: bool = False,
    progress: bool = False,
    embed: Embed | None = None,
    detector: Detector | None = None,
    **options: Unpack[ExpandOptions],
) -> ExpandReport:
    """Animate every image of a dataset several times, and write the copies with their labels.

    The arguments are the options of `fomaug expand`; those that are not listed here are fields of `ExpandPlan`.

    Args:
        dataset: folder of class folders, or of images.
        out: folder to write to; a new one, or the one of the job that is resumed.
        driving: "builtin", "gestures", "parametric", "views", a pool or its file, a clip, or a folder of clips.
        copies: number of copies of each source.
        model: an animator, the name of an installed model, or the path of a model file.
        seed: seed of all draws; equal arguments give equal files.
        format: "folder", "webdataset" or "parquet".
        selection: "diverse", "uniform" or "sequence".
        strength_range: interval that the share of motion is drawn from.
        labels: "keep", "from_clip", "drop", or a mapping from old to new labels.
        on_error: "skip" to leave out and report sources, clips and annotations that cannot be used, or "raise".
        resume: True to go on with an interrupted job; refused if its settings or inputs have changed.
        dry_run: True to count the copies and write nothing.
        progress: True to show a progress bar.
        embed: face embedder for the gate `min_identity`, from (N, 3, H, W) images in [0, 1] to (N, D).
        detector: face detector for `faces="detect"`, from (H, W, 3) uint8 images to boxes (x0, y0, x1, y1) in pixels;
            None to detect faces by the model.
        options: further fields of `ExpandPlan`.

    Returns:
        The counts of the job, and the sources and clips that could not be used.
    """
    _check_names(options)
    plan = ExpandPlan(
        dataset=str(dataset),
        out=str(out),
        driving=GIVEN if isinstance(driving, DrivingPool) else str(driving),
        copies=copies,
        model=model.name if isinstance(model, Animator) else str(model),
        seed=seed,
        format=format,
        selection=selection,
        strength_range=strength_range,
        labels=labels,
        on_error=on_error,
        **options,
    )
    gates = read_gates(plan.gates)
    found = find_sources(Path(dataset), out=Path(out), split=plan.split, annotations=plan.annotations)
    if resume:
        found = found._replace(chosen=with_deleted(found.chosen, Path(dataset), Path(out)))
    sources = found.chosen
    shards = plan_shards(plan, sources)
    report = _start_report(plan, found, shards)
    if dry_run:
        return _estimate(plan, report, shards)
    pool = driving if isinstance(driving, DrivingPool) else None
    augment = load_augment(plan, pool, model if isinstance(model, Animator) else None, progress=progress)
    check_policy(plan, sources, augment.driving)
    annotator = make_annotator(plan, sources)
    stages = Stages(
        augment=augment,
        judge=make_judge(gates, augment.model, embed, poses=augment.driving.has_views, batch_size=plan.batch_size),
        annotator=annotator,
        locate=make_locator(plan, augment.model, detector, annotated=annotator is not None),
    )
    with locked(Path(out)):
        return _run(plan, sources, shards, stages, report, resume=resume, progress=progress)


def _check_names(options: Mapping[str, object]) -> None:
    known = {field.name for field in fields(ExpandPlan)}
    for name in options:
        if name not in known:
            raise ArgumentError(f"expand has no option {name!r}{did_you_mean(name, known)}")


def _start_report(plan: ExpandPlan, found: Found, shards: Sequence[Shard]) -> ExpandReport:
    """Report the planned copies, and the parts of the dataset that are left out."""
    return ExpandReport(
        out=Path(plan.out),
        sources=len(found.chosen),
        planned=sum(len(shard.copy_ids) for shard in shards),
        failed=_skip(plan, found.unsplit),
        expanded=tuple(found.expanded),
    )


def _skip(plan: ExpandPlan, unsplit: Sequence[SourceFile]) -> tuple[Failure, ...]:
    """Return a failure for each source without a split, or raise `MediaError` if the plan says so."""
    reason = "is outside the split folders and in no split; move it into one of them, or take split 'all'"
    skipped = tuple(Failure(source.key, reason) for source in unsplit)
    if skipped and plan.on_error == "raise":
        raise MediaError(f"{skipped[0].source}: {reason}")
    return skipped


def _estimate(plan: ExpandPlan, report: ExpandReport, shards: Sequence[Shard]) -> ExpandReport:
    """Add the estimates of a dry run."""
    jobs = [job for shard in shards for unit in shard.units for job in unit]
    labels = Counter[str]()
    for job in jobs:
        labels[job.source.label if plan.labels == "keep" else ""] += job.copies
    estimate = estimate_bytes([job.source.num_bytes for job in jobs], [job.copies for job in jobs])
    return replace(report, labels=tuple(sorted(labels.items())), estimated_bytes=estimate)


def _run(
    plan: ExpandPlan,
    sources: Sequence[SourceFile],
    shards: Sequence[Shard],
    stages: Stages,
    report: ExpandReport,
    *,
    resume: bool,
    progress: bool,
) -> ExpandReport:
    """Start or resume a job, make its missing copies, and complete its report and summary."""
    augment, annotator = stages.augment, stages.annotator
    facts = _facts(plan, sources, stages)
    manifest = Manifest(Path(plan.out))
    writer = open_writer(manifest.out, plan.format, list_classes(plan, sources, augment.driving))
    with explained_writes(manifest.out):
        manifest.begin(facts, resume=resume, companion=None if annotator is None else annotator.file_with)
        save_sources(manifest.out, sources)
        save_pool(plan, augment.driving)
    pipeline = Pipeline(plan, stages, manifest, writer)
    pipeline.run(shards, progress=progress)
    with explained_writes(manifest.out):
        manifest.sort_rows(copy_id for shard in shards for copy_id in shard.copy_ids)
        if annotator is not None:
            annotator.write_all(manifest.rows())
        report = _complete(report, sources, stages, manifest, pipeline)
        manifest.save_summary({"state": "done", **report.result(), **facts, "given": _inputs(plan)})
    return report


def _complete(
    report: ExpandReport, sources: Sequence[SourceFile], stages: Stages, manifest: Manifest, pipeline: Pipeline
) -> ExpandReport:
    """Add the outcome to a report, and save the contact sheet."""
    model, pool = stages.augment.model, stages.augment.driving
    provenance = Provenance(model.name, model_hash=model.hash, pool_hash=pool.hash, source_type="composite")
    rejected = sum(1 for _ in manifest.rows(REJECTED))
    sheet, unshown = save_contact_sheet(manifest.out, manifest.rows(), sources, provenance)
    failed = (*report.failed, *pipeline.failed)
    named = {failure.source for failure in failed}
    return replace(
        report,
        written=len(manifest.recorded) - rejected,
        new=pipeline.new,
        rejected=rejected,
        failed=(*failed, *(failure for failure in unshown if failure.source not in named)),
        skipped_clips=tuple(Failure(clip, reason) for clip, reason in pool.skipped),
        flawed=_list_flaws(stages.annotator, manifest, pipeline.flaws),
        unannotated=0 if stages.annotator is None else len(stages.annotator.missing),
        labels=count_labels(manifest.rows()),
        contact_sheet=sheet,
    )


def _list_flaws(annotator: Annotator | None, manifest: Manifest, unrecorded: Sequence[Flaw]) -> tuple[Failure, ...]:
    """List flaws from the reader, from the rows, and of sources without rows."""
    if annotator is None:
        return ()
    rows = (row for name in (MANIFEST, REJECTED) for row in manifest.rows(name))
    recorded = [(where, reason) for row in rows for where, reason in row.get("flaws", ())]
    others = [(flaw.where, flaw.described) for flaw in (*annotator.flaws, *unrecorded)]
    return tuple(Failure(*found) for found in sorted({*recorded, *others}))


def _facts(plan: ExpandPlan, sources: Sequence[SourceFile], stages: Stages) -> dict[str, Any]:
    """Return the facts that must be equal for a job to be resumed, as plain JSON."""
    pool, model, annotator = stages.augment.driving, stages.augment.model, stages.annotator
    return {
        "fomaug": __version__,
        "manifest": MANIFEST_FORMAT,
        "draws": DRAWS,
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


def _inputs(plan: ExpandPlan) -> dict[str, Any]:
    """Return the names of dataset, clips, model and label files as the user gave them."""
    return {
        name: getattr(plan, name) for name in ("dataset", "driving", "model", "config", "clip_labels", "annotations")
    }
