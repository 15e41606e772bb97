"""Animate one source frame by frame, for cameras and for clips of any length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypedDict

from torch import Tensor

from fomaug.geometry import TransferMode, check_region, target_keypoints
from fomaug.options import Region
from fomaug.types import Animated, Keypoints, Source


class StreamOptions(TypedDict, total=False):
    """Keyword arguments that `stream` and `Animator.stream` share."""

    relative: bool
    relative_jacobian: bool
    adapt_scale: bool
    strength: float
    region: Region


class Animates(Protocol):
    """The part of an animator that a stream uses."""

    keypoint_names: tuple[str, ...]

    def detect(self, frames: Tensor) -> Keypoints:
        """Find the keypoints of frames."""

    def animate(self, source: Source, keypoints: Keypoints) -> Animated:
        """Animate the source by target keypoints."""


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
    """Animate a source by a stream of frames; only the reference is kept in memory.

    Each driving frame is read only when the next animated frame is requested, so the delay is the time of one frame.

    Args:
        animator: model that animates the source.
        source: one encoded image.
        frames: driving frames, (1, 3, H, W) float in [0, 1] each; larger batches increase throughput and delay.
        reference: keypoints of a driving frame with the source's pose; those of the first frame by default.
        relative: option of `fomaug.transfer`.
        relative_jacobian: option of `fomaug.transfer`.
        adapt_scale: option of `fomaug.transfer`.
        strength: option of `fomaug.transfer`.
        region: part of the face that moves: "all", "head", "mouth", "eyes" or "expression".

    Returns:
        One animated frame for each driving frame.

    Raises:
        ArgumentError: the region is unknown, or the model's keypoints have no names.
    """
    check_region(region, animator.keypoint_names)  # here, because the generator runs only at the first frame
    return _stream(
        animator, source, frames, reference, strength, TransferMode(relative, relative_jacobian, adapt_scale, region)
    )


def _stream(
    animator: Animates,
    source: Source,
    frames: Iterable[Tensor],
    reference: Keypoints | None,
    strength: float,
    mode: TransferMode,
) -> Iterator[Animated]:
    names = animator.keypoint_names
    for frame in frames:
        driving = animator.detect(frame)
        reference = driving[0] if reference is None else reference
        yield animator.animate(source, target_keypoints(source.keypoints, driving, reference, mode, names, strength))
