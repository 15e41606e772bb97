"""One source, driven frame by frame as frames come: for cameras and for clips of any length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from torch import Tensor

from fomaug._types import Animated, Keypoints, Source
from fomaug.geometry import transfer


class Animates(Protocol):
    """What a stream asks of an animator."""

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
) -> Iterator[Animated]:
    """Animate a source by frames as they come; nothing is kept but the reference.

    Args:
        animator: the model.
        source: one encoded image.
        frames: (1, 3, H, W) float in [0, 1] each, or more at a time for more throughput and more delay.
        reference: keypoints of a driving frame in which the face is posed like the source; the first one by default.
        relative: see `fomaug.transfer`, as the rest.
        relative_jacobian: see `fomaug.transfer`.
        adapt_scale: see `fomaug.transfer`.
        strength: see `fomaug.transfer`.

    Yields:
        As many animated frames as came.
    """
    for frame in frames:
        driving = animator.detect(frame)
        reference = driving[0] if reference is None else reference
        moved = transfer(
            source.keypoints,
            driving,
            reference,
            relative=relative,
            relative_jacobian=relative_jacobian,
            adapt_scale=adapt_scale,
            strength=strength,
        )
        yield animator.animate(source, moved)
