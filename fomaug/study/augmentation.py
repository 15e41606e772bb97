"""Augmented training pictures: classic augmentation (flip, affine, colour, blur, noise, cutout), and copies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fomaug.augment import MotionAugment, MotionResult
from fomaug.geometry import identity_grid
from fomaug.labels import FaceLabels, move
from fomaug.media import to_tensor
from fomaug.quality import Gates, judge, score
from fomaug.study.data import StudyData
from fomaug.study.design import Rows
from fomaug.study.faces import cut, in_square, square_around, to_input, to_unit

_TURN: Final = math.radians(20)
_SHEAR: Final = math.radians(8)
_SCALE: Final = 0.15  # Scales are drawn from 1 - _SCALE to 1 + _SCALE.
_SHIFT: Final = 0.2  # Largest shift, as a share of half the picture.
_BRIGHTNESS: Final = 0.2
_CONTRAST: Final = 0.4  # Drawn from exp(-_CONTRAST) to exp(_CONTRAST), like gamma and the gains of the channels.
_GAMMA: Final = 0.4
_TINT: Final = 0.15
_NOISE: Final = 0.06  # Largest standard deviation.
_CUTOUT: Final = (0.2, 0.7)  # Sides of the hole; the picture's side is 2.
_BLUR: Final = (1.0, 4.0, 6.0, 4.0, 1.0)  # Binomial kernel, divided by its sum.

MIRRORED_POINTS: Final[dict[int, tuple[int, ...]]] = {
    5: (1, 0, 2, 4, 3),
    68: (
        *range(16, -1, -1),
        *range(26, 16, -1),
        *range(27, 31),
        *range(35, 30, -1),
        *(45, 44, 43, 42, 47, 46),
        *(39, 38, 37, 36, 41, 40),
        *range(54, 47, -1),
        *range(59, 54, -1),
        *range(64, 59, -1),
        *(67, 66, 65),
    ),
}
"""For each known number of landmarks, the index that each landmark has after a flip."""


@dataclass(frozen=True, eq=False)
class ClassicParams:
    """One draw for each picture of a batch.

    Attributes:
        theta: (B, 2, 3) affine maps from coordinates of the result to coordinates of the picture, both in [-1, 1]; they
            include the flip.
        flipped: (B,) bool, True for mirrored pictures.
        tone: (B, C + 2) brightness, gamma, and a gain for each channel.
        blur: (B,) share of the blurred picture, in [0, 1].
        noise: (B, C, H, W) noise to add.
        hole: (B, 5) x, y, half width and half height of the hole in [-1, 1], and its grey level; the width is 0 for no
            hole.
    """

    theta: Tensor
    flipped: Tensor
    tone: Tensor
    blur: Tensor
    noise: Tensor
    hole: Tensor


def draw_classic(shape: tuple[int, ...], generator: torch.Generator, *, flip: bool = True) -> ClassicParams:
    """Draw the augmentation of a batch.

    Args:
        shape: shape (B, C, H, W) of the batch.
        generator: generator of all random numbers; the same state gives the same draw.
        flip: whether half of the pictures are mirrored.
    """
    batch, channels = shape[:2]

    def within(low: float, high: float, *size: int) -> Tensor:
        return low + (high - low) * torch.rand(batch, *size, generator=generator)

    flipped = (within(0, 1) < 0.5) & flip
    theta = _affine(within(-1, 1, 6), flipped)
    common = within(-_CONTRAST, _CONTRAST, 1)
    tint = within(-_TINT, _TINT, channels) * (channels > 1)
    tone = torch.cat([within(-_BRIGHTNESS, _BRIGHTNESS, 1), within(-_GAMMA, _GAMMA, 1).exp(), (common + tint).exp()], 1)
    blur = (within(-2, 1)).clamp(min=0)  # Two of three pictures have no blur.
    noise = torch.randn(shape, generator=generator) * within(-_NOISE, _NOISE, 1, 1, 1).clamp(min=0)
    sides = within(*_CUTOUT, 2) / 2 * (within(0, 1, 1) < 0.5)
    return ClassicParams(theta, flipped, tone, blur, noise, torch.cat([within(-1, 1, 2), sides, within(0, 1, 1)], 1))


def apply_classic(images: Tensor, params: ClassicParams) -> Tensor:
    """Augment a batch.

    Args:
        images: (B, C, H, W) float in [0, 1].
        params: draw for a batch of this shape.

    Returns:
        (B, C, H, W) float in [0, 1].
    """
    grid = F.affine_grid(params.theta, list(images.shape), align_corners=True)
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=True)
    moved = moved.lerp(_blurred(moved), params.blur[:, None, None, None])
    bright, gamma, gains = (
        params.tone[:, :1, None, None],
        params.tone[:, 1:2, None, None],
        params.tone[:, 2:, None, None],
    )
    toned = ((moved.clamp(min=1e-4) ** gamma - 0.5) * gains + 0.5 + bright + params.noise).clamp(0, 1)
    return _cut_out(toned, params.hole)


def move_points(points: Tensor, params: ClassicParams) -> Tensor:
    """Move landmarks (B, P, 2) in [-1, 1] as `apply_classic` moves the pictures; flips swap their indices."""
    inverse = torch.linalg.inv(params.theta[:, :, :2])
    moved: Tensor = (points - params.theta[:, None, :, 2]) @ inverse.transpose(1, 2)
    swapped = MIRRORED_POINTS.get(points.shape[1])
    if swapped is None:
        assert not params.flipped.any(), "flips need a table of the landmarks that swap"
        return moved
    return torch.where(params.flipped[:, None, None], moved[:, list(swapped)], moved)


def mirror_visible(visible: Tensor, params: ClassicParams) -> Tensor:
    """Swap the visibility (B, P) of landmarks as `move_points` swaps the landmarks."""
    swapped = MIRRORED_POINTS.get(visible.shape[1])
    return visible if swapped is None else torch.where(params.flipped[:, None], visible[:, list(swapped)], visible)


def _affine(unit: Tensor, flipped: Tensor) -> Tensor:
    """Turn draws (B, 6) in [-1, 1] and flips into affine maps (B, 2, 3): turn, shear, a scale for each axis, shift."""
    angle, shear = unit[:, 0] * _TURN, torch.tan(unit[:, 1] * _SHEAR)
    scale = 1 + unit[:, 2] * _SCALE
    wide = scale * (1 + unit[:, 3] * _SCALE / 2) * torch.where(flipped, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    rows = [cos * wide, (cos * shear - sin) * scale, unit[:, 4] * _SHIFT]
    rows += [sin * wide, (sin * shear + cos) * scale, unit[:, 5] * _SHIFT]
    return torch.stack(rows, 1).view(-1, 2, 3)


def _blurred(images: Tensor) -> Tensor:
    channels = images.shape[1]
    line = torch.tensor(_BLUR).to(images) / sum(_BLUR)
    kernel = torch.outer(line, line).expand(channels, 1, -1, -1)
    return F.conv2d(F.pad(images, (2, 2, 2, 2), mode="replicate"), kernel, groups=channels)


def _cut_out(images: Tensor, hole: Tensor) -> Tensor:
    height, width = images.shape[2:]
    x = torch.linspace(-1, 1, width) - hole[:, :1]  # (B, W)
    y = torch.linspace(-1, 1, height) - hole[:, 1:2]
    inside = (x.abs() < hole[:, 2:3])[:, None, None, :] & (y.abs() < hole[:, 3:4])[:, None, :, None]
    return torch.where(inside, hole[:, 4, None, None, None], images)


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
    pixels, labels = data.scene(row)
    image = to_tensor(pixels)[None].contiguous()
    key, made, missing = data.keys[row], {}, list(range(copies))
    for attempt in range(_TRIES):
        draws = augment.draw([f"{key}#{attempt}" if attempt else key], copies=copies, epoch=0)
        result = augment.apply(image, [draws[copy] for copy in missing])
        passed = _passes(augment, image, result) if gates else [True] * len(missing)
        for index, copy in enumerate(missing):
            if passed[index]:
                made[copy] = _to_copy(data, labels, result, index)
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


def _to_copy(data: StudyData, labels: FaceLabels | None, result: MotionResult, index: int) -> _Copy:
    """Cut a copy to its face, as the pictures are cut to theirs, and resize it to the input of the network.

    Args:
        data: dataset of the study.
        labels: landmarks in pixels of the scene that was animated; None for whole pictures.
        result: copies of one scene.
        index: index of the copy.
    """
    channels, side = data.images.shape[1:3]
    copied: NDArray[np.uint8] = result.image[index].permute(1, 2, 0).cpu().numpy()
    part = slice(index, index + 1)
    flow = result.flow[part].cpu()
    distance = float((flow - identity_grid((flow.shape[1], flow.shape[2])).to(flow)).norm(dim=-1).mean())
    if labels is None:
        return _Copy(to_input(copied, side, channels), None, None, distance)
    moved = move(labels, flow, (copied.shape[0], copied.shape[1]), occlusion=result.occlusion[part].cpu())
    assert moved.points is not None and moved.visible is not None
    square = square_around(moved)
    face = cut(copied, square)
    image = to_input(face, side, channels)
    if data.points is None:
        return _Copy(image, None, None, distance)
    points = to_unit(in_square(moved.points, square, face.shape), face.shape, side)
    return _Copy(image, points, torch.from_numpy(moved.visible), distance)


def _stacked(parts: Sequence[Tensor]) -> Tensor | None:
    return torch.stack(list(parts)) if parts else None
