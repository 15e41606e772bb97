"""The resources of a job: model and driving pool, and the stages that every worker sets up around them."""

from __future__ import annotations

import hashlib
import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch

from fomaug.animator import Animator
from fomaug.augment import MotionAugment
from fomaug.driving import NAMED_POOLS, DrivingPool, is_named_pool
from fomaug.driving import load_pool as named_pool
from fomaug.driving.build import name_clips
from fomaug.driving.pool import resolve_labels
from fomaug.driving.spec import hint_on
from fomaug.errors import ArgumentError, LabelError, MediaError, PoolError, ResumeError, reason_of
from fomaug.expand.copies import Judge
from fomaug.expand.gates import Embed, make_judge, read_gates
from fomaug.expand.labels import Annotator
from fomaug.expand.manifest import Part
from fomaug.expand.output import POOL_FILE, fetch_file
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.sources import Locate, make_locator
from fomaug.faces import Detector
from fomaug.files import TABLE, exists, is_safetensors, sha256_of
from fomaug.geometry import check_region
from fomaug.media import find_clips, read_clip
from fomaug.options import AUTO
from fomaug.weights import load_model

GIVEN: Final = "a given pool"


def load_augment(
    plan: ExpandPlan, driving: DrivingPool | None = None, model: Animator | None = None, *, progress: bool = False
) -> MotionAugment:
    """Load the model and the driving pool of a plan, and make the transform that draws and applies motion.

    Args:
        plan: settings with the names of model and pool.
        driving: driving pool made for the model; None to load the pool of the plan.
        model: animator; None to load the model of the plan.
        progress: whether a progress bar is shown while clips are read.

    Raises:
        ArgumentError: no frame of the pool can be drawn, the reference frame does not exist, or the region is unknown
            to the model.
        LabelError: the labels of the clips cannot be read, or name clips that are not in the pool.
    """
    animator = model or load_model(plan.model, config=plan.config, device=plan.device, dtype=plan.dtype)
    pool = driving or load_pool(plan, animator, progress=progress)
    if plan.clip_labels is not None and not is_from_clips(plan):
        if plan.clip_labels == "folders":
            raise ArgumentError("clip_labels='folders' needs driving to be a folder of clips; give a CSV file instead")
        pool = pool.labelled(plan.clip_labels)
    if plan.clip_weights is not None:
        pool = pool.weighted(plan.clip_weights)
    augment = MotionAugment(pool, animator, **plan.draw_settings().to_dict(), batch_size=plan.batch_size)
    _check_draws(plan, augment)
    return augment


def load_worker_augment(plan: ExpandPlan, driving: DrivingPool | None, model: Animator | None) -> MotionAugment:
    """Load the model and the pool of a running job, which has saved the pool of its clips."""
    if driving is None and is_from_clips(plan):
        fetch_file(plan, POOL_FILE)
        driving = DrivingPool.load(Path(plan.out) / POOL_FILE)
    return load_augment(plan, driving, model)


def _check_draws(plan: ExpandPlan, augment: MotionAugment) -> None:
    """Raise an error for settings that no draw can satisfy, before anything is written."""
    check_region(plan.region, augment.model.keypoint_names)
    augment.draw([""], copies=1)
    longest = max(len(track) for track in augment.driving)
    if isinstance(plan.reference, int) and plan.reference >= longest:
        raise ArgumentError(
            f"reference {plan.reference} is a frame of no clip: the longest has {longest} frames, counted from 0"
        )


def parse_weights(text: str) -> dict[str, float]:
    """Parse the option `clip_weights`: CLIP=WEIGHT pairs separated by commas.

    >>> parse_weights("talk=0,nod=2.5")
    {'talk': 0.0, 'nod': 2.5}
    """
    pairs = [pair.rpartition("=") for pair in text.split(",") if pair]
    try:
        return {name.strip(): float(weight) for name, _, weight in pairs if _check_name(name)}
    except ValueError as cause:
        raise ArgumentError(f"clip weights must be CLIP=WEIGHT pairs with commas between, got {text!r}") from cause


def _check_name(name: str) -> str:
    if not name.strip():
        raise ValueError("no name")
    return name


def load_pool(plan: ExpandPlan, animator: Animator, *, progress: bool = False) -> DrivingPool:
    """Make or load the driving pool of a plan.

    Raises:
        PoolError: the path does not exist, has no readable clip, or is a pool of another model.
    """
    if is_named_pool(plan.named_driving):
        return named_pool(plan.named_driving, animator)
    path = Path(plan.driving)
    if _is_pool_file(path):
        return DrivingPool.load(path, animator)
    check_clips(plan)
    return _reload(path, plan, animator) or _build(path, plan, animator, progress=progress)


def check_clips(plan: ExpandPlan) -> None:
    """Raise the errors about the clips of a plan and their labels that are found without reading the clips."""
    if not exists(Path(plan.driving)):
        names = (AUTO, *NAMED_POOLS)
        raise PoolError(
            f"driving must be {', '.join(names)}, a pool file or clips; there is no {plan.driving!r}"
            f"{hint_on(plan.driving, names)}"
        )
    resolve_labels(plan.clip_labels, name_clips([plan.driving]))


def _build(path: Path, plan: ExpandPlan, animator: Animator, *, progress: bool) -> DrivingPool:
    pool = DrivingPool.from_clips(
        path,
        animator,
        labels=plan.clip_labels,
        crop=plan.clip_crop,
        on_error=plan.on_error,
        progress=progress,
        batch_size=plan.batch_size,
    )
    for track in pool:
        if "note" in track.facts:
            warnings.warn(f"driving clip {track.name}: {track.facts['note']}", stacklevel=2)
    return pool


def save_pool(plan: ExpandPlan, pool: DrivingPool) -> None:
    """Save a pool that was made from clips, since another device would detect slightly different keypoints."""
    path = Path(plan.out) / POOL_FILE
    if is_from_clips(plan) and not path.exists():
        pool.save(path)


def digest_clip_labels(plan: ExpandPlan) -> str | None:
    """Return the sha256 of the labels of the clips, to detect changes: a saved pool keeps its labels.

    Raises:
        LabelError: the file cannot be read.
    """
    if plan.clip_labels is None:
        return None
    if plan.clip_labels == "folders":
        names = sorted(f"{path.absolute().parent.name}/{path.name}" for path in find_clips(Path(plan.driving)))
        return hashlib.sha256("\n".join(names).encode("utf-8", "surrogatepass")).hexdigest()
    try:
        return sha256_of(Path(plan.clip_labels), TABLE)
    except OSError as cause:
        raise LabelError(f"cannot read the labels in {plan.clip_labels} ({reason_of(cause)})") from cause


def on_own_device(plan: ExpandPlan) -> ExpandPlan:
    """Give each process that torchrun starts on a machine a GPU of its own."""
    number = os.environ.get("LOCAL_RANK", "")
    if plan.device != "auto" or not number.isdigit() or torch.cuda.device_count() < 2:
        return plan
    return replace(plan, device=f"cuda:{int(number) % torch.cuda.device_count()}")


def is_from_clips(plan: ExpandPlan) -> bool:
    """Return whether the pool of a plan is made from clips."""
    return not (is_named_pool(plan.named_driving) or plan.driving == GIVEN or _is_pool_file(Path(plan.driving)))


def _is_pool_file(path: Path) -> bool:
    """Return whether a path has the suffix of a pool file, or is a safetensors file by its content."""
    return path.suffix == ".safetensors" or (exists(path) and path.is_file() and is_safetensors(path))


def _reload(clips: Path, plan: ExpandPlan, animator: Animator) -> DrivingPool | None:
    """Load the pool of the resumed job, if it was made from exactly these clips."""
    saved = Path(plan.out) / POOL_FILE
    if not saved.is_file():
        return None
    pool = DrivingPool.load(saved)
    known = {track.clip_hash for track in pool.tracks}
    hashes: set[str] = set()
    skipped: list[tuple[str, str]] = []
    for path in find_clips(clips):
        try:
            clip_hash = read_clip(path).hash
            if clip_hash not in known:  # a clip without a face raises the same error as before
                DrivingPool.from_clips(path, animator, crop=plan.clip_crop, on_error="raise")
            hashes.add(clip_hash)
        except (MediaError, PoolError) as error:
            skipped.append((path.stem, str(error)))
    if hashes != known:
        return None
    return DrivingPool(pool.tracks, pool.model_name, pool.model_hash, skipped=skipped)


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


@dataclass(frozen=True)
class WorkerSetup:
    """All that a worker needs in addition to its tasks; it can be pickled if the objects of the user can.

    Attributes:
        plan: settings of the job.
        classes: labels of all copies.
        hashes: hashes of the job's model and pool, to compare those of the worker.
        shown: keys of the sources on the contact sheet.
        annotator: writer of annotations, without labels; None without annotations.
        model: given animator; None to load the model of the plan.
        pool: given driving pool; None to load the pool of the plan.
        embed: given face embedder.
        detector: given face detector.
    """

    plan: ExpandPlan
    classes: tuple[str, ...]
    hashes: tuple[str, str]
    shown: frozenset[str] = frozenset()
    annotator: Annotator | None = None
    model: Animator | None = None
    pool: DrivingPool | None = None
    embed: Embed | None = None
    detector: Detector | None = None

    def open_part(self, name: str) -> Part:
        """Open the manifest part of a worker."""
        return Part(Path(self.plan.out), name, self.plan.out_url)

    def on(self, device: str) -> WorkerSetup:
        """Return the setup of a worker on a device."""
        return replace(self, plan=replace(self.plan, device=device))


def load_stages(setup: WorkerSetup) -> Stages:
    """Load model and pool in the process of a worker.

    Raises:
        ResumeError: this machine has another model or pool under the same name.
    """
    plan = setup.plan
    augment = load_worker_augment(plan, setup.pool, setup.model)
    hashes = augment.model.hash, augment.driving.hash
    if hashes != setup.hashes:
        raise ResumeError(
            f"the worker loaded a model and a pool with the hashes {hashes}, but the job has {setup.hashes}; "
            "give files that all machines share"
        )
    return make_stages(plan, augment, setup.annotator, setup.embed, setup.detector)


def make_stages(
    plan: ExpandPlan,
    augment: MotionAugment,
    annotator: Annotator | None,
    embed: Embed | None,
    detector: Detector | None,
) -> Stages:
    """Gather the stages of a job around its model and pool."""
    poses = augment.driving.has_views
    return Stages(
        augment=augment,
        judge=make_judge(read_gates(plan.gates), augment.model, embed, poses=poses, batch_size=plan.batch_size),
        annotator=annotator,
        locate=make_locator(plan, augment.model, detector, annotated=annotator is not None),
    )
