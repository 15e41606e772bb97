"""Animate one source frame by frame as frames arrive: for cameras and for clips of any length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypedDict

from torch import Tensor

from fomaug.geometry import Mode, Region, check_region, target_keypoints
from fomaug.types import Animated, Keypoints, Source


class StreamOptions(TypedDict, total=False):
    """Keyword arguments of `stream` that `Animator.stream` takes, too."""

    relative: bool
    relative_jacobian: bool
    adapt_scale: bool
    strength: float
    region: Region


class Animates(Protocol):
    """The part of an animator that a stream needs."""

    keypoint_names: tuple[str, ...]

    def detect(self, frames: Tensor) -> Keypoints:
        """Find keypoints."""

    def animate(self, source: Source, keypoints: Keypoints) -> Animated:
        """Move the source."""


def stream(
    animator: Animates,
    source: Source,
    frames: Iterable[Tensor],
    *,
    reference: Keypoints | None = None,
    relative: bool = True,
    relative_jacobian: bool = True,
    adapt_scale: bool = True,
    strength: float = 1.0,
    region: Region = "all",
) -> Iterator[Animated]:
    """Animate a source by frames as they arrive; only the reference is kept.

    A frame is requested when the animated one before it has been taken, and is answered before the next is requested:
    the delay is the time of one frame.

    Args:
        animator: model that animates.
        source: one encoded image.
        frames: (1, 3, H, W) float in [0, 1] each, or more at a time for more throughput and more delay.
        reference: keypoints of a driving frame with the source's pose; None for those of the first frame.
        relative: see `fomaug.transfer`, as the next three.
        relative_jacobian: see `fomaug.transfer`.
        adapt_scale: see `fomaug.transfer`.
        strength: see `fomaug.transfer`.
        region: part of the face that moves: "all", "head", "mouth", "eyes" or "expression".

    Returns:
        An iterator of animated frames, one for each driving frame.

    Raises:
        ArgumentError: the region is unknown, or the model's keypoints have no names.
    """
    check_region(region, animator.keypoint_names)  # at once, not when the first frame comes
    return _stream(
        animator, source, frames, reference, strength, Mode(relative, relative_jacobian, adapt_scale, region)
    )


def _stream(
    animator: Animates,
    source: Source,
    frames: Iterable[Tensor],
    reference: Keypoints | None,
    strength: float,
    mode: Mode,
) -> Iterator[Animated]:
    names = animator.keypoint_names
    for frame in frames:
        driving = animator.detect(frame)
        reference = driving[0] if reference is None else reference
        yield animator.animate(source, target_keypoints(source.keypoints, driving, reference, mode, names, strength))
