from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from fomaug.evaluation import l1, ms_ssim, psnr, ssim
from fomaug.evaluation.measures import confidence, frechet_distance


def pair(size: int = 192) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    a = torch.nn.functional.interpolate(torch.rand(2, 3, 24, 24, generator=generator), size=size, mode="bicubic")
    return a.clamp(0, 1), (a + 0.1 * torch.randn(a.shape, generator=generator)).clamp(0, 1)


def luma(x: np.ndarray) -> np.ndarray:
    return np.einsum("chw,c->hw", x, np.array([0.299, 0.587, 0.114]))


def slow_maps(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute the luminance and contrast of Wang et al. by scipy's Gaussian filter, cut to the 11 x 11 window."""

    def blur(x: np.ndarray) -> np.ndarray:
        return gaussian_filter(x, 1.5, truncate=3.5)

    ma, mb = blur(a), blur(b)
    va, vb, cab = blur(a * a) - ma * ma, blur(b * b) - mb * mb, blur(a * b) - ma * mb
    c1, c2 = 1e-4, 9e-4
    luminance, contrast = (2 * ma * mb + c1) / (ma**2 + mb**2 + c1), (2 * cab + c2) / (va + vb + c2)
    return luminance[5:-5, 5:-5], contrast[5:-5, 5:-5]


def slow_ssim(a: np.ndarray, b: np.ndarray) -> float:
    luminance, contrast = slow_maps(luma(a), luma(b))
    return float((luminance * contrast).mean())


def test_ssim_equals_the_plain_implementation() -> None:
    a, b = (x.double() for x in pair(64))
    expected = [slow_ssim(x.numpy(), y.numpy()) for x, y in zip(a, b, strict=True)]
    torch.testing.assert_close(ssim(a, b), torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0)


def slow_ms_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Compute contrast and structure at five scales, and luminance at the last (Wang et al. 2003)."""
    product = 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        luminance, contrast = slow_maps(a, b)
        product *= ((contrast * luminance) if scale == 4 else contrast).mean() ** weight
        a, b = (x.reshape(len(x) // 2, 2, -1, 2).mean((1, 3)) for x in (a, b))
    return float(product)


def test_ms_ssim_equals_the_plain_implementation() -> None:
    a, b = (x.double() for x in pair(192))
    expected = [slow_ms_ssim(luma(x.numpy()), luma(y.numpy())) for x, y in zip(a, b, strict=True)]
    torch.testing.assert_close(ms_ssim(a, b), torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("measure", "best"), [(l1, 0.0), (psnr, math.inf), (ssim, 1.0), (ms_ssim, 1.0)])
def test_equal_pictures_are_perfect_and_noisy_ones_are_not(measure, best: float) -> None:
    a, b = pair()
    assert measure(a, a).tolist() == pytest.approx([best, best])
    assert abs(measure(a, b)[0] - best) > 1e-3
    torch.testing.assert_close(measure(a, b)[1:], measure(a[1:], b[1:]))


def test_psnr_of_a_known_error() -> None:
    a = torch.full((1, 3, 8, 8), 0.5)
    assert psnr(a, a + 0.1).item() == pytest.approx(20, abs=1e-4)


def test_the_frechet_distance_of_gaussians_in_closed_form() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(0, 1, (20_000, 3))
    b = rng.normal(2, 3, (20_000, 3))
    assert frechet_distance(a, b) == pytest.approx(3 * (2**2 + (1 - 3) ** 2), rel=0.03)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_the_interval_narrows_with_more_values() -> None:
    rng = np.random.default_rng(0)
    few, many = (confidence(list(rng.normal(0, 1, count))) for count in (10, 1000))
    assert many[1] - many[0] < few[1] - few[0]
    assert many[1] - many[0] == pytest.approx(2 * 1.96 / math.sqrt(1000), rel=0.15)
    assert all(math.isnan(end) for end in confidence([1.0]))
