"""One picture and one clip to one video: frames stream through, memory is that of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from fomaug._errors import ArgumentError, MediaError, did_you_mean
from fomaug._types import Animated, Keypoints, Source
from fomaug.animator import Animator
from fomaug.driving import DrivingPool, MotionTrack, closest_frame, read_clip
from fomaug.geometry import transfer
from fomaug.visual._options import AnimateOptions, Overlay
from fomaug.visual._overlay import draw_flow, draw_keypoints, draw_occlusion
from fomaug.visual._side import side_by_side
from fomaug.weights import load_model
from fomaug.writers import Picture, Provenance, open_video, read_picture

Frame = NDArray[np.uint8]


def animate_clip(
    image: str | Path,
    clip: str | Path,
    out: str | Path,
    *,
    model: str | Path | Animator = "lite-256",
    device: str = "auto",
    progress: bool = False,
    **options: Any,
) -> Path:
    """Animate a picture as the face of a clip moves, and write a video.

    The clip is read twice: for its keypoints, of which all are kept, and for its pictures if they are to be shown, of
    which only a batch is held.

    Args:
        image: picture file.
        clip: video, GIF, animated WebP, or folder of pictures.
        out: `.mp4`, `.gif` or `.webp`.
        model: an animator, an installed model, or the path of a model file.
        device: to load the model on.
        progress: show bars.
        options: fields of `AnimateOptions`.

    Returns:
        The path of the video.

    Raises:
        MediaError: the picture or the clip cannot be read.
        ArgumentError: an option has no such value, or `out` another suffix.
    """
    settings = _settings(options)
    source = _read(Path(image))
    animator = model if isinstance(model, Animator) else load_model(str(model), device=device)
    track = _read_motion(Path(clip), animator, settings, progress=progress)
    encoded = animator.encode(_to_batch([source]))
    provenance = Provenance(animator.name, model_hash=animator.hash, pool_hash=track.clip_hash)
    with open_video(out, track.fps, provenance=provenance) as video:
        frames = _frames(animator, encoded, source, track, clip, settings)
        for frame in tqdm(frames, desc="frames", total=len(track), unit="frame", disable=not progress):
            video.write(frame)
    return Path(out)


def _settings(options: dict[str, Any]) -> AnimateOptions:
    known = AnimateOptions.__dataclass_fields__
    for name in options:
        if name not in known:
            raise ArgumentError(f"animate_clip has no option {name!r}{did_you_mean(name, known)}")
    return AnimateOptions(**options)


def _read(path: Path) -> Frame:
    """Read a picture as RGB; a transparent ground becomes white."""
    try:
        picture: Picture = read_picture(path)
    except MediaError as cause:
        raise MediaError(f"{path} {cause}") from cause
    array = picture.eight_bits
    if array.ndim == 2:
        return np.repeat(array[..., None], 3, axis=2)
    if array.shape[2] in (2, 4):
        share = array[..., -1:].astype(np.float32) / 255
        array = (array[..., :-1] * share + 255 * (1 - share)).round().astype(np.uint8)
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array


def _read_motion(clip: Path, animator: Animator, settings: AnimateOptions, *, progress: bool) -> MotionTrack:
    pool = DrivingPool.from_clips(
        clip,
        animator,
        crop=settings.crop,
        max_frames=settings.max_frames,
        on_error="raise",
        progress=progress,
        batch_size=settings.batch_size,
    )
    if len(pool) != 1:
        raise ArgumentError(f"{clip} holds {len(pool)} clips; animate takes one of them: {', '.join(pool.names[:5])}")
    return pool[0]


def _frames(
    animator: Animator, source: Source, picture: Frame, track: MotionTrack, clip: str | Path, settings: AnimateOptions
) -> Iterator[Frame]:
    """Animate batch by batch, and dress every frame."""
    reference = _reference(track, source, settings)
    shown = islice(read_clip(clip), len(track)) if settings.compare else iter(())
    for start in range(0, len(track), settings.batch_size):
        driving = track.keypoints[start : start + settings.batch_size].to(animator.device)
        target = transfer(source.keypoints, driving, reference, relative=settings.relative, strength=settings.strength)
        animated = animator.animate(source, target)
        for row in range(len(driving)):
            result = _overlay(animated, target, row, settings.overlay)
            yield side_by_side(picture, _cut(next(shown), track), result) if settings.compare else result


def _reference(track: MotionTrack, source: Source, settings: AnimateOptions) -> Keypoints:
    if settings.reference == "closest":
        frame = int(closest_frame(track, source.keypoints)[0])
    else:
        frame = 0 if settings.reference == "first" else settings.reference
    if not 0 <= frame < len(track):
        raise ArgumentError(f"reference is frame {frame}, but the clip has {len(track)}, from 0 to {len(track) - 1}")
    return track.keypoints[frame].to(source.image.device)


def _overlay(animated: Animated, target: Keypoints, row: int, overlay: Overlay | None) -> Frame:
    frame = _to_frame(animated.image[row])
    if overlay == "keypoints":
        return draw_keypoints(frame, target.value[row].cpu().numpy())
    if overlay == "flow":
        return draw_flow(frame, animated.flow[row].cpu().numpy())
    if overlay == "occlusion":
        return draw_occlusion(frame, animated.occlusion[row, 0].cpu().numpy())
    return frame


def _cut(frame: Frame, track: MotionTrack) -> Frame:
    if track.crop is None:
        return frame
    left, top, right, bottom = track.crop
    return frame[top:bottom, left:right]


def _to_batch(pictures: Iterable[Frame]) -> Tensor:
    return torch.from_numpy(np.stack(list(pictures))).permute(0, 3, 1, 2).float() / 255


def _to_frame(image: Tensor) -> Frame:
    frame: Frame = (image.permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    return frame
