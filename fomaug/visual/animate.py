"""Animate one picture by one clip; only one batch of frames is in memory."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from itertools import islice, repeat
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm
from typing_extensions import Unpack

from fomaug.animator import Animator
from fomaug.driving import read_track
from fomaug.errors import ArgumentError, MediaError
from fomaug.faces import MovedFace, Square, put_back
from fomaug.geometry import TransferMode, check_region, target_keypoints
from fomaug.media import (
    Frame,
    MediaInput,
    Provenance,
    check_suffix,
    clip_sound,
    from_unit,
    on_disk,
    open_video,
    read_clip,
    save_image,
    suffix_formats,
    to_array,
    to_tensor,
)
from fomaug.types import Animated, Keypoints
from fomaug.visual.drawing import draw_flow, draw_keypoints, draw_occlusion, side_by_side
from fomaug.visual.inputs import Motion, OnNote, Portrait, choose_frame, read_motion, read_portrait
from fomaug.visual.options import AnimateKeywords, AnimateOptions, Overlay, make_options
from fomaug.weights import load_model

_MOST_PIXELS: Final = 8 << 20  # limit of a batch, some hundred megabytes


def render(
    animator: Animator, portrait: Portrait, motion: Motion, settings: AnimateOptions, *, one: bool = False
) -> Iterator[Frame]:
    """Animate batch by batch, and draw the overlay on every frame.

    Args:
        animator: model that encoded the portrait and detected the motion.
        portrait: picture to animate.
        motion: motion that drives it.
        settings: options of the animation.
        one: whether one picture is rendered; the motion is then a still.

    Yields:
        (H, W, 3) uint8 of the portrait's size, or three side by side.

    Raises:
        ArgumentError: the clip lacks the reference frame, or the model lacks the region.
    """
    check_region(settings.region, animator.keypoint_names)
    reference = motion.reference(portrait.source.keypoints, settings, animator)
    frames, shares = motion.steps(one=one)
    driving_frames = _driving_frames(motion, len(frames)) if settings.compare else iter(())
    size = max(1, min(settings.batch_size, _MOST_PIXELS // math.prod(portrait.source.image.shape[2:])))
    for rows, share in zip(torch.split(frames, size), torch.split(shares, size), strict=True):
        driving = motion.track.keypoints[rows].to(animator.device)
        target = _target(animator, portrait.source.keypoints, driving, reference, share, settings)
        animated = animator.animate(portrait.source, target)
        for row in range(len(rows)):
            frame = _put_back(portrait, animated, row)
            if settings.overlay is not None:
                frame = _with_overlay(frame, portrait.square, animated, target, row, settings.overlay)
            yield side_by_side(portrait.pixels, next(driving_frames), frame) if settings.compare else frame


def _target(
    animator: Animator,
    source: Keypoints,
    driving: Keypoints,
    reference: Keypoints,
    share: Tensor,
    settings: AnimateOptions,
) -> Keypoints:
    # If the share is 1 in all frames, strength stays a Python number, which is not rounded.
    strength = settings.strength if bool((share == 1).all()) else share.to(source.value.device) * settings.strength
    mode = TransferMode(relative=settings.relative, region=settings.region)
    return target_keypoints(source, driving, reference, mode, animator.keypoint_names, strength)


def _put_back(portrait: Portrait, animated: Animated, row: int) -> Frame:
    """Paste the animated square of one frame into the whole picture."""
    if portrait.square is None:
        return from_unit(animated.image[row])
    one = slice(row, row + 1)
    face = MovedFace(portrait.square, animated.image[one], animated.flow[one], animated.occlusion[one])
    return to_array(put_back(to_tensor(portrait.pixels)[None], [face])[0])


def _with_overlay(
    frame: Frame, square: Square | None, animated: Animated, target: Keypoints, row: int, overlay: Overlay
) -> Frame:
    part = np.ascontiguousarray(frame if square is None else square.cut_pixels(frame))
    if overlay == "keypoints":
        drawn = draw_keypoints(part, target.value[row].cpu().numpy())
    elif overlay == "flow":
        drawn = draw_flow(part, animated.flow[row].float().cpu().numpy())
    else:
        drawn = draw_occlusion(part, animated.occlusion[row, 0].float().cpu().numpy())
    if square is None:
        return drawn
    square.cut_pixels(frame)[...] = drawn
    return frame


def _driving_frames(motion: Motion, count: int) -> Iterator[Frame]:
    """Read the driving frames with the crop of the model's input."""
    frames = read_clip(motion.path).frames(on_damage=lambda _: None)
    if motion.still:
        return repeat(_cropped(next(frames), motion), count)
    return (_cropped(frame, motion) for frame in islice(frames, count))


def _cropped(frame: Frame, motion: Motion) -> Frame:
    return frame if motion.track.crop is None else Square(*motion.track.crop).cut_pixels(frame)


PICTURES: Final = tuple(suffix for suffix in suffix_formats if suffix != ".webp")
"""Suffixes of results that are not videos."""

VIDEO_FORMATS: Final = ("mp4", "gif", "webp")

SUFFIXES: Final = (*(f".{name}" for name in VIDEO_FORMATS), *PICTURES)
"""Suffixes of all results."""

_OUT_OF_MEMORY: Final = (
    "out of memory",
    "allocate memory",
    "not enough memory",
)  # parts of torch's messages on its devices


class AnimateWarning(UserWarning):
    """A clip is damaged, or no face was found; the result is still written."""


def animate_clip(
    image: MediaInput,
    clip: MediaInput,
    out: str | Path,
    *,
    model: str | Path | Animator = "lite-256",
    config: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    progress: bool = False,
    on_note: OnNote | None = None,
    **options: Unpack[AnimateKeywords],
) -> Path:
    """Animate a picture by the motion of the face in a clip, and write a video.

    The clip is read as a stream, more than once: to find the face, to detect the keypoints, and for `compare`. Memory
    holds all keypoints and one frame.

    Args:
        image: picture file; or a video or folder of pictures, one frame of which is animated.
        clip: video, GIF, animated WebP, or folder of pictures; or a picture, for the pose and expression in it. Both
            may also be bytes or open files.
        out: path of the result: `.mp4`, `.gif` or `.webp`, and for a driving picture also `.png`, `.jpg` and the like.
            A video of a driving picture moves into its pose within a second.
        model: animator, name of an installed model, or path of a model file.
        config: YAML file or name of the configuration of an official checkpoint.
        device: device that the model is loaded on.
        dtype: dtype that the model is loaded in.
        progress: whether progress bars are shown.
        on_note: function that is called with a message if a clip is damaged or no face is found; None for an
            `AnimateWarning`.
        **options: fields of `AnimateOptions`.

    Returns:
        The path of the result.

    Raises:
        MediaError: the picture or the clip cannot be read, the result cannot be written, or memory is too small.
        ArgumentError: an option has an unknown value, or `out` an unknown suffix.
    """
    settings = make_options(options)
    out, note = Path(out), on_note or warn
    with on_disk(image, "image") as source, on_disk(clip, "clip") as driving:
        _check_ends(source, driving, out)
        animator = (
            model if isinstance(model, Animator) else load_model(model, config=config, device=device, dtype=dtype)
        )
        with enough_memory(source, driving):
            motion = read_motion(driving, animator, settings, on_note=note, progress=progress)
            frame = choose_frame(source, motion, settings, lambda: read_track(source, animator, progress=progress)[0])
            portrait = read_portrait(source, animator, settings, frame=frame, on_note=note)
            return write(animator, portrait, motion, out, settings, progress=progress)


def _check_ends(image: Path, clip: Path, out: Path) -> None:
    """Check the paths first, because reading the clip takes long."""
    if not image.exists():
        raise MediaError(f"{image} does not exist; give a picture or a clip")
    if out.is_dir():
        raise ArgumentError(f"{out} is a folder; name the file to write")
    for given in (image, clip):
        if out.exists() and given.exists() and out.samefile(given):
            raise ArgumentError(f"{out} is also the input {given}; give another path for the result")
    check_suffix(out, SUFFIXES)


def write(
    animator: Animator, portrait: Portrait, motion: Motion, out: Path, settings: AnimateOptions, *, progress: bool
) -> Path:
    """Animate a portrait and write the result."""
    made = Provenance(
        animator.name,
        model_hash=animator.hash,
        pool_hash=motion.track.clip_hash,
        source_hash=portrait.hash,
        source_type="generated" if portrait.square is None else "composite",
    )
    if out.suffix.lower() in PICTURES:
        if not motion.still:
            raise ArgumentError(f"the result of the clip {motion.path} must be an .mp4, .gif or .webp, got {out}")
        return _save(out, next(render(animator, portrait, motion, settings, one=True)), made)
    frames = render(animator, portrait, motion, settings)
    count = len(motion.steps(one=False)[0])
    with (
        clip_sound(motion.path) if settings.audio else contextlib.nullcontext() as sound,
        open_video(out, motion.fps, provenance=made, sound=sound) as video,
    ):
        for frame in tqdm(frames, desc=out.name, total=count, unit="frame", disable=not progress, leave=False):
            video.write(frame)
    return out


def _save(out: Path, picture: NDArray[np.uint8], made: Provenance) -> Path:
    try:
        return save_image(out, picture, provenance=made)
    except OSError as error:
        raise MediaError(f"{out} cannot be written ({error.strerror or error})") from error


def warn(note: str) -> None:
    """Issue an `AnimateWarning`."""
    warnings.warn(note, AnimateWarning, stacklevel=2)


@contextlib.contextmanager
def enough_memory(image: Path, clip: Path) -> Iterator[None]:
    """Re-raise errors about memory with the names of the files."""
    try:
        yield
    except (MemoryError, torch.cuda.OutOfMemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not any(words in str(error) for words in _OUT_OF_MEMORY):
            raise
        raise MediaError(
            f"out of memory with {image} and {clip}; use a smaller picture or a smaller batch_size"
        ) from error
