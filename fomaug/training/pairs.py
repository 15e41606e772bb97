"""Training pairs: two random frames of a clip, with the same random changes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from fomaug.errors import FomaugError, MediaError
from fomaug.training.clips import Frames, Picture
from fomaug.training.config import AugmentParams


class ClipPairs(Dataset[tuple[Tensor, Tensor]]):
    """A dataset of source and driving frames; all random numbers depend on (seed, epoch, index) alone."""

    def __init__(
        self,
        clips: Sequence[Frames],
        *,
        size: int,
        augment: AugmentParams,
        id_sampling: bool = False,
        num_repeats: int = 1,
        seed: int = 0,
        epoch: int = 0,
    ) -> None:
        self.groups = _groups(clips, id_sampling=id_sampling)
        self.size, self.augment, self.num_repeats, self.seed, self.epoch = size, augment, num_repeats, seed, epoch

    def __len__(self) -> int:
        return len(self.groups) * self.num_repeats

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([self.seed, self.epoch, index])
        group = self.groups[index % len(self.groups)]
        clip = group[int(rng.integers(len(group)))]
        first, second = sorted(int(i) for i in rng.integers(clip.count, size=2))
        try:
            frames = clip.take([first, second])
        except FomaugError as error:
            raise MediaError(f"clip {clip.name}: {error}") from error
        source, driving = (_tensor(frame, self.size) for frame in frames)
        return vary(source, driving, self.augment, rng=rng)


def _groups(clips: Sequence[Frames], *, id_sampling: bool) -> list[list[Frames]]:
    if not id_sampling:
        return [[clip] for clip in clips]
    people: dict[str, list[Frames]] = {}
    for clip in clips:
        people.setdefault(clip.name.split("#")[0], []).append(clip)
    return list(people.values())


def _tensor(frame: Picture, size: int) -> Tensor:
    image = torch.tensor(frame).permute(2, 0, 1)[None].float() / 255
    if image.shape[2:] != (size, size):
        image = F.interpolate(image, size=(size, size), mode="bilinear", antialias=True)
    return image[0]


def epoch_order(count: int, seed: int, epoch: int, rank: int, ranks: int) -> Iterator[int]:
    """Shuffle the indices of an epoch, the same way on every rank, and return this rank's equal share of them."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    even = len(order) - len(order) % ranks
    return iter(int(i) for i in order[rank:even:ranks])


_LUMA = torch.tensor([0.299, 0.587, 0.114])
_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


def vary(source: Tensor, driving: Tensor, params: AugmentParams, *, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Apply the same random changes to both frames (3, S, S) of a pair; values are in [0, 1]."""
    mirror, swap = rng.random(2) < 0.5  # always drawn, because one option must not change the draws of another
    pair = torch.stack([source, driving])
    if params.horizontal_flip and mirror:
        pair = pair.flip(-1)
    if params.time_flip and swap:
        pair = pair.flip(0)
    pair = _zoom(pair, rng.uniform(*params.zoom_range), rng.random(2))
    pair = _jitter(pair, params, rng=rng)
    return pair[0], pair[1]


def _zoom(pair: Tensor, ratio: float, position: NDArray[np.float64]) -> Tensor:
    """Resize, then crop at a relative position in [0, 1], or pad with the border's colours."""
    size = pair.shape[-1]
    side = round(size * ratio)
    if side == size:
        return pair
    pair = F.interpolate(pair, size=(side, side), mode="bilinear", antialias=True)
    left, top = (round(float(share) * abs(side - size)) for share in position)
    if side > size:
        return pair[..., top : top + size, left : left + size]
    return F.pad(pair, (left, size - side - left, top, size - side - top), mode="replicate")


def _jitter(pair: Tensor, params: AugmentParams, *, rng: np.random.Generator) -> Tensor:
    shares = rng.uniform(-1, 1, 4)
    names = ("brightness", "contrast", "saturation")
    brightness, contrast, saturation = (
        1 + float(share) * float(getattr(params, name)) for share, name in zip(shares, names, strict=False)
    )
    if brightness != 1:
        pair = pair * brightness
    if contrast != 1:
        middle = _grey(pair).mean()
        pair = middle + contrast * (pair - middle)
    if saturation != 1:
        grey = _grey(pair)
        pair = grey + saturation * (pair - grey)
    if params.hue:
        pair = _turn_hue(pair, 2 * math.pi * params.hue * float(shares[3]))
    return pair.clamp(0, 1)


def _grey(pair: Tensor) -> Tensor:
    return torch.einsum("nchw,c->nhw", pair, _LUMA)[:, None]


def _turn_hue(pair: Tensor, angle: float) -> Tensor:
    """Rotate the chroma plane of YIQ by an angle in radians."""
    turn = torch.eye(3)
    turn[1:, 1:] = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = torch.linalg.inv(_TO_YIQ) @ turn @ _TO_YIQ
    return torch.einsum("ij,njhw->nihw", matrix, pair)
