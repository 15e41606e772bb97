"""What a generator returns: the picture and every intermediate that explains it."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class GeneratorOutput(NamedTuple):
    """One forward pass of a generator.

    Attributes:
        prediction: (B, 3, S, S) in [0, 1].
        deformation: (B, h, w, 2) backward flow, corner-aligned.
        occlusion: (B, 1, h, w) in [0, 1], None for models that estimate none.
        mask: (B, K + 1, h, w) softmax weights of the background and the K local motions.
        deformed: (B, 3, S, S) the source, warped.
        sparse_deformed: (B, K + 1, 3, h, w) the source warped by every local motion; None where not kept.
        blend: (B, 1, S, S) share of `deformed` in `prediction`; None for generators that paint every pixel.
    """

    prediction: Tensor
    deformation: Tensor
    occlusion: Tensor | None
    mask: Tensor
    deformed: Tensor
    sparse_deformed: Tensor | None = None
    blend: Tensor | None = None
