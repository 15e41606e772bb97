"""One source, driven frame by frame as frames come: for cameras and for clips of any length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from torch import Tensor

from fomaug.geometry import Mode, check_region, target_keypoints
from fomaug.types import Animated, Keypoints, Source


class Animates(Protocol):
    """What a stream asks of an animator."""

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
    region: str = "all",
) -> Iterator[Animated]:
    """Animate a source by frames as they come; nothing is kept but the reference.

    A frame is asked for when the animated one before it has been taken, and is answered before the next is asked for:
    the delay is the time of one frame.

    Args:
        animator: the model.
        source: one encoded image.
        frames: (1, 3, H, W) float in [0, 1] each, or more at a time for more throughput and more delay.
        reference: keypoints of a driving frame in which the face is posed like the source; the first one by default.
        relative: see `fomaug.transfer`, as the rest.
        relative_jacobian: see `fomaug.transfer`.
        adapt_scale: see `fomaug.transfer`.
        strength: see `fomaug.transfer`.
        region: part of the face that moves: "all", "head", "mouth", "eyes" or "expression".

    Returns:
        As many animated frames as come.

    Raises:
        ArgumentError: there is no such region, or the model's keypoints have no names.
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
