"""Read the inputs of an animation: the motion of a clip or a driving picture, and the picture with its face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from fomaug.animator import Animator
from fomaug.driving import MotionTrack, closest_frame, neutral_like, pose_distance, watch_track
from fomaug.errors import ArgumentError, MediaError
from fomaug.faces import Square, face_square, find_squares, is_face_model
from fomaug.files import CLIP, sha256_of
from fomaug.media import Frame, find_clips, is_clip, read_clip, read_picture, to_unit
from fomaug.types import Keypoints, Source
from fomaug.visual.options import AnimateOptions, Face

OnNote = Callable[[str], object]

_STILL_FPS: Final = 25.0
_STILL_FRAMES: Final = 25  # a video moves into the pose of a driving picture in a second


@dataclass(frozen=True, eq=False)
class Motion:
    """The motion that drives a picture.

    Attributes:
        path: path of the clip or driving picture.
        track: keypoints of the clip, on the CPU.
        still: whether the path is a single picture, which has a pose and no motion.
        faces: indices of the frames that show a face; in the others the animated face rests. None for all.
    """

    path: Path
    track: MotionTrack
    still: bool
    faces: tuple[int, ...] | None = None

    @property
    def driving(self) -> list[int]:
        """Return the indices of the frames that show a face."""
        return list(range(len(self.track)) if self.faces is None else self.faces)

    @property
    def fps(self) -> float:
        """Frames per second of the result."""
        return _STILL_FPS if self.still else self.track.fps

    def steps(self, *, one: bool) -> tuple[Tensor, Tensor]:
        """Return the frames of the track that drive the result, and a factor of the strength for each.

        Args:
            one: whether the result is a picture rather than a video.

        Returns:
            (N,) int64 and (N,) float32.
        """
        if not self.still:
            shares = torch.zeros(len(self.track))
            shares[self.driving] = 1
            return torch.arange(len(self.track)), shares
        if one:
            return torch.zeros(1, dtype=torch.long), torch.ones(1)
        time = torch.linspace(0, 1, _STILL_FRAMES)
        return torch.zeros(_STILL_FRAMES, dtype=torch.long), time * time * (3 - 2 * time)

    def reference(self, source: Keypoints, settings: AnimateOptions, animator: Animator) -> Keypoints:
        """Return the keypoints of the reference frame, on the source's device."""
        if self.still:
            found = neutral_like(source, self.track.keypoints, animator)
        else:
            found = self.track.keypoints[self._reference_frame(source, settings)]
        return found.to(source.value.device, source.value.dtype)

    def _reference_frame(self, source: Keypoints, settings: AnimateOptions) -> int:
        if settings.reference == "closest":
            shown = replace(self.track, keypoints=self.track.keypoints[self.driving])
            return self.driving[int(closest_frame(shown, source)[0])]
        frame = self.driving[0] if settings.reference == "first" else settings.reference
        last = len(self.track) - 1
        if not 0 <= frame <= last:
            raise ArgumentError(
                f"reference is frame {frame}, but the clip has {last + 1}, from 0 to {last}: {self.path}"
            )
        return frame


def read_motion(path: Path, animator: Animator, settings: AnimateOptions, *, on_note: OnNote, progress: bool) -> Motion:
    """Read the keypoints of a clip or of a picture.

    Raises:
        MediaError: the file is missing or cannot be read.
        ArgumentError: the path is a folder of clips rather than a clip.
    """
    _check_one(path)
    track, notes, faces = watch_track(
        path,
        animator,
        crop=settings.crop,
        max_frames=settings.max_frames,
        progress=progress,
        batch_size=max(settings.batch_size, 8),
    )
    for note in notes:
        on_note(f"{path}: {note}")
    if len(faces) < len(track):
        on_note(f"{path}: {len(track) - len(faces)} of {len(track)} frames show no face; in these the face rests")
    return Motion(path, track, len(track) == 1 and (settings.max_frames != 1 or not is_clip(path)), faces)


def _check_one(path: Path) -> None:
    if not path.is_dir():
        return
    clips = find_clips(path)
    if not clips:
        raise MediaError(f"folder {path} holds neither pictures nor clips")
    if clips != [path]:
        few = ", ".join(clip.name for clip in clips[:5])
        raise ArgumentError(f"{path} is a folder of {len(clips)} clips; give one of them: {few}")


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
