"""`expand`: a face dataset in, a larger one out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from fomaug.animator import Animator
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, MediaError, did_you_mean
from fomaug.expand.annotate import make_annotator
from fomaug.expand.carry_out import carry_out
from fomaug.expand.faces import make_locator
from fomaug.expand.gates import Embed, make_judge, read_gates
from fomaug.expand.jobs import Shard, plan_shards
from fomaug.expand.labels import check_policy
from fomaug.expand.lock import locked
from fomaug.expand.plan import ExpandPlan, Format, LabelPolicy, OnError, Selection
from fomaug.expand.report import ExpandReport, Failure, estimate_bytes
from fomaug.expand.resources import GIVEN, load_tools
from fomaug.expand.run import Crew
from fomaug.expand.source_list import with_missing
from fomaug.expand.sources import Found, SourceFile, find_sources
from fomaug.faces import Detector


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
    labels: LabelPolicy | Mapping[str, str] = "keep",
    on_error: OnError = "skip",
    resume: bool = False,
    dry_run: bool = False,
    progress: bool = False,
    embed: Embed | None = None,
    detector: Detector | None = None,
    **options: Any,
) -> ExpandReport:
    """Animate every picture of a dataset several times, and write the copies with their labels.

    The arguments are the options of `fomaug expand`; those not listed here are fields of `ExpandPlan`, too.

    Args:
        dataset: folder of class folders, or of pictures.
        out: folder to write to; new, unless the job is resumed.
        driving: "builtin", "gestures", "parametric", a pool or its file, a clip, or a folder of clips.
        copies: of each picture.
        model: an animator, an installed model, or the path of a model file.
        seed: of all draws; equal arguments give equal files.
        format: "folder", "webdataset" or "parquet".
        selection: "diverse", "uniform" or "sequence".
        strength_range: share of the motion, lowest and highest.
        labels: "keep", "from_clip", "drop", or a mapping from old to new labels.
        on_error: "skip" pictures, clips and annotations that cannot be used, and name them, or "raise" at the first.
        resume: go on with an interrupted job; refused if anything that matters is not as it was.
        dry_run: only count.
        progress: show a bar.
        embed: (N, 3, H, W) pictures in [0, 1] to (N, D): a face embedder, for the gate `min_identity`.
        detector: (H, W, 3) uint8 pictures to face boxes (x0, y0, x1, y1) in pixels, for `faces="detect"`; None lets the
            model look for the face itself.
        options: further fields of `ExpandPlan`.

    Returns:
        What was done, and what could not be.
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
        found = found._replace(chosen=with_missing(found.chosen, Path(dataset), Path(out)))
    sources = found.chosen
    shards = plan_shards(plan, sources)
    asked = _start_report(plan, found, shards)
    if dry_run:
        return _foresee(plan, asked, shards)
    pool = driving if isinstance(driving, DrivingPool) else None
    augment = load_tools(plan, pool, model if isinstance(model, Animator) else None, progress=progress)
    check_policy(plan, sources, augment.driving)
    annotator = make_annotator(plan, sources)
    crew = Crew(
        augment=augment,
        judge=make_judge(gates, augment.model, embed),
        annotator=annotator,
        locate=make_locator(plan, augment.model, detector, annotated=annotator is not None),
    )
    with locked(Path(out)):
        return carry_out(plan, sources, shards, crew, asked, resume=resume, progress=progress)


def _check_names(options: Mapping[str, Any]) -> None:
    known = {field.name for field in fields(ExpandPlan)}
    for name in options:
        if name not in known:
            raise ArgumentError(f"expand has no option {name!r}{did_you_mean(name, known)}")


def _skip(plan: ExpandPlan, unsplit: Sequence[SourceFile]) -> tuple[Failure, ...]:
    """Name the pictures that are in no split, or raise where the plan says so."""
    reason = "lies beside the split folders and is in no split; move it into one of them, or take split 'all'"
    skipped = tuple(Failure(source.key, reason) for source in unsplit)
    if skipped and plan.on_error == "raise":
        raise MediaError(f"{skipped[0].source}: {reason}")
    return skipped


def _start_report(plan: ExpandPlan, found: Found, shards: Sequence[Shard]) -> ExpandReport:
    """Say what was asked for, and what of the dataset is left out from the beginning."""
    return ExpandReport(
        out=Path(plan.out),
        sources=len(found.chosen),
        planned=sum(len(shard.tokens) for shard in shards),
        failed=_skip(plan, found.unsplit),
        expanded=tuple(found.expanded),
    )


def _foresee(plan: ExpandPlan, asked: ExpandReport, shards: Sequence[Shard]) -> ExpandReport:
    jobs = [job for shard in shards for unit in shard.units for job in unit]
    labels = Counter[str]()
    for job in jobs:
        labels[job.source.label if plan.labels == "keep" else ""] += job.copies
    estimate = estimate_bytes([job.source.num_bytes for job in jobs], [job.copies for job in jobs])
    return replace(asked, labels=tuple(sorted(labels.items())), estimated_bytes=estimate)
