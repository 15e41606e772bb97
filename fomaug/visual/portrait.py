"""What is animated: the face of a picture, or of a frame of a video."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fomaug.animator import Animator
from fomaug.driving import MotionTrack, pose_distance
from fomaug.errors import ArgumentError, MediaError
from fomaug.faces import Region, find_regions, is_face_model, region_around
from fomaug.files import CLIP, sha256_of
from fomaug.media import Picture, is_clip, read_clip, read_picture
from fomaug.types import Source
from fomaug.visual.motion import Motion, OnNote
from fomaug.visual.options import AnimateOptions, Face

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Portrait:
    """A picture whose face is encoded.

    Attributes:
        path: of the picture or video.
        pixels: (H, W, 3) uint8 RGB, the whole picture.
        region: that is animated; None for the whole.
        source: the region, encoded.
        hash: sha256 of the file.
    """

    path: Path
    pixels: Pixels
    region: Region | None
    source: Source
    hash: str


def read_portrait(
    path: Path, animator: Animator, settings: AnimateOptions, *, frame: int | None, on_note: OnNote
) -> Portrait:
    """Read a picture, or a frame of a video, find its face and encode it.

    Raises:
        MediaError: it is missing, too large or cannot be read.
        ArgumentError: the face's box lies outside of the picture.
    """
    pixels = _read(path, settings.max_pixels) if frame is None else _read_frame(path, frame)
    region = _region(path, pixels, animator, settings.face, on_note)
    face = pixels if region is None else pixels[region.top : region.bottom, region.left : region.right]
    source = animator.encode(torch.from_numpy(np.ascontiguousarray(face)).permute(2, 0, 1)[None].float() / 255)
    return Portrait(path, pixels, region, source, _hash(path))


def choose_frame(path: Path, motion: Motion, settings: AnimateOptions, track: Callable[[], MotionTrack]) -> int | None:
    """Choose the frame of a video that is animated; None for a picture.

    "closest" is the frame whose pose is nearest to any of the clip's, as the reference then fits; the earliest of
    equals. With a reference that is given, it is the frame nearest to that one.

    Args:
        path: of the source.
        motion: that will drive it.
        settings: how.
        track: reads the source's own keypoints, if they are needed.
    """
    if not is_clip(path):
        return None
    if settings.source_frame != "closest":
        return 0 if settings.source_frame == "first" else settings.source_frame
    driving = motion.track.keypoints.value
    if not motion.still and settings.reference != "closest":
        first = 0 if settings.reference == "first" else settings.reference
        driving = driving[first : first + 1]
    if not len(driving):
        return 0  # the number of a frame that is not there is said where the reference is taken
    nearest = [pose_distance(part, driving).amin(1) for part in torch.split(track().keypoints.value, 256)]
    return int(torch.cat(nearest).argmin())


def _read(path: Path, max_pixels: int) -> Pixels:
    """Read a picture as RGB; a transparent ground becomes white."""
    try:
        picture: Picture = read_picture(path, max_pixels=max_pixels)
    except MediaError as cause:
        raise MediaError(f"{path} {cause}") from cause
    array = picture.eight_bits
    if array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=2)
    if array.shape[2] in (2, 4):
        share = array[..., -1:].astype(np.float32) / 255
        array = (array[..., :-1] * share + 255 * (1 - share)).round().astype(np.uint8)
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array


def _read_frame(path: Path, frame: int) -> Pixels:
    clip = read_clip(path)
    found = next(islice(clip.frames(on_damage=lambda _: None), frame, None), None)
    if found is None:
        count = sum(1 for _ in clip.frames(on_damage=lambda _: None))
        raise ArgumentError(f"source_frame is {frame}, but {path} has {count}, from 0 to {count - 1}")
    return found


def _region(path: Path, pixels: Pixels, animator: Animator, face: Face, on_note: OnNote) -> Region | None:
    size = pixels.shape[0], pixels.shape[1]
    if face == "whole" or (face == "auto" and not is_face_model(animator)):
        return None
    if not isinstance(face, str):
        x, y, width, height = face
        region = region_around((x, y, x + width, y + height), size)
        if region is None:
            raise ArgumentError(f"face {face} holds too little of {path}, a picture of {size[1]} x {size[0]} pixels")
        return None if region.size == size else region
    found = find_regions(pixels, animator)
    if not found:
        on_note(f"{path}: no face was found, so the whole picture is animated")
    return None if not found or found[0].size == size else found[0]


def _hash(path: Path) -> str:
    return read_clip(path).hash if path.is_dir() else sha256_of(path, CLIP)
