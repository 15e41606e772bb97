"""From a portrait and a motion to frames, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice, repeat
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug.animator import Animator
from fomaug.faces import Region, blend
from fomaug.geometry import check_region, confine, transfer
from fomaug.media import read_clip
from fomaug.types import Animated, Keypoints
from fomaug.visual.motion import Motion
from fomaug.visual.options import AnimateOptions, Overlay
from fomaug.visual.overlay import draw_flow, draw_keypoints, draw_occlusion
from fomaug.visual.portrait import Portrait
from fomaug.visual.side import side_by_side

Frame = NDArray[np.uint8]

_PIXELS: Final = 8 << 20  # of the pictures that are animated together: some hundred megabytes


def render(
    animator: Animator, portrait: Portrait, motion: Motion, settings: AnimateOptions, *, one: bool = False
) -> Iterator[Frame]:
    """Animate batch by batch, and dress every frame.

    Args:
        animator: that made both the portrait and the motion.
        portrait: to animate.
        motion: to animate it with.
        settings: how.
        one: a single picture is wanted, of a motion that is a still.

    Yields:
        (H, W, 3) uint8 of the portrait's size, or three side by side.

    Raises:
        ArgumentError: the clip has no such reference frame, or the model no such region.
    """
    check_region(settings.region, animator.keypoint_names)
    reference = motion.reference(portrait.source.keypoints, settings, animator)
    frames, shares = motion.steps(one=one)
    shown = _shown(motion, len(frames)) if settings.compare else iter(())
    size = max(1, min(settings.batch_size, _PIXELS // math.prod(portrait.source.image.shape[2:])))
    for rows, share in zip(torch.split(frames, size), torch.split(shares, size), strict=True):
        driving = motion.track.keypoints[rows].to(animator.device)
        target = _target(animator, portrait, driving, reference, share, settings)
        animated = animator.animate(portrait.source, target)
        for row, result in enumerate(_pasted(portrait, animated)):
            dressed = _dressed(result, portrait.region, animated, target, row, settings.overlay)
            yield side_by_side(portrait.pixels, next(shown), dressed) if settings.compare else dressed


def _target(
    animator: Animator,
    portrait: Portrait,
    driving: Keypoints,
    reference: Keypoints,
    share: Tensor,
    settings: AnimateOptions,
) -> Keypoints:
    source = portrait.source.keypoints
    # One number where it is the same for all: what is asked for in full is then not rounded.
    strength = settings.strength if bool((share == 1).all()) else share.to(source.value.device) * settings.strength
    moved = transfer(source, driving, reference, relative=settings.relative, strength=strength)
    return confine(source, moved, settings.region, animator.keypoint_names)


def _pasted(portrait: Portrait, animated: Animated) -> Iterator[Frame]:
    """The whole picture of every frame, as uint8: only the region is ever held as floats."""
    if portrait.region is None:
        yield from map(_to_frame, animated.image)
        return
    region, size = portrait.region, (portrait.pixels.shape[0], portrait.pixels.shape[1])
    faces = blend(portrait.source.image, animated.image, animated.flow, region, size)
    for face in faces:
        whole = portrait.pixels.copy()
        _part(whole, region)[...] = _to_frame(face)
        yield whole


def _dressed(
    frame: Frame, region: Region | None, animated: Animated, target: Keypoints, row: int, overlay: Overlay | None
) -> Frame:
    if overlay is None:
        return frame
    part = np.ascontiguousarray(_part(frame, region))
    if overlay == "keypoints":
        drawn = draw_keypoints(part, target.value[row].cpu().numpy())
    elif overlay == "flow":
        drawn = draw_flow(part, animated.flow[row].float().cpu().numpy())
    else:
        drawn = draw_occlusion(part, animated.occlusion[row, 0].float().cpu().numpy())
    if region is None:
        return drawn
    _part(frame, region)[...] = drawn
    return frame


def _part(frame: Frame, region: Region | None) -> Frame:
    return frame if region is None else frame[region.top : region.bottom, region.left : region.right]


def _shown(motion: Motion, count: int) -> Iterator[Frame]:
    """The driving frames, cut as the model saw them."""
    frames = read_clip(motion.path).frames(on_damage=lambda _: None)
    if motion.still:
        return repeat(_cut(next(frames), motion), count)
    return (_cut(frame, motion) for frame in islice(frames, count))


def _cut(frame: Frame, motion: Motion) -> Frame:
    if motion.track.crop is None:
        return frame
    left, top, right, bottom = motion.track.crop
    return frame[top:bottom, left:right]


def _to_frame(image: Tensor) -> Frame:
    frame: Frame = (image.permute(1, 2, 0) * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    return frame
