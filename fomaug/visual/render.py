"""Render the frames of a portrait that a motion animates, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice, repeat
from typing import Final

import numpy as np
import torch
from torch import Tensor

from fomaug.animator import Animator
from fomaug.faces import MovedFace, Square, put_back
from fomaug.geometry import Mode, check_region, target_keypoints
from fomaug.media import Frame, from_unit, read_clip, to_array, to_tensor
from fomaug.types import Animated, Keypoints
from fomaug.visual.drawing import draw_flow, draw_keypoints, draw_occlusion, side_by_side
from fomaug.visual.motion import Motion
from fomaug.visual.options import AnimateOptions, Overlay
from fomaug.visual.portrait import Portrait

_MOST_PIXELS: Final = 8 << 20  # of the pictures that are animated together: some hundred megabytes


def render(
    animator: Animator, portrait: Portrait, motion: Motion, settings: AnimateOptions, *, one: bool = False
) -> Iterator[Frame]:
    """Animate batch by batch, and draw the overlay on every frame.

    Args:
        animator: model that encoded the portrait and detected the motion.
        portrait: picture to animate.
        motion: motion that drives it.
        settings: options of the animation.
        one: render a single picture, of a motion that is a still.

    Yields:
        (H, W, 3) uint8 of the portrait's size, or three side by side.

    Raises:
        ArgumentError: the clip has no such reference frame, or the model no such region.
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
    # One number where it is the same for all, so that the full strength is not rounded.
    strength = settings.strength if bool((share == 1).all()) else share.to(source.value.device) * settings.strength
    mode = Mode(relative=settings.relative, region=settings.region)
    return target_keypoints(source, driving, reference, mode, animator.keypoint_names, strength)


def _put_back(portrait: Portrait, animated: Animated, row: int) -> Frame:
    """Return the whole picture of one frame; only the square is ever held as floats."""
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
    """Read the driving frames, cropped as the model saw them."""
    frames = read_clip(motion.path).frames(on_damage=lambda _: None)
    if motion.still:
        return repeat(_cropped(next(frames), motion), count)
    return (_cropped(frame, motion) for frame in islice(frames, count))


def _cropped(frame: Frame, motion: Motion) -> Frame:
    return frame if motion.track.crop is None else Square(*motion.track.crop).cut_pixels(frame)
