"""One expansion from its arguments to its report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path

from typing_extensions import Unpack

from fomaug.animator import Animator
from fomaug.driving import DrivingPool
from fomaug.errors import ArgumentError, ResumeError, did_you_mean
from fomaug.expand.complete import complete, report_share
from fomaug.expand.dataset import Found, find_job_sources, list_unsplit, list_unusable
from fomaug.expand.engines import Job, make_engine
from fomaug.expand.fork_server import end_unguarded_worker, ending_fork_server, start_early
from fomaug.expand.formats import is_whole_archive
from fomaug.expand.formats.tar import unfinished_archives
from fomaug.expand.gates import Embed, read_gates
from fomaug.expand.index import RowIndex, is_written
from fomaug.expand.inputs import has_annotations
from fomaug.expand.manifest import explained_writes, list_parts
from fomaug.expand.output import is_prepared, locked, remove_temporary, wait_for_workers, working_folder
from fomaug.expand.plan import EngineName, ExpandOptions, ExpandPlan, Format, LabelOption, Processes
from fomaug.expand.prepare import Given, Prepared, begin, check, check_share, choose_driving, prepare
from fomaug.expand.report import ExpandReport, estimate_bytes, plan_of, read_summary, show_progress
from fomaug.expand.resources import GIVEN, on_own_device
from fomaug.expand.samples import copy_label
from fomaug.expand.shards import Division
from fomaug.expand.tasks import Share, Tasks, parse_share
from fomaug.faces import Detector
from fomaug.motion import Selection
from fomaug.options import AUTO, OnError, check_flag, with_presets
from fomaug.remote import local_name


@dataclass(frozen=True)
class _Mode:
    """The part of a job that a call does.

    Attributes:
        resume: True to continue a job.
        dry_run: True to check the inputs, count the copies and write nothing.
        prepare: True to prepare the job and make no copies.
        share: share of the copies that is made; None for all, which are then joined.
        progress: True to show a progress bar.
    """

    resume: bool = False
    dry_run: bool = False
    prepare: bool = False
    share: Share | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        for name in ("resume", "dry_run", "prepare", "progress"):
            check_flag(name, getattr(self, name))


@with_presets(*(field.name for field in fields(ExpandPlan)))
def expand(
    dataset: str | Path,
    out: str | Path,
    *,
    driving: str | Path | DrivingPool = AUTO,
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
    prepare: bool = False,
    shard: str | None = None,
    progress: bool = False,
    embed: Embed | None = None,
    detector: Detector | None = None,
    **options: Unpack[ExpandOptions],
) -> ExpandReport:
    """Animate every image of a dataset several times, and write the copies with their labels.

    The arguments are the options of `fomaug expand`; those that are not listed here are fields of `ExpandPlan`.

    Args:
        dataset: folder of class folders or of images; a list of pictures (.csv, .jsonl); WebDataset tar files or
            parquet files, or a folder of them; or the URL of one of these on remote storage.
        out: folder to write to, or, for archives, its URL on remote storage; a new one, or that of the resumed job.
        driving: "auto", "builtin", "gestures", "parametric", "views", a pool or its file, a clip, or a folder of clips.
            "auto" stands for views in the range of the head poses that the dataset shows; or for the built-in pool if
            annotations move along, or an option asks for the motion of clips.
        copies: number of copies of each source.
        model: an animator, the name of an installed model, or the path of a model file.
        seed: seed of all draws; equal arguments give equal files.
        format: "folder", "webdataset" or "parquet".
        selection: "diverse", "uniform" or "sequence".
        strength_range: interval that the share of motion is drawn from.
        labels: "keep", "from_clip", "drop", or a mapping from old to new labels.
        on_error: "skip" to leave out and report sources, clips and annotations that cannot be used, or "raise".
        resume: True to continue an interrupted job; refused if its settings or inputs have changed.
        dry_run: True to check the inputs, count the copies and write nothing; clips are listed, but not read.
        prepare: True to save the plan of the job and make no copies, so that shares can begin.
        shard: "I/N" to make only the I-th of N shares, counted from 0, or "auto" for the numbers of a cluster, see
            `fomaug.expand.parse_share`; the shares are joined by `fomaug.expand.finish`, or by `resume=True`.
        progress: True to show a progress bar.
        embed: face embedder for the gate `min_identity`, from (N, 3, H, W) images in [0, 1] to (N, D).
        detector: face detector for `faces="detect"`, from (H, W, 3) uint8 images to boxes (x0, y0, x1, y1) in pixels;
            None to detect faces by the model.
        options: further fields of `ExpandPlan`.

    Returns:
        The counts of the job, and the sources and clips that could not be used.
    """
    end_unguarded_worker()
    _check_names(options)
    plan = ExpandPlan(
        dataset=local_name(str(dataset)),
        out=local_name(str(out)),
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
    given = Given(
        model=model if isinstance(model, Animator) else None,
        pool=driving if isinstance(driving, DrivingPool) else None,
        embed=embed,
        detector=detector,
    )
    mode = _Mode(resume, dry_run, prepare, _share(shard), progress)
    with ending_fork_server(), working_folder(plan.out) as (folder, url):
        return _expand(replace(plan, out=str(folder), out_url=url), given, mode).located(url)


def finish(
    out: str | Path,
    *,
    shard: str | None = None,
    engine: EngineName = "local",
    processes: Processes = 1,
    address: str | None = None,
    device: str = "auto",
    workers: int = 2,
    on_error: OnError = "skip",
    progress: bool = False,
) -> ExpandReport:
    """Continue the job of an output folder with its own settings: make the missing copies, and join all shares.

    Args:
        out: output folder or URL of a job that was prepared, interrupted, or divided into shards.
        shard: "I/N" or "auto" to make one share and join nothing, see `expand`.
        engine: "local" or "ray".
        processes: number of processes, or "auto".
        address: address of the Ray cluster.
        device: device of the model.
        workers: number of threads that read and write, in each process.
        on_error: "skip" or "raise", see `expand`.
        progress: True to show a progress bar.

    Returns:
        The counts of the job, and the sources and clips that could not be used.

    Raises:
        ResumeError: the folder holds no job, or the job was given objects from Python.
    """
    end_unguarded_worker()
    free = {"engine": engine, "processes": processes, "address": address, "device": device, "workers": workers}
    mode = _Mode(resume=True, share=_share(shard), progress=progress)
    with ending_fork_server(), working_folder(local_name(str(out))) as (folder, url):
        plan = plan_of(folder, read_summary(folder, url), on_error=on_error, out_url=url, **free)
        if plan.driving == GIVEN:
            raise ResumeError(f"the job in {out} was given a pool or a model from Python; resume it there by expand()")
        return _expand(plan, Given(), mode).located(url)


def _share(shard: str | None) -> Share | None:
    return None if shard is None else parse_share(shard)


def _check_names(options: Mapping[str, object]) -> None:
    known = {field.name for field in fields(ExpandPlan)} - {"out_url"}
    for name in options:
        if name not in known:
            raise ArgumentError(f"expand has no option {name!r}{did_you_mean(name, known)}")


def _expand(plan: ExpandPlan, given: Given, mode: _Mode) -> ExpandReport:
    read_gates(plan.gates)
    given.check(plan)
    if plan.annotations is None and has_annotations(plan.dataset):
        plan = replace(plan, annotations=plan.dataset)
    if mode.share is not None:
        check_share(plan)
        plan = on_own_device(plan)
    resume = mode.resume or mode.share is not None
    found = find_job_sources(plan, resume=resume, listed=mode.share is not None)
    division = Division(plan, found.chosen)
    report = _start_report(plan, found, division)
    plan = choose_driving(plan, () if mode.dry_run else found.chosen, given)
    if mode.dry_run:
        check(plan, found.chosen, division, given, resume=resume)
        return _estimate(plan, report, division)
    if not mode.prepare:
        start_early(plan.processes, plan.engine, plan.device)
    prepared = prepare(plan, found.chosen, division, given, progress=mode.progress)
    if mode.share is not None:
        return _run_share(prepared, report, mode, mode.share)
    with locked(prepared.out):
        with explained_writes(prepared.plan.target):
            begin(prepared, resume=mode.resume)
        return report if mode.prepare else _run(prepared, report, mode)


def _start_report(plan: ExpandPlan, found: Found, division: Division) -> ExpandReport:
    """Report the planned copies, and the parts of the dataset that are left out."""
    return ExpandReport(
        out=Path(plan.out),
        sources=len(found.chosen),
        planned=division.num_copies,
        failed=(*list_unusable(plan, found.failed), *list_unsplit(plan, found.unsplit)),
        expanded=tuple(found.expanded),
    )


def _estimate(plan: ExpandPlan, report: ExpandReport, division: Division) -> ExpandReport:
    """Add the estimates of a dry run; labels of clips are not known before the clips are drawn."""
    labels, size = Counter[str](), 0
    for job in division.jobs():
        if plan.labels != "from_clip":
            labels[copy_label(plan.labels, job.source.label, None)] += job.copies
        size += estimate_bytes([job.source.num_bytes], [job.copies])
    return replace(report, labels=tuple(sorted(labels.items())), estimated_bytes=size)


def _run(prepared: Prepared, report: ExpandReport, mode: _Mode) -> ExpandReport:
    """Make the missing copies of a whole job, and complete it."""
    with explained_writes(prepared.plan.target):
        wait_for_workers(list_parts(prepared.out))
        remove_temporary(prepared.out, unfinished_archives(prepared.plan, prepared.division.names))
    index = _index(prepared)
    report = replace(report, written=index.counts()[0])
    tasks = _make(prepared, index, range(prepared.division.num_groups), mode)
    with explained_writes(prepared.plan.target):
        return complete(prepared, index, tasks, report)


def _run_share(prepared: Prepared, report: ExpandReport, mode: _Mode, share: Share) -> ExpandReport:
    """Make the missing copies of one share; other processes make the other shares at the same time."""
    # The first share prepares the job, the others wait for it.
    lock = nullcontext() if is_prepared(prepared.out) else locked(prepared.out, patient=True)
    with lock, explained_writes(prepared.plan.target):
        begin(prepared, resume=True)
    groups = share.groups(prepared.division.num_groups)
    with locked(prepared.out, shared=True):
        index = _index(prepared)
        report = replace(report, planned=prepared.division.count_copies(groups), written=index.counts(groups)[0])
        tasks = _make(prepared, index, groups, mode)
        return report_share(prepared, index, tasks, report, share)


def _index(prepared: Prepared) -> RowIndex:
    """Index the existing rows of existing copies."""
    annotator = prepared.stages.annotator
    companion = None if annotator is None else annotator.file_with
    index = RowIndex(
        prepared.out,
        prepared.division,
        lambda row: is_written(prepared.out, row, companion),
        lambda name, count, last: is_whole_archive(f"{prepared.plan.target}/{name}", count, last),
    )
    index.scan()
    return index


def _make(prepared: Prepared, index: RowIndex, groups: range, mode: _Mode) -> Tasks:
    """Make the missing copies of some groups."""
    annotator = prepared.stages.annotator
    total = prepared.division.count_copies(groups)
    done = sum(index.count_recorded(prepared.division.positions(number)) for number in groups)
    with show_progress(total, done, shown=mode.progress) as on_made:
        tasks = Tasks(prepared.division, index, groups, {} if annotator is None else annotator.labels, on_made)
        make_engine(prepared.plan).run(Job(tasks, prepared.setup(), prepared.stages))
    return tasks
