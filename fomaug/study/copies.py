"""The copies of one choice of training pictures: made once, judged by the gates, kept small in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug.augment import MotionAugment, MotionResult
from fomaug.labels import FaceLabels, move
from fomaug.quality import Gates, judge, score
from fomaug.study.data import Faces
from fomaug.study.pictures import Image8, to_input, to_unit
from fomaug.study.splits import Rows

_TRIES: Final = 3  # draws for a copy that the gates refuse, before it is given up; as in `fomaug.expand`


@dataclass(frozen=True, eq=False)
class Copies:
    """M copies of the training pictures of one choice.

    Attributes:
        images: (M, C, S, S) uint8 inputs of the network, those of a source together, in the order of the sources.
        starts: (N,) row of the first copy of each training picture.
        counts: (N,) number of its copies; 0 where the gates refused all.
        points: (M, P, 2) moved landmarks in [-1, 1]; None where there are none.
        visible: (M, P) bool: False for landmarks that went behind the face or out of the picture.
        refused: number of copies that the gates refused for good.
    """

    images: Tensor
    starts: Rows
    counts: Rows
    points: Tensor | None
    visible: Tensor | None
    refused: int


@dataclass(frozen=True, eq=False)
class _Copy:
    image: Tensor
    points: Tensor | None
    visible: Tensor | None


def make_copies(
    augment: MotionAugment,
    faces: Faces,
    rows: Sequence[int] | Rows,
    *,
    copies: int,
    gates: bool,
    progress: Callable[[int], object],
) -> Copies:
    """Animate training pictures.

    Args:
        augment: draws and renders; its draws depend on its seed and the keys of the pictures, and not on the choice.
        faces: the dataset.
        rows: of the training pictures.
        copies: of each picture.
        gates: whether `fomaug.quality.Gates` judges the copies.
        progress: called with the number of copies after each picture.
    """
    made: list[list[_Copy]] = []
    for row in rows:
        made.append(_copies_of(augment, faces, int(row), copies, gates=gates))
        progress(copies)
    counts = np.array([len(group) for group in made], np.int64)
    flat = [copy for group in made for copy in group]
    return Copies(
        images=torch.stack([c.image for c in flat]) if flat else faces.images[:0],
        starts=np.cumsum(counts) - counts,
        counts=counts,
        points=_stacked([c.points for c in flat if c.points is not None]),
        visible=_stacked([c.visible for c in flat if c.visible is not None]),
        refused=int(copies * len(counts) - counts.sum()),
    )


def _copies_of(augment: MotionAugment, faces: Faces, row: int, copies: int, *, gates: bool) -> list[_Copy]:
    """The copies of one picture, in the order of their numbers; refused ones are drawn anew and may stay missing."""
    pixels = faces.picture(row)
    image = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
    key, made, missing = faces.keys[row], {}, list(range(copies))
    for attempt in range(_TRIES):
        draws = augment.draw([f"{key}#{attempt}" if attempt else key], copies=copies, epoch=0)
        result = augment.apply(image, [draws[copy] for copy in missing])
        good = _passes(augment, image, result) if gates else [True] * len(missing)
        for place, copy in enumerate(missing):
            if good[place]:
                made[copy] = _small(faces, row, pixels, result, place)
        missing = [copy for copy in missing if copy not in made]
        if not missing:
            break
    return [made[copy] for copy in sorted(made)]


def _passes(augment: MotionAugment, image: Tensor, result: MotionResult) -> list[bool]:
    source = (image.float() / 255).expand(len(result.image), 3, -1, -1).to(augment.device)
    moved = (result.image.float() / 255).expand(-1, 3, -1, -1).to(augment.device)
    with torch.no_grad():
        found = score(augment.model, source, moved, result.flow.to(augment.device), result.occlusion.to(augment.device))
    return [not judge(scores, Gates()) for scores in found]


def _small(faces: Faces, row: int, pixels: Image8, result: MotionResult, place: int) -> _Copy:
    """Shrink a copy to the input of the network, and move the landmarks along."""
    channels, side = faces.images.shape[1:3]
    copied: NDArray[np.uint8] = result.image[place].permute(1, 2, 0).cpu().numpy()
    image = to_input(copied, side)
    image = image.float().mean(0, keepdim=True).round().byte() if channels == 1 else image.expand(channels, -1, -1)
    size = (pixels.shape[0], pixels.shape[1])
    labels = faces.landmarks(row, size)
    if labels is None:
        return _Copy(image, None, None)
    part = slice(place, place + 1)
    moved: FaceLabels = move(labels, result.flow[part].cpu(), size, occlusion=result.occlusion[part].cpu())
    assert moved.points is not None and moved.visible is not None
    return _Copy(image, to_unit(moved.points, size, side), torch.from_numpy(moved.visible))


def _stacked(parts: Sequence[Tensor]) -> Tensor | None:
    return torch.stack(list(parts)) if parts else None
