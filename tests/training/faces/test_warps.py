"""Splines and cameras."""

from __future__ import annotations

import torch

from fomaug.training.faces.warps import Camera, eval_spline, fit_spline


def test_spline_passes_through_its_points(generator: torch.Generator) -> None:
    points = torch.rand(2, 30, 2, generator=generator) * 2 - 1
    images = points + 0.1 * torch.randn(2, 30, 2, generator=generator)
    weights = fit_spline(points, images)
    assert torch.allclose(eval_spline(weights, points, points), images, atol=0.03)


def test_large_splines_fit_together_on_two_threads(generator: torch.Generator) -> None:
    side = torch.linspace(-1, 1, 14)
    points = torch.cartesian_prod(side, side).expand(4, -1, -1)
    images = points + 0.01 * torch.randn(4, 196, 2, generator=generator)
    torch.set_num_threads(2)
    try:
        weights = fit_spline(points, images)
    finally:
        torch.set_num_threads(1)
    assert torch.allclose(eval_spline(weights, points, points), images, atol=0.03)


def test_spline_of_an_affine_map_is_that_map(generator: torch.Generator) -> None:
    points = torch.rand(1, 20, 2, generator=generator) * 2 - 1
    matrix, shift = torch.tensor([[0.9, 0.2], [-0.1, 1.1]]), torch.tensor([0.3, -0.2])
    weights = fit_spline(points, points @ matrix.T + shift)
    at = torch.rand(1, 50, 2, generator=generator)
    assert torch.allclose(eval_spline(weights, points, at), at @ matrix.T + shift, atol=1e-3)


def test_back_is_the_inverse_of_forth(generator: torch.Generator) -> None:
    camera = Camera.draw(3, generator)
    places = torch.randn(3, 5, 4, 2, generator=generator)
    assert torch.allclose(camera.back(camera.forth(places)), places, atol=1e-5)
