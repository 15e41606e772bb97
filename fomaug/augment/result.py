"""What `apply` returns."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from fomaug.motion import MotionParams


@dataclass(frozen=True, eq=False)
class MotionResult:
    """Animated images and what moves their labels along.

    Attributes:
        image: (N, C, H, W), as the images given: dtype, device, layout, range.
        flow: (N, h, w, 2) float32 backward flow, for `fomaug.warp`; the identity where skipped.
        occlusion: (N, 1, h, w) float32 in [0, 1], 1 where taken from the source; ones where skipped.
        params: the N parameters, their reference frames settled: replaying them gives the same pixels.
    """

    image: Tensor
    flow: Tensor
    occlusion: Tensor
    params: list[MotionParams]
