"""Training pairs: which frames of which clips, in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from fomaug.errors import FomaugError, MediaError
from fomaug.training.augment import vary
from fomaug.training.clips import Frames, Picture
from fomaug.training.config import AugmentParams


class ClipPairs(Dataset[tuple[Tensor, Tensor]]):
    """Source and driving frames; what is drawn depends on (seed, epoch, index) alone."""

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
    """Shuffle an epoch the same way on every rank, and deal it out evenly."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    even = len(order) - len(order) % ranks
    return iter(int(i) for i in order[rank:even:ranks])
