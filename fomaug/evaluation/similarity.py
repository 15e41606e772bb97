"""How alike two pictures are: L1, PSNR, SSIM (Wang et al. 2004), MS-SSIM (Wang et al. 2003)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)
_C1, _C2 = 0.01**2, 0.03**2
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of MS-SSIM, finest first


def l1(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference of pictures (B, 3, H, W) in [0, 1], to (B,)."""
    return (a - b).abs().flatten(1).mean(1)


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB, to (B,); infinite for equal pictures."""
    return -10 * (a - b).square().flatten(1).mean(1).log10()


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity on luma, with the 11 x 11 Gaussian window (sigma 1.5) of the paper, to (B,)."""
    luminance, contrast = _maps(_luma(a), _luma(b))
    return (luminance * contrast).flatten(1).mean(1)


def ms_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity over five scales, to (B,); pictures must be 176 pixels or more on each side."""
    x, y = _luma(a), _luma(b)
    assert min(x.shape[2:]) >= 11 * 2 ** (len(_SCALE_WEIGHTS) - 1), "too small for five scales"
    total = torch.ones(len(x), device=x.device, dtype=x.dtype)
    for scale, weight in enumerate(_SCALE_WEIGHTS):
        luminance, contrast = _maps(x, y)
        last = scale == len(_SCALE_WEIGHTS) - 1
        part = luminance * contrast if last else contrast
        # A negative mean has no real power; such pictures have nothing in common.
        total = total * part.flatten(1).mean(1).clamp(min=0) ** weight
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return total


def _luma(image: Tensor) -> Tensor:
    weights = torch.tensor(_LUMA, device=image.device, dtype=image.dtype)
    return torch.einsum("bchw,c->bhw", image, weights)[:, None]


def _maps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The luminance and the contrast-structure maps, where the window lies within the picture."""
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
    """95 % interval of the mean by bootstrap; (nan, nan) for fewer than two values.

    >>> low, high = confidence([1.0, 2.0, 3.0])
    >>> 1.0 <= low < 2.0 < high <= 3.0
    True
    """
    import numpy as np

    known = np.array([value for value in values if math.isfinite(value)])
    if len(known) < 2:
        return math.nan, math.nan
    rng = np.random.default_rng(seed)
    means = known[rng.integers(len(known), size=(rounds, len(known)))].mean(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)
