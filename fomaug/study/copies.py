"""The copies of one choice of training pictures: made once, judged by the gates, and kept in memory as inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug.animator import Animator
from fomaug.augment import MotionAugment, MotionResult
from fomaug.driving import pose_sample, views_of
from fomaug.geometry import identity_grid
from fomaug.labels import FaceLabels, move
from fomaug.quality import Gates, judge, score
from fomaug.study.data import StudyData
from fomaug.study.pictures import Image8, to_input, to_unit
from fomaug.study.splits import Rows

_TRIES: Final = 3  # Most draws for a copy that the gates reject; `fomaug.expand` has the same number.


@dataclass(frozen=True, eq=False)
class Copies:
    """The M copies of the training pictures of one choice.

    Attributes:
        images: (M, C, S, S) uint8 inputs of the network, grouped by source, in the order of the sources.
        starts: (N,) index of the first copy of each training picture.
        counts: (N,) number of copies of each training picture; 0 if the gates rejected all.
        points: (M, P, 2) moved landmarks in [-1, 1]; None without landmarks.
        visible: (M, P) bool, False for landmarks that moved behind the face or out of the picture; None
            without landmarks.
        rejected: number of copies whose draws the gates all rejected.
        order: (M,) indices of the copies, those of each source by how far they moved.
    """

    images: Tensor
    starts: Rows
    counts: Rows
    points: Tensor | None
    visible: Tensor | None
    rejected: int
    order: Rows


@dataclass(frozen=True, eq=False)
class _Copy:
    image: Tensor
    points: Tensor | None
    visible: Tensor | None
    distance: float


def choose_views(data: StudyData, model: Animator) -> str:
    """Return views for the head poses that the pictures of the dataset show, as the purpose "auto" has them."""
    return views_of((data.picture(row) for row in pose_sample(len(data))), model)


def make_copies(
    augment: MotionAugment,
    data: StudyData,
    rows: Sequence[int] | Rows,
    *,
    copies: int,
    gates: bool,
    progress: Callable[[int], object],
) -> Copies:
    """Animate training pictures.

    Args:
        augment: transform that makes the copies; its draws depend on its seed and the keys of the pictures, and not on
            the choice.
        data: dataset of the study.
        rows: rows of the training pictures.
        copies: number of copies of each picture.
        gates: whether `fomaug.quality.Gates` judges the copies.
        progress: function that receives the number of copies after each picture.
    """
    made: list[list[_Copy]] = []
    for row in rows:
        made.append(_copies_of(augment, data, int(row), copies, gates=gates))
        progress(copies)
    counts = np.array([len(group) for group in made], np.int64)
    flat = [copy for group in made for copy in group]
    return Copies(
        images=torch.stack([c.image for c in flat]) if flat else data.images[:0],
        starts=np.cumsum(counts) - counts,
        counts=counts,
        points=_stacked([c.points for c in flat if c.points is not None]),
        visible=_stacked([c.visible for c in flat if c.visible is not None]),
        rejected=int(copies * len(counts) - counts.sum()),
        order=_by_distance(made),
    )


def _by_distance(made: Sequence[Sequence[_Copy]]) -> Rows:
    """Order the indices of the copies of each source by how far they moved."""
    sources = np.repeat(np.arange(len(made)), [len(group) for group in made])
    distances = np.array([copy.distance for group in made for copy in group])
    return np.lexsort((distances, sources)).astype(np.int64)


def _copies_of(augment: MotionAugment, data: StudyData, row: int, copies: int, *, gates: bool) -> list[_Copy]:
    """Make the copies of one picture, in order; draw rejected ones anew, and leave them out after the last try."""
    pixels = data.picture(row)
    image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
    key, made, missing = data.keys[row], {}, list(range(copies))
    for attempt in range(_TRIES):
        draws = augment.draw([f"{key}#{attempt}" if attempt else key], copies=copies, epoch=0)
        result = augment.apply(image, [draws[copy] for copy in missing])
        passed = _passes(augment, image, result) if gates else [True] * len(missing)
        for index, copy in enumerate(missing):
            if passed[index]:
                made[copy] = _to_copy(data, row, pixels, result, index)
        missing = [copy for copy in missing if copy not in made]
        if not missing:
            break
    return [made[copy] for copy in sorted(made)]


def _passes(augment: MotionAugment, image: Tensor, result: MotionResult) -> list[bool]:
    source = (image.float() / 255).expand(-1, 3, -1, -1).to(augment.device)
    moved = (result.image.float() / 255).expand(-1, 3, -1, -1).to(augment.device)
    with torch.no_grad():
        found = score(augment.model, source, moved, result.flow.to(augment.device), result.occlusion.to(augment.device))
    return [not judge(scores, Gates()) for scores in found]


def _to_copy(data: StudyData, row: int, pixels: Image8, result: MotionResult, index: int) -> _Copy:
    """Resize a copy to the input of the network, and move the landmarks along."""
    channels, side = data.images.shape[1:3]
    copied: NDArray[np.uint8] = result.image[index].permute(1, 2, 0).cpu().numpy()
    image = to_input(copied, side)
    image = image.float().mean(0, keepdim=True).round().byte() if channels == 1 else image.expand(channels, -1, -1)
    size = (pixels.shape[0], pixels.shape[1])
    labels = data.landmarks(row, size)
    part = slice(index, index + 1)
    distance = float(
        (result.flow[part] - identity_grid((result.flow.shape[1], result.flow.shape[2])).to(result.flow))
        .norm(dim=-1)
        .mean()
    )
    if labels is None:
        return _Copy(image, None, None, distance)
    moved: FaceLabels = move(labels, result.flow[part].cpu(), size, occlusion=result.occlusion[part].cpu())
    assert moved.points is not None and moved.visible is not None
    return _Copy(image, to_unit(moved.points, size, side), torch.from_numpy(moved.visible), distance)


def _stacked(parts: Sequence[Tensor]) -> Tensor | None:
    return torch.stack(list(parts)) if parts else None
