"""Measures of reconstructed frames.

These are L1, PSNR, SSIM (Wang et al. 2004), MS-SSIM (Wang et al. 2003), and measures that need an extractor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from fomaug.errors import ShapeError, shortened

_LUMA = (0.299, 0.587, 0.114)
_C1, _C2 = 0.01**2, 0.03**2
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights of the scales of MS-SSIM, finest first


def l1(a: Tensor, b: Tensor) -> Tensor:
    """Compute the mean absolute difference of images (B, 3, H, W) in [0, 1], to (B,)."""
    return (a - b).abs().flatten(1).mean(1)


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Compute the peak signal-to-noise ratio in dB, to (B,); it is infinite for equal images."""
    return -10 * (a - b).square().flatten(1).mean(1).log10()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Compute the structural similarity on luma, with the paper's 11 x 11 Gaussian window (sigma 1.5), to (B,)."""
    luminance, contrast = _maps(_luma(a), _luma(b))
    return (luminance * contrast).flatten(1).mean(1)


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Compute the structural similarity over five scales, to (B,); both sides must have 176 pixels or more."""
    x, y = _luma(a), _luma(b)
    assert min(x.shape[2:]) >= 11 * 2 ** (len(_SCALE_WEIGHTS) - 1), "too small for five scales"
    total = torch.ones(len(x), device=x.device, dtype=x.dtype)
    for scale, weight in enumerate(_SCALE_WEIGHTS):
        luminance, contrast = _maps(x, y)
        last = scale == len(_SCALE_WEIGHTS) - 1
        part = luminance * contrast if last else contrast
        # A negative mean has no real power; the similarity of such images is 0.
        total = total * part.flatten(1).mean(1).clamp(min=0) ** weight
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return total


def _luma(image: Tensor) -> Tensor:
    weights = torch.tensor(_LUMA, device=image.device, dtype=image.dtype)
    return torch.einsum("bchw,c->bhw", image, weights)[:, None]


def _maps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the luminance and the contrast-structure maps at pixels whose window is inside the image."""
    mean_a, mean_b = _blur(a), _blur(b)
    var_a, var_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    return luminance, (2 * covariance + _C2) / (var_a + var_b + _C2)


def _blur(image: Tensor) -> Tensor:
    offsets = torch.arange(-5, 6, device=image.device, dtype=image.dtype)
    window = torch.exp(-offsets.square() / (2 * 1.5**2))
    window = window / window.sum()
    return F.conv2d(F.conv2d(image, window.view(1, 1, 1, -1)), window.view(1, 1, -1, 1))


def confidence(values: list[float], *, seed: int = 0, rounds: int = 2000) -> tuple[float, float]:
    """Compute the 95 % bootstrap interval of the mean; (nan, nan) for fewer than two values.

    >>> low, high = confidence([1.0, 2.0, 3.0])
    >>> 1.0 <= low < 2.0 < high <= 3.0
    True
    """
    known = np.array([value for value in values if math.isfinite(value)])
    if len(known) < 2:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    means = known[rng.integers(len(known), size=(rounds, len(known)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


class FeatureSets:
    """Features of true and of reconstructed frames, collected frame by frame for the Frechet distance."""

    def __init__(self) -> None:
        self.true: list[NDArray[np.float64]] = []
        self.found: list[NDArray[np.float64]] = []

    def add(self, true: Any, found: Any) -> None:
        """Add the features of a true frame and of its reconstruction."""
        self.true.append(np.asarray(true, np.float64).ravel())
        self.found.append(np.asarray(found, np.float64).ravel())

    def distance(self) -> float:
        """Compute the Frechet distance (FID) of the two sets; nan for fewer than two frames."""
        if len(self.true) < 2:
            return math.nan
        return frechet_distance(np.stack(self.true), np.stack(self.found))


def frechet_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Compute the Frechet distance of Gaussians fitted to two sets of vectors (N, D) (Heusel et al. 2017)."""
    cov_a, cov_b = np.atleast_2d(np.cov(a, rowvar=False)), np.atleast_2d(np.cov(b, rowvar=False))
    # The trace of the root of A B is the sum of the roots of its eigenvalues, which are real and non-negative.
    roots = np.sqrt(np.linalg.eigvals(cov_a @ cov_b).real.clip(min=0)).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * roots)


Frame = NDArray[np.uint8]
Extract = Callable[[Frame], Any]  # a frame (H, W, 3) to a vector or (M, 2) points; None if no face is found


@dataclass(frozen=True)
class Extractors:
    """Functions of the user that extract arrays from a frame (H, W, 3) uint8, for further measures.

    Attributes:
        landmarks: landmark detector, to (M, 2) pixels, or None if no face is found; for `akd` and `lost`.
        embedding: face embedder, to a vector, or None; for `aed`.
        features: feature extractor, to a vector; for `fid` over all frames.
    """

    landmarks: Extract | None = None
    embedding: Extract | None = None
    features: Extract | None = None

    def name(self, part: str) -> str:
        """Return "module:name" of an extractor; an empty string for None."""
        extractor = getattr(self, part)
        named = extractor if hasattr(extractor, "__qualname__") else type(extractor)
        return "" if extractor is None else f"{named.__module__}:{named.__qualname__}"


@dataclass(frozen=True)
class Extracted:
    """Results of the extractors for one frame; None without an extractor, or without a face."""

    landmarks: NDArray[np.float64] | None
    embedding: NDArray[np.float64] | None
    features: NDArray[np.float64] | None


def extract_all(frame: Frame, extractors: Extractors) -> Extracted:
    """Run the extractors on a frame, and convert their results to arrays of floats.

    Raises:
        ShapeError: an extractor returns something else than it should.
    """
    return Extracted(**{part: _extract(part, extract, frame) for part, extract in vars(extractors).items()})


def _extract(part: str, extract: Extract | None, frame: Frame) -> NDArray[np.float64] | None:
    if extract is None or (found := extract(frame)) is None:
        return None
    wanted = "points (M, 2)" if part == "landmarks" else "a vector"
    try:
        array = np.asarray(found, np.float64)
    except (TypeError, ValueError) as cause:
        raise ShapeError(f"the function for {part} must return {wanted} or None, got {shortened(found)}") from cause
    if part == "landmarks" and array.shape[1:] != (2,):
        raise ShapeError(f"the function for {part} must return {wanted} or None, got an array of {array.shape}")
    return array


def compare(result: Tensor, frame: Frame, true: Extracted, found: Extracted, features: FeatureSets) -> dict[str, float]:
    """Compare a reconstructed frame (1, 3, H, W) in [0, 1] with the true one; add their features to `features`."""
    wanted = to_tensor(frame)
    measures = {"l1": l1(result, wanted), "psnr": psnr(result, wanted), "ssim": ssim(result, wanted)}
    if min(wanted.shape[2:]) >= 176:
        measures["ms_ssim"] = ms_ssim(result, wanted)
    row = {name: float(value) for name, value in measures.items()}
    if true.landmarks is not None:
        row["lost"] = float(found.landmarks is None)
        if found.landmarks is not None:
            row["akd"] = float(np.linalg.norm(_difference("landmarks", true, found), axis=-1).mean())
    if true.embedding is not None and found.embedding is not None:
        row["aed"] = float(np.linalg.norm(_difference("embedding", true, found)))
    if true.features is not None and found.features is not None:
        features.add(true.features, found.features)
    return row


def _difference(part: str, true: Extracted, found: Extracted) -> NDArray[np.float64]:
    first, second = getattr(true, part), getattr(found, part)
    if first.shape != second.shape:
        raise ShapeError(
            f"the function for {part} must return arrays of one shape for all frames, got {first.shape} and "
            f"{second.shape}"
        )
    difference: NDArray[np.float64] = first - second
    return difference


def to_tensor(frame: Frame) -> Tensor:
    """Convert (H, W, 3) uint8 to (1, 3, H, W) float in [0, 1]."""
    return torch.tensor(frame).permute(2, 0, 1)[None].float() / 255
