from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fomaug.training.model import ThinPlateSpline


def drawn(seed: int = 0) -> ThinPlateSpline:
    spline = ThinPlateSpline.draw(3, rng=np.random.default_rng(seed))
    return ThinPlateSpline(spline.theta.double(), spline.control_params.double())


def test_the_jacobian_is_that_of_automatic_differentiation() -> None:
    spline, xy = drawn(), torch.rand(3, 7, 2, dtype=torch.float64, requires_grad=True)
    moved = spline.points(xy)
    rows = [torch.autograd.grad(moved[..., i].sum(), xy, retain_graph=True)[0] for i in range(2)]
    torch.testing.assert_close(spline.jacobian(xy), torch.stack(rows, dim=-2))


def test_no_noise_is_the_identity() -> None:
    spline = ThinPlateSpline.draw(2, rng=np.random.default_rng(0), sigma_affine=0, sigma_tps=0)
    image = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(spline.image(image), image, atol=1e-5, rtol=0)


@pytest.mark.golden
def test_the_official_deformation(shared: Path) -> None:
    golden = load_file(shared / "fomm-golden" / "tiny-outputs.safetensors")
    spline = ThinPlateSpline(golden["equivariance.theta"], golden["equivariance.control_params"])
    torch.testing.assert_close(
        spline.image(golden["driving"]), golden["equivariance.transformed_frame"], atol=1e-5, rtol=0
    )
    moved = spline.points(golden["equivariance.transformed_kp.value"])
    torch.testing.assert_close(moved, golden["equivariance.warped_value"], atol=1e-5, rtol=0)
