"""Training pairs from clips: videos, gifs, folders of frames, and pictures with the frames side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset

from fomaug._errors import FomaugError, MediaError
from fomaug.driving import Clip, find_clips, read_clip
from fomaug.training._augment import vary
from fomaug.training._config import AugmentParams

Picture = NDArray[np.uint8]


class Frames(Protocol):
    """A clip of which single frames can be asked for."""

    @property
    def name(self) -> str:
        """Of the file or folder."""

    @property
    def count(self) -> int:
        """How many frames it has."""

    def take(self, indices: Sequence[int]) -> list[Picture]:
        """Read frames, (H, W, 3) uint8, of ascending indices."""


@dataclass(frozen=True)
class _Stream:
    """A clip that is decoded from its start; folders of frames are quicker, since they are not."""

    clip: Clip
    count: int

    @property
    def name(self) -> str:
        return self.clip.name

    def take(self, indices: Sequence[int]) -> list[Picture]:
        frames = list(islice(self.clip.frames(on_damage=lambda _: None), indices[-1] + 1))
        return [frames[index] for index in indices]


@dataclass(frozen=True)
class _Folder:
    pictures: tuple[Path, ...]
    name: str

    @property
    def count(self) -> int:
        return len(self.pictures)

    def take(self, indices: Sequence[int]) -> list[Picture]:
        return [_read(self.pictures[index]) for index in indices]


@dataclass(frozen=True)
class _Strip:
    """One picture with square frames side by side."""

    path: Path
    count: int

    @property
    def name(self) -> str:
        return self.path.stem

    def take(self, indices: Sequence[int]) -> list[Picture]:
        strip = _read(self.path)
        side = strip.shape[0]
        return [strip[:, index * side : (index + 1) * side] for index in indices]


_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def open_clips(root: Path) -> list[Frames]:
    """Open every clip below a folder.

    Raises:
        MediaError: if there is none, or one of them cannot be read.
    """
    if not root.is_dir():
        raise MediaError(f"{root} is no folder of clips")
    strips = [path for path in sorted(root.iterdir()) if path.suffix.lower() in _PICTURES]
    clips: list[Frames] = [_open_strip(path) for path in strips]
    if not strips:
        clips = [_open(path) for path in find_clips(root)]
    else:
        clips += [_open(path) for folder in sorted(root.iterdir()) if folder.is_dir() for path in find_clips(folder)]
    if not clips:
        raise MediaError(f"{root} holds no clips: videos, gifs, folders of frames, or frames side by side in a picture")
    return clips


def _open(path: Path) -> Frames:
    if path.is_dir():
        return _Folder(tuple(sorted(p for p in path.iterdir() if p.suffix.lower() in _PICTURES)), path.name)
    clip = read_clip(path)
    return _Stream(clip, sum(1 for _ in clip.frames(on_damage=lambda _: None)))


def _open_strip(path: Path) -> Frames:
    try:
        with Image.open(path) as picture:
            width, height = picture.size
    except (OSError, UnidentifiedImageError) as error:
        raise MediaError(f"{path} cannot be read: {error}") from error
    if width % height:
        raise MediaError(f"{path} is {width} x {height}: frames side by side must be square, so the width a multiple")
    return _Strip(path, width // height)


def _read(path: Path) -> Picture:
    try:
        with Image.open(path) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise MediaError(f"{path} cannot be read: {error}") from error


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
