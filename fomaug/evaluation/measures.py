"""Measures of one rebuilt frame, and the judges from outside that some of them need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug.evaluation.frechet import Spread
from fomaug.evaluation.similarity import l1, ms_ssim, psnr, ssim

Frame = NDArray[np.uint8]
Extract = Callable[[Frame], Any]  # a frame (H, W, 3) to a vector or (M, 2) points; None where no face is found


@dataclass(frozen=True)
class Extractors:
    """Judges from outside, each (H, W, 3) uint8 to an array; None ones are left out.

    Attributes:
        landmarks: to (M, 2) pixels, or None where no face is found; gives `akd` and `lost`.
        embedding: to a vector, or None; gives `aed`.
        features: to a vector; gives `fid` over all frames.
    """

    landmarks: Extract | None = None
    embedding: Extract | None = None
    features: Extract | None = None

    def name(self, part: str) -> str:
        """Name a judge by where its code is, "module:name"; empty where there is none."""
        judge = getattr(self, part)
        named = judge if hasattr(judge, "__qualname__") else type(judge)
        return "" if judge is None else f"{named.__module__}:{named.__qualname__}"


@dataclass(frozen=True)
class Judged:
    """What the judges from outside say of one frame."""

    landmarks: Any
    embedding: Any
    features: Any


def judge(frame: Frame, extractors: Extractors) -> Judged:
    """Ask them."""
    return Judged(
        *(None if extract is None else extract(frame) for extract in vars(extractors).values()),
    )


def compare(result: Tensor, frame: Frame, true: Judged, found: Judged, spread: Spread) -> dict[str, float]:
    """Measure a rebuilt frame (1, 3, H, W) in [0, 1] against the true one; its features go to `spread`."""
    wanted = to_tensor(frame)
    measures = {"l1": l1(result, wanted), "psnr": psnr(result, wanted), "ssim": ssim(result, wanted)}
    if min(wanted.shape[2:]) >= 176:
        measures["ms_ssim"] = ms_ssim(result, wanted)
    row = {name: float(value) for name, value in measures.items()}
    if true.landmarks is not None:
        row["lost"] = float(found.landmarks is None)
        if found.landmarks is not None:
            apart = np.asarray(true.landmarks, float) - np.asarray(found.landmarks, float)
            row["akd"] = float(np.linalg.norm(apart, axis=-1).mean())
    if true.embedding is not None and found.embedding is not None:
        row["aed"] = float(np.linalg.norm(np.asarray(true.embedding, float) - np.asarray(found.embedding, float)))
    if true.features is not None and found.features is not None:
        spread.add(true.features, found.features)
    return row


def to_tensor(frame: Frame) -> Tensor:
    """Make (1, 3, H, W) float in [0, 1]."""
    return torch.tensor(frame).permute(2, 0, 1)[None].float() / 255
