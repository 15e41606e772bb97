"""`torch.compile` compiles the animator's methods as whole graphs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from fomaug import Animator, load_model

COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
IGNORED = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # inductor warns about its own parts of torch
SLOW = (COMPILER, IGNORED, pytest.mark.slow)


@pytest.fixture(autouse=True)
def _nothing_compiled_before() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize("method", ["detect", "encode", "animate"])
@pytest.mark.parametrize(
    ("name", "backend"),
    [
        ("tiny", "aot_eager"),
        ("lite-256", "eager"),
        pytest.param("tiny", "inductor", marks=SLOW),
        pytest.param("lite-256", "inductor", marks=SLOW),
    ],
)
def test_a_compiled_method_is_one_graph_and_computes_the_same(
    tiny_model: Animator, name: str, backend: str, method: str
) -> None:
    check(tiny_model if name == "tiny" else load_model(name, device="cpu"), method, backend)


@COMPILER
@IGNORED
def test_the_default_backend_compiles_the_detector(tiny_model: Animator) -> None:
    check(tiny_model, "detect", "inductor")


@pytest.mark.parametrize("method", ["detect", "animate"])
def test_resizing_pictures_causes_no_graph_break(tiny_model: Animator, method: str) -> None:
    check(tiny_model, method, "eager", side=90)


def test_compiled_methods_can_replace_the_plain_ones() -> None:
    plain, model = (load_model("lite-256", device="cpu") for _ in range(2))
    for method in ("detect", "animate"):
        setattr(model, method, torch.compile(getattr(model, method), backend="eager"))
    frames = smooth_pictures(256, seed=1)
    expected, found = (list(m.stream(m.encode(frames[:1]), frames.split(1)))[1] for m in (plain, model))
    torch.testing.assert_close(found.image, expected.image, atol=1e-4, rtol=0)


def check(model: Animator, method: str, backend: str, side: int | None = None) -> None:
    """Compare a method with its compiled form."""
    side = side or model.size
    image, other = smooth_pictures(side, seed=0).split(1)
    source, driving = model.encode(image), model.detect(other)
    arguments = {"detect": (other,), "encode": (image,), "animate": (source, driving)}[method]
    plain = getattr(model, method)
    compiled = torch.compile(plain, backend=backend, fullgraph=True)
    for before, after in zip(tensors(plain(*arguments)), tensors(compiled(*arguments)), strict=True):
        torch.testing.assert_close(after, before, atol=1e-4, rtol=0)


def smooth_pictures(side: int, seed: int) -> Tensor:
    """Make two pictures (2, 3, S, S) without edges; in white noise, rounded coordinates would change pixels."""
    coarse = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")


def tensors(result: object) -> list[Tensor]:
    """Return all tensors of a result, in order."""
    if isinstance(result, Tensor):
        return [result]
    parts = result if isinstance(result, tuple) else vars(result).values()
    return [tensor for part in parts if part is not None for tensor in tensors(part)]
