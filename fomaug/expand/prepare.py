"""Preparation of a job: sources, driving, division, model and pool, and the facts that a resumed job must have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fomaug import __version__
from fomaug.animator import Animator
from fomaug.driving import DrivingPool, pose_sample, poses_of, views_like
from fomaug.errors import ArgumentError, ResumeError, shortened
from fomaug.expand.card import choose_sources
from fomaug.expand.dataset import (
    SOURCES,
    check_job,
    digest_sources,
    save_sources,
)
from fomaug.expand.formats import open_writer
from fomaug.expand.gates import Embed
from fomaug.expand.labels import Annotator, check_policy, list_classes, make_annotator
from fomaug.expand.output import (
    LOCK,
    MANIFEST_FORMAT,
    POOL_FILE,
    SUMMARY,
    check_format,
    holds_objects,
    is_prepared,
    push,
    remove_temporary,
)
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.report import read_summary, save_summary, saved_settings
from fomaug.expand.resources import (
    Stages,
    WorkerSetup,
    check_clips,
    digest_clip_labels,
    is_from_clips,
    load_augment,
    make_stages,
    save_pool,
)
from fomaug.expand.shards import Division
from fomaug.expand.sources import SourceFile, SourceJob, load
from fomaug.faces import Detector, find_squares, is_face_model
from fomaug.files import is_temporary
from fomaug.motion import DRAWS
from fomaug.options import AUTO
from fomaug.weights import load_model

_SAVED_FIRST: Final = (SOURCES, POOL_FILE, LOCK)
"""Files that are saved before the summary; a job with a summary is prepared."""


@dataclass(frozen=True)
class Given:
    """Objects that a user of Python may give instead of names.

    Attributes:
        model: animator; None for the one that the plan names.
        pool: driving pool; None for the one that the plan names.
        embed: face embedder for the gate `min_identity`.
        detector: face detector for `faces="detect"`.
    """

    model: Animator | None = None
    pool: DrivingPool | None = None
    embed: Embed | None = None
    detector: Detector | None = None

    def check(self, plan: ExpandPlan) -> None:
        """Raise `ArgumentError` for an object that is no function, or that the plan does not use."""
        for name, function in (("embed", self.embed), ("detector", self.detector)):
            if function is not None and not callable(function):
                raise ArgumentError(f"{name} must be a function, got {shortened(function)}")
        if self.detector is not None and plan.faces != "detect":
            raise ArgumentError(f"detector needs faces='detect', but faces is {plan.faces!r}; change one of them")


@dataclass(frozen=True)
class Prepared:
    """A job with everything that it needs.

    Attributes:
        plan: settings.
        sources: source files.
        division: division of their copies.
        stages: model, pool and all else that copies are made with in this process.
        given: objects that the user gave.
        facts: facts that must be equal for a job to be resumed, as plain JSON.
    """

    plan: ExpandPlan
    sources: Sequence[SourceFile]
    division: Division
    stages: Stages
    given: Given
    facts: dict[str, Any]

    @property
    def out(self) -> Path:
        """Output folder."""
        return Path(self.plan.out)

    def setup(self) -> WorkerSetup:
        """Return the setup of the job's workers."""
        augment, annotator = self.stages.augment, self.stages.annotator
        return WorkerSetup(
            plan=self.plan,
            classes=list_classes(self.plan, self.sources, augment.driving),
            hashes=(augment.model.hash, augment.driving.hash),
            shown=frozenset(choose_sources([source.key for source in self.sources])),
            annotator=None if annotator is None else annotator.without_labels(),
            model=self.given.model,
            pool=self.given.pool,
            embed=self.given.embed,
            detector=self.given.detector,
        )


def prepare(
    plan: ExpandPlan, sources: Sequence[SourceFile], division: Division, given: Given, *, progress: bool
) -> Prepared:
    """Load model, pool and annotations, and check that they fit together; nothing is written."""
    annotator = _read_inputs(plan, sources)
    augment = load_augment(plan, given.pool, given.model, progress=progress)
    check_policy(plan, sources, augment.driving)
    stages = make_stages(plan, augment, annotator, given.embed, given.detector)
    return Prepared(plan, sources, division, stages, given, _facts(plan, sources, stages))


def check(plan: ExpandPlan, sources: Sequence[SourceFile], division: Division, given: Given, *, resume: bool) -> None:
    """Raise the errors of `prepare` and `begin`, except those that are found by reading clips; nothing is written."""
    if not is_from_clips(plan):
        check_folder(prepare(plan, sources, division, given, progress=False), resume=resume)
        return
    _check_empty(plan, resume=resume)
    _read_inputs(plan, sources)
    check_clips(plan)
    if given.model is None:
        load_model(plan.model, config=plan.config, device=plan.device, dtype=plan.dtype)


def _read_inputs(plan: ExpandPlan, sources: Sequence[SourceFile]) -> Annotator | None:
    """Read the annotations, and check the other inputs that need neither model nor pool."""
    check_format(plan)
    open_writer(Path(plan.out), plan.format, ())  # its errors come before anything is written
    return make_annotator(plan, sources)


def begin(prepared: Prepared, *, resume: bool) -> None:
    """Save what the job needs in a new folder, or check that an existing folder holds the same job.

    Raises:
        ResumeError: the folder is not empty, or was made with other facts; the message names both values.
    """
    out, plan = prepared.out, prepared.plan
    check_folder(prepared, resume=resume)
    out.mkdir(parents=True, exist_ok=True)
    if not is_prepared(out):
        remove_temporary(out)  # a tar file of a job whose settings are lost
    save_sources(out, prepared.sources)
    save_pool(plan, prepared.stages.augment.driving)
    if not is_prepared(out):
        save_summary(out, {"state": "running", **prepared.facts, "given": inputs_of(plan)})
        push(plan, SOURCES, POOL_FILE, SUMMARY)  # in this order: the summary says that the job is prepared


def check_folder(prepared: Prepared, *, resume: bool) -> None:
    """Check that the output folder is empty, or holds the same job; see `begin`."""
    out, plan = prepared.out, prepared.plan
    filled = _check_empty(plan, resume=resume)
    if filled and (is_prepared(out) or not _is_unfinished(out)):
        check_job(out, Path(plan.dataset), prepared.sources, prepared.facts)


def _check_empty(plan: ExpandPlan, *, resume: bool) -> bool:
    """Return whether the output folder of a resumed job has files; for a new job, raise an error if it has."""
    out = Path(plan.out)
    filled = out.exists() and any(path.name != LOCK for path in out.iterdir())
    if not resume and (filled or holds_objects(plan)):
        raise ResumeError(
            f"{plan.target} is not empty; give a new folder, or resume=True (--resume) to continue its job"
        )
    return filled


def check_share(plan: ExpandPlan) -> None:
    """Check that a job is prepared before machines share it, if they could prepare it differently.

    Raises:
        ArgumentError: the pool is made from clips, and every machine would make its own.
    """
    if is_from_clips(plan) and not is_prepared(Path(plan.out)):
        raise ArgumentError(
            f"{plan.target} is not prepared, and every shard would read the clips in {plan.driving} by itself; run the "
            "same command once with --prepare instead of --shard"
        )


def inputs_of(plan: ExpandPlan) -> dict[str, Any]:
    """Return the names of dataset, clips, model and label files as the user gave them."""
    return {
        name: getattr(plan, name) for name in ("dataset", "driving", "model", "config", "clip_labels", "annotations")
    } | ({} if plan.purpose is None else {"purpose": plan.purpose})


def _is_unfinished(out: Path) -> bool:
    """Return whether a folder holds nothing but what a job saves before its summary."""
    return all(path.name in _SAVED_FIRST or is_temporary(path) for path in out.iterdir())


def _facts(plan: ExpandPlan, sources: Sequence[SourceFile], stages: Stages) -> dict[str, Any]:
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


def choose_driving(plan: ExpandPlan, sources: Sequence[SourceFile], given: Given) -> ExpandPlan:
    """Return the plan with the pool that "auto" stands for: views in the range of its dataset, or the built-in pool.

    A job that has begun keeps its pool. Without a face whose pose can be estimated, the pool is the built-in one.

    Args:
        plan: settings of the job.
        sources: pictures of the dataset; without any, a pool that depends on them stays "auto".
        given: model and detector that are used instead of those of the plan.
    """
    if plan.driving != AUTO:
        return plan
    if plan.views is not None:
        return replace(plan, driving="views")
    begun = _begun_driving(plan)
    if begun is not None:
        return begun
    if plan.recommended_driving == "builtin":
        return replace(plan, driving="builtin")
    if not sources:
        return plan
    animator = given.model or load_model(plan.model, config=plan.config, device=plan.device, dtype=plan.dtype)
    if not is_face_model(animator):
        return replace(plan, driving="builtin")
    chosen = (sources[index] for index in pose_sample(len(sources)))
    poses = poses_of((face for source in chosen for face in _faces(plan, source, animator, given.detector)), animator)
    if not poses.isfinite().all(1).any():
        return replace(plan, driving="builtin")
    return replace(plan, driving="views", views=views_like(poses).removeprefix("views "))


def _begun_driving(plan: ExpandPlan) -> ExpandPlan | None:
    """Return the plan with the pool of a job that has begun, if "auto" can stand for it."""
    if not is_prepared(Path(plan.out)):
        return None
    summary = read_summary(Path(plan.out))
    given, settings = summary.get("given"), summary.get("settings")
    if not (isinstance(given, dict) and isinstance(settings, dict)) or given.get("driving") not in ("views", "builtin"):
        return None  # made by another version, or with a pool that the user named
    with saved_settings(Path(plan.out), plan.out_url):
        return replace(plan, driving=given["driving"], views=settings.get("views"))


def _faces(
    plan: ExpandPlan, source: SourceFile, animator: Animator, detector: Detector | None
) -> Iterator[NDArray[np.uint8]]:
    """Cut out the faces of a picture; a picture that cannot be read has none."""
    picture = load(SourceJob(source, "", 1), plan.max_pixels).picture
    if picture is None:
        return
    if plan.faces == "frame":
        yield picture.rgb
        return
    for square in find_squares(picture.rgb, animator, detector=detector):
        yield square.cut_picture(picture).rgb
