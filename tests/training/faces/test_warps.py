"""Splines and cameras."""

from __future__ import annotations

import pytest
import torch

from fomaug.faces.canonical import mean_mesh
from fomaug.training.faces.pairs import AS_CUT, Camera, Framing, eval_spline, fit_spline


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
    points = torch.randn(3, 5, 4, 2, generator=generator)
    assert torch.allclose(camera.back(camera.forth(points)), points, atol=1e-5)


def extents(camera: Camera, mesh: torch.Tensor) -> torch.Tensor:
    """Measure the longer side (B,) of upright faces in the camera's pictures, in sides of the picture."""
    scale = camera.matrix.det().sqrt()
    return (mesh.amax(1) - mesh.amin(1)).amax(1) / 2 / scale


def test_new_squares_have_the_sides_of_the_framing(generator: torch.Generator) -> None:
    mesh = 0.4 * mean_mesh()[:, :2].expand(500, -1, -1) + 0.3
    camera = Camera.framed(mesh, generator, Framing(share=1.0, side_range=(1.0, 2.0)))
    sides = 1 / extents(camera, mesh)
    assert sides.min() >= 0.999 and sides.max() <= 2.001
    assert (sides < 2**0.5).float().mean() == pytest.approx(0.5, abs=0.08), "the logarithm is uniform"


def test_new_squares_are_cut_around_the_face(generator: torch.Generator) -> None:
    mesh = 0.4 * mean_mesh()[:, :2].expand(500, -1, -1) + 0.3
    near, far = (
        Camera.framed(mesh, generator, Framing(share=1.0, side_range=(1.0, 1.0), shift=0.1, far_share=share))
        for share in (0.0, 1.0)
    )
    middle = (mesh.amin(1) + mesh.amax(1)) / 2
    offsets = [camera.back(middle[:, None]).squeeze(1) / 2 for camera in (near, far)]  # a picture is 2 wide
    assert [offset.std().item() for offset in offsets] == pytest.approx([0.1, 0.3], rel=0.1)
    assert all(offset.mean(0).abs().max() < 0.05 for offset in offsets)


def test_a_share_of_the_pictures_is_cut_anew() -> None:
    mesh = 0.4 * mean_mesh()[:, :2].expand(400, -1, -1)
    usual, some = (
        Camera.framed(mesh, torch.Generator().manual_seed(0), framing) for framing in (AS_CUT, Framing(share=0.3))
    )
    drawn = Camera.draw(400, torch.Generator().manual_seed(0))
    assert torch.equal(usual.matrix, drawn.matrix) and torch.equal(usual.shift, drawn.shift)
    changed = (some.matrix != usual.matrix).any(2).any(1)
    assert changed.float().mean() == pytest.approx(0.3, abs=0.07)
    assert torch.equal(some.shift[~changed], usual.shift[~changed])
