"""The purpose "auto": choose views in the range of the dataset's head poses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from fomaug.animator import Animator
from fomaug.driving import views_like
from fomaug.expand.manifest import SUMMARY, read_summary
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.sources import SourceFile, SourceJob, load
from fomaug.faces import Detector, find_squares, head_pose
from fomaug.weights import load_model

_MOST: Final = 100  # Most pictures whose poses are estimated; they are spread evenly over the dataset.


def choose_views(
    plan: ExpandPlan, sources: Sequence[SourceFile], model: Animator | None, detector: Detector | None
) -> ExpandPlan:
    """Return the plan with views in the range of its dataset, if its purpose is "auto" and no views are given.

    A job that has begun keeps its views.

    Args:
        plan: settings of the job.
        sources: pictures of the dataset.
        model: animator; None to load the one that the plan names.
        detector: face detector for `faces="detect"`; None to detect faces by the model.
    """
    if plan.purpose != "auto" or plan.driving != "views" or plan.views is not None:
        return plan
    begun = read_summary(Path(plan.out))["settings"].get("views") if (Path(plan.out) / SUMMARY).exists() else None
    if begun is not None:
        return replace(plan, views=begun)
    animator = model or load_model(plan.model, config=plan.config, device=plan.device, dtype=plan.dtype)
    chosen = np.linspace(0, len(sources) - 1, min(len(sources), _MOST)).round().astype(int)
    poses = [pose for index in chosen for pose in _poses(plan, sources[index], animator, detector)]
    views = views_like(torch.cat(poses) if poses else torch.zeros(0, 3))
    return replace(plan, views=views.removeprefix("views "))


def _poses(plan: ExpandPlan, source: SourceFile, animator: Animator, detector: Detector | None) -> Iterator[Tensor]:
    """Estimate the head pose (1, 3) of each face of a picture; a picture that cannot be read has none."""
    picture = load(SourceJob(source, "", 1), plan.max_pixels).picture
    if picture is None:
        return
    pixels = [picture.rgb]
    if plan.faces != "frame":
        squares = find_squares(picture.rgb, animator, detector=detector)
        pixels = [square.cut_picture(picture).rgb for square in squares]
    for face in pixels:
        image = torch.from_numpy(np.ascontiguousarray(face.transpose(2, 0, 1)))[None].float() / 255
        yield head_pose(animator.detect(image.to(animator.device)), animator).cpu()
