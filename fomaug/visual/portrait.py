"""Read the picture that is animated, or a frame of a video, and find its face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch

from fomaug.animator import Animator
from fomaug.driving import MotionTrack, pose_distance
from fomaug.errors import ArgumentError, MediaError
from fomaug.faces import Square, face_square, find_squares, is_face_model
from fomaug.files import CLIP, sha256_of
from fomaug.media import Frame, is_clip, read_clip, read_picture, to_unit
from fomaug.types import Source
from fomaug.visual.motion import Motion, OnNote
from fomaug.visual.options import AnimateOptions, Face


@dataclass(frozen=True, eq=False)
class Portrait:
    """A picture whose face is encoded.

    Attributes:
        path: path of the picture or video.
        pixels: (H, W, 3) uint8 RGB, the whole picture.
        square: square around the face that is animated; None for the whole picture.
        source: encoded square.
        hash: sha256 of the file.
    """

    path: Path
    pixels: Frame
    square: Square | None
    source: Source
    hash: str


def read_portrait(
    path: Path, animator: Animator, settings: AnimateOptions, *, frame: int | None, on_note: OnNote
) -> Portrait:
    """Read a picture, or a frame of a video, find its face and encode it.

    Raises:
        MediaError: the file is missing, too large or cannot be read.
        ArgumentError: the face's box is outside of the picture.
    """
    pixels = _read(path, settings.max_pixels) if frame is None else _read_frame(path, frame)
    square = _find_square(path, pixels, animator, settings.face, on_note)
    face = pixels if square is None else square.cut_pixels(pixels)
    return Portrait(path, pixels, square, animator.encode(to_unit(face)[None]), _hash(path))


def choose_frame(path: Path, motion: Motion, settings: AnimateOptions, track: Callable[[], MotionTrack]) -> int | None:
    """Choose the frame of a video that is animated; None for a picture.

    "closest" is the frame whose pose is nearest to that of any frame of the clip, or to that of a given reference
    frame; of equal frames, the earliest is chosen.

    Args:
        path: path of the source.
        motion: motion that will drive the source.
        settings: options with `source_frame` and `reference`.
        track: function that reads the source's own keypoints; it is called only if they are needed.
    """
    if not is_clip(path):
        return None
    if settings.source_frame != "closest":
        return 0 if settings.source_frame == "first" else settings.source_frame
    driving = motion.track.keypoints.value
    if not motion.still and settings.reference != "closest":
        first = motion.driving[0] if settings.reference == "first" else settings.reference
        driving = driving[first : first + 1]
    else:
        driving = driving[motion.driving]
    if not len(driving):
        return 0  # `Motion.reference` raises the error about the missing frame
    nearest = [pose_distance(part, driving).amin(1) for part in torch.split(track().keypoints.value, 256)]
    return int(torch.cat(nearest).argmin())


def _read(path: Path, max_pixels: int) -> Frame:
    try:
        return read_picture(path, max_pixels=max_pixels).on_white
    except MediaError as cause:
        raise MediaError(f"{path} {cause}") from cause


def _read_frame(path: Path, frame: int) -> Frame:
    clip = read_clip(path)
    found = next(islice(clip.frames(on_damage=lambda _: None), frame, None), None)
    if found is None:
        count = sum(1 for _ in clip.frames(on_damage=lambda _: None))
        raise ArgumentError(f"source_frame is {frame}, but {path} has {count}, from 0 to {count - 1}")
    return found


def _find_square(path: Path, pixels: Frame, animator: Animator, face: Face, on_note: OnNote) -> Square | None:
    size = pixels.shape[0], pixels.shape[1]
    if face == "whole" or (face == "auto" and not is_face_model(animator)):
        return None
    if not isinstance(face, str):
        x, y, width, height = face
        square = face_square((x, y, x + width, y + height), size)
        if square is None:
            raise ArgumentError(f"face {face} covers too little of {path}, a picture of {size[1]} x {size[0]} pixels")
        return None if square.size == size else square
    found = find_squares(pixels, animator)
    if not found:
        on_note(f"{path}: no face was found, so the whole picture is animated")
    return None if not found or found[0].size == size else found[0]


def _hash(path: Path) -> str:
    return read_clip(path).hash if path.is_dir() else sha256_of(path, CLIP)
