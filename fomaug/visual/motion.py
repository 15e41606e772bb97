"""Read the motion of a clip, or the pose of a driving picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from fomaug.animator import Animator
from fomaug.driving import MotionTrack, closest_frame, neutral_like, watch_track
from fomaug.errors import ArgumentError, MediaError
from fomaug.media import find_clips, is_clip
from fomaug.types import Keypoints
from fomaug.visual.options import AnimateOptions

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
