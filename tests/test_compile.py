from __future__ import annotations

import shutil

import pytest
import torch

from fomaug import Animator


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of inductor, about its own parts of torch
@pytest.mark.parametrize(
    "backend",
    [
        "aot_eager",
        pytest.param(
            "inductor",
            marks=[
                pytest.mark.slow,
                pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler"),
            ],
        ),
    ],
)
def test_compiled_networks_compute_what_they_computed_before(tiny_model: Animator, backend: str) -> None:
    torch.compiler.reset()
    image, other = torch.rand(2, 1, 3, 64, 64)
    source, driving = tiny_model.encode(image), tiny_model.detect(other)
    detector = torch.compile(tiny_model.detector, backend=backend, fullgraph=True)
    generator = torch.compile(tiny_model.generator, backend=backend, fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(detector(other).value, driving.value, atol=1e-5, rtol=0)
        compiled = generator(image, source.features[1:], source.keypoints, driving)
        plain = tiny_model.generator(image, source.features[1:], source.keypoints, driving)
    torch.testing.assert_close(compiled.prediction, plain.prediction, atol=1e-4, rtol=0)
    torch.testing.assert_close(compiled.deformation, plain.deformation, atol=1e-4, rtol=0)
