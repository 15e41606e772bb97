"""The setup of workers: each process is one worker, which loads model and pool once, for all of its groups."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from fomaug.animator import Animator
from fomaug.augment import MotionAugment
from fomaug.driving import DrivingPool
from fomaug.errors import ResumeError
from fomaug.expand.copies import Judge
from fomaug.expand.gates import Embed, make_judge, read_gates
from fomaug.expand.labels import Annotator
from fomaug.expand.manifest import Part
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.resources import load_worker_augment
from fomaug.expand.sources import Locate, make_locator
from fomaug.faces import Detector


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
