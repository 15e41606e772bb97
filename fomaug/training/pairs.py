"""Training pairs: two random frames of a clip, with the same random changes, and the clips of all kinds."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from fomaug.errors import FomaugError, MediaError, reason_of
from fomaug.media import PICTURE_FORMATS, Clip, find_clips, folder_pictures, open_picture, read_clip, read_frame
from fomaug.training.config import AugmentParams

Picture = NDArray[np.uint8]
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
_LUMA = torch.tensor([0.299, 0.587, 0.114])
_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])


class Frames(Protocol):
    """A clip with random access to its frames."""

    @property
    def name(self) -> str:
        """Name of the file or folder."""

    @property
    def count(self) -> int:
        """Number of frames."""

    def take(self, indices: Sequence[int]) -> list[Picture]:
        """Read the frames at ascending indices, (H, W, 3) uint8 each."""


@dataclass(frozen=True)
class _Stream:
    """A video, which is decoded from its start; a folder of frames is faster."""

    clip: Clip
    count: int

    @property
    def name(self) -> str:
        return self.clip.name

    def take(self, indices: Sequence[int]) -> list[Picture]:
        found: dict[int, Picture] = {}
        for index, frame in enumerate(self.clip.frames(on_damage=lambda _: None)):  # damage was reported when opened
            if index in indices:
                found[index] = frame
            if index >= indices[-1]:
                break
        return [found[index] for index in indices]


@dataclass(frozen=True)
class _Folder:
    pictures: tuple[Path, ...]
    name: str

    @property
    def count(self) -> int:
        return len(self.pictures)

    def take(self, indices: Sequence[int]) -> list[Picture]:
        return [read_frame(self.pictures[index]) for index in indices]


@dataclass(frozen=True)
class _Strip:
    """A picture with square frames side by side."""

    path: Path
    count: int

    @property
    def name(self) -> str:
        return self.path.stem

    def take(self, indices: Sequence[int]) -> list[Picture]:
        strip = read_frame(self.path)
        side = strip.shape[0]
        return [strip[:, index * side : (index + 1) * side] for index in indices]


def open_clips(root: Path) -> list[Frames]:
    """Open every clip below a folder; damaged ends of videos are left out with a warning.

    Raises:
        MediaError: there is no clip, or a clip cannot be read or has less than two frames.
    """
    if not root.is_dir():
        raise MediaError(f"the folder of clips is {root}, which is not a folder; give a folder with clips below it")
    found = [path for path in find_clips(root) if path != root]  # pictures in the root itself are strips
    strips = [path for path in sorted(root.iterdir()) if path.suffix.lower() in _PICTURES and path not in found]
    clips = [_open_strip(path) for path in strips] + [_open(path) for path in found]
    if not clips:
        raise MediaError(
            f"{root} contains no clips; expected videos, gifs, folders of frames, or frames side by side in a picture"
        )
    short = [clip.name for clip in clips if clip.count < 2]
    if short:
        names = ", ".join(short[:5]) + (f" and {len(short) - 5} more" if len(short) > 5 else "")
        raise MediaError(
            f"clips must have at least two frames, got one in {names}; remove them, or put the frames of one clip into "
            "a folder"
        )
    return clips


def _open(path: Path) -> Frames:
    if path.is_dir():
        return _Folder(tuple(folder_pictures(path)), path.name)
    clip = read_clip(path)
    return _Stream(clip, sum(1 for _ in clip))


def _open_strip(path: Path) -> Frames:
    try:
        with open_picture(path, PICTURE_FORMATS) as picture:
            width, height = picture.size
    except (OSError, Image.DecompressionBombError) as error:
        raise MediaError(f"{path} cannot be read: {reason_of(error)}") from error
    if width % height:
        raise MediaError(f"{path} is {width} x {height}; the width must be a multiple of the height, for square frames")
    return _Strip(path, width // height)


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
