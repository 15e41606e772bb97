"""Clips for training: videos, gifs, folders of frames, and pictures with the frames side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fomaug.errors import MediaError, reason_of
from fomaug.media import PICTURE_FORMATS, Clip, find_clips, folder_pictures, open_picture, read_clip, read_frame

Picture = NDArray[np.uint8]


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


_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


def open_clips(root: Path) -> list[Frames]:
    """Open every clip below a folder; damaged ends of videos are left out with a warning.

    Raises:
        MediaError: there is no clip, or a clip cannot be read or has less than two frames.
    """
    if not root.is_dir():
        raise MediaError(f"the folder of clips is {root}, which is no folder; give a folder with clips below it")
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
