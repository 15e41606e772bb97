"""From clips to motion tracks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from PIL import Image
from tqdm import tqdm

from fomaug._errors import ArgumentError, MediaError, PoolError, did_you_mean
from fomaug._types import Keypoints
from fomaug.animator import Animator
from fomaug.driving._boxes import Detector
from fomaug.driving._clip_labels import Labels, resolve_labels
from fomaug.driving._clips import Clip, find_clips, read_clip
from fomaug.driving._crop import face_crop
from fomaug.driving._picture import Picture
from fomaug.driving._square import Box, batches, cut, to_batch
from fomaug.driving._track import MotionTrack

Crop = Literal["face", "frame"]
OnError = Literal["skip", "raise"]


@dataclass(frozen=True)
class BuildOptions:
    """See `DrivingPool.from_clips`."""

    crop: Crop = "face"
    detector: Detector | None = None
    max_frames: int | None = 2000
    on_error: OnError = "skip"
    progress: bool = False
    batch_size: int = 16

    def __post_init__(self) -> None:
        for name, value, known in (("crop", self.crop, get_args(Crop)), ("on_error", self.on_error, get_args(OnError))):
            if value not in known:
                raise ArgumentError(
                    f"{name} must be {' or '.join(map(repr, known))}, got {value!r}{did_you_mean(value, known)}"
                )
        if self.batch_size < 1:
            raise ArgumentError(f"batch_size must be 1 or more, got {self.batch_size}")


def tracks_from_clips(
    clips: str | Path | Iterable[str | Path], model: Animator, labels: Labels, options: BuildOptions
) -> tuple[list[MotionTrack], list[tuple[str, str]]]:
    """Make a track of every clip that can be read; see `DrivingPool.from_clips`.

    Returns:
        The tracks, and (clip, reason) for the clips that were left out.
    """
    found = _named_clips([clips] if isinstance(clips, str | Path) else list(clips))
    label_of = resolve_labels(labels, found)
    tracks: list[MotionTrack] = []
    skipped: list[tuple[str, str]] = []
    for name, path in tqdm(found.items(), desc="clips", unit="clip", disable=not options.progress):
        try:
            tracks.append(_track(read_clip(path, max_frames=options.max_frames), name, label_of[name], model, options))
        except MediaError as error:
            if options.on_error == "raise":
                raise
            skipped.append((name, str(error)))
    if not tracks:
        raise PoolError(f"none of {len(skipped)} clips can be read; the first: {skipped[0][1]}")
    return tracks, skipped


def _named_clips(roots: Sequence[str | Path]) -> dict[str, Path]:
    """Give every clip the shortest name that tells it apart: its stem, its file name, its path."""
    found = [(clip, Path(root)) for root in roots for clip in find_clips(root)]
    if not found:
        raise PoolError(f"there is no clip in {', '.join(map(str, roots)) or 'an empty list'}")
    stems = [clip.name if clip.is_dir() else clip.stem for clip, _ in found]
    named: dict[str, Path] = {}
    for (clip, root), stem in zip(found, stems, strict=True):
        within = clip.relative_to(root).as_posix() if clip != root else clip.name
        name = next((name for name in (stem, within) if name not in named and stems.count(name) < 2), clip.as_posix())
        named[name] = clip
    return named


def read_track(
    path: str | Path,
    model: Animator,
    *,
    crop: Crop = "face",
    detector: Detector | None = None,
    max_frames: int | None = None,
    progress: bool = False,
    batch_size: int = 16,
) -> tuple[MotionTrack, tuple[str, ...]]:
    """Read the motion of one clip; memory is that of one batch of frames, and of the keypoints.

    Args:
        path: a clip, or a picture, which is a clip of one frame.
        model: that finds the keypoints.
        crop: a fixed square around the face, see `face_crop`, or the whole frame.
        detector: finds faces for `crop="face"`, see `face_crop`.
        max_frames: read no more than these.
        progress: show a bar.
        batch_size: frames that the model looks at together.

    Returns:
        The track, and sentences about what was not as it should be: damage, a face that was not found.

    Raises:
        MediaError: there is no such clip, or it cannot be read.
    """
    options = BuildOptions(crop, detector, max_frames, "raise", progress, batch_size)
    clip = read_clip(path, max_frames=max_frames)
    keypoints, box, notes = _read(clip, model, options)
    track = MotionTrack(clip.name, keypoints, clip.fps, None, clip.hash, crop=box, facts=_facts(clip, notes))
    return track, tuple(notes)


def _track(clip: Clip, name: str, label: str | None, model: Animator, options: BuildOptions) -> MotionTrack:
    keypoints, box, notes = _read(clip, model, replace(options, progress=False))
    if len(keypoints) == clip.max_frames:
        notes.append(f"only the first {clip.max_frames} frames were asked for")
    return MotionTrack(name, keypoints, clip.fps, label, clip.hash, crop=box, facts=_facts(clip, notes))


def _read(clip: Clip, model: Animator, options: BuildOptions) -> tuple[Keypoints, Box | None, list[str]]:
    box, notes = _crop(clip, model, options)
    frames = clip.frames(on_damage=notes.append)
    shown = tqdm(frames, desc=f"motion of {clip.name}", unit="frame", disable=not options.progress, leave=False)
    small = (_shrunk(cut(frame, box), model.size) for frame in shown)
    keypoints = _joined(model.detect(to_batch(batch)).to("cpu") for batch in batches(small, options.batch_size))
    if keypoints is None:
        raise MediaError(f"{clip.path} has no frame that can be read")
    return keypoints, box, notes


def _joined(parts: Iterable[Keypoints]) -> Keypoints | None:
    """Join keypoints as they come, into few large blocks; None if there are none.

    Thousands of small blocks, each allocated among the large buffers of a network, would keep the C library from giving
    those back: memory would grow with the clip by more than a picture a frame.
    """
    held: list[Keypoints] = []
    for part in parts:
        held.append(part)
        while len(held) > 1 and len(held[-2]) <= len(held[-1]):
            last = held.pop()
            held[-1] = Keypoints.cat([held[-1], last])
    return Keypoints.cat(held) if held else None


def _crop(clip: Clip, model: Animator, options: BuildOptions) -> tuple[Box | None, list[str]]:
    """Look through the clip once for its face: the square, and what is to be said of it."""
    if options.crop == "frame":
        return None, []
    # What is wrong with the frames is said in the pass that reads the keypoints.
    box, found, looked = face_crop(clip.frames(on_damage=lambda _: None), model, options.detector)
    note = f"a face was found in {found} of {looked} frames" + ("" if found else ": the whole frame was taken")
    return box, [note] if found < looked else []


def _facts(clip: Clip, notes: list[str]) -> dict[str, str]:
    facts = {"clip": clip.path.name, "size": f"{clip.size[1]} x {clip.size[0]}"}
    return {**facts, "note": "; ".join(notes)} if notes else facts


def _shrunk(picture: Picture, side: int) -> Picture:
    """Bring large frames down before they are batched: sixteen frames of a film do not fit in memory as floats."""
    height, width = picture.shape[:2]
    if max(height, width) <= side:
        return np.ascontiguousarray(picture)
    scale = side / max(height, width)
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.array(
        Image.fromarray(picture).resize(small, Image.Resampling.BOX if scale < 0.5 else Image.Resampling.BILINEAR)
    )
