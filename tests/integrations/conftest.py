"""What the adapters' tests share, and a stand-in for the compiled half of torchvision where it is missing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

OPERATORS = (
    "nms",
    "qnms",
    *(
        f"{prefix}{name}{suffix}"
        for name in ("roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d")
        for prefix, suffix in (("", ""), ("_", "_backward"))
    ),
)
_library = None


def _declare_operators() -> None:
    """Let the Python half of torchvision be imported where its compiled half is missing.

    torchvision asks for its compiled operators by name when it is imported, and there is no CPU build of it for every
    torch. Its transforms v2 and tv_tensors are pure Python and never call them, so a declaration of the names, without
    anything behind it, is enough for them. Where torchvision can be imported, and where it is not installed at all,
    this does nothing.
    """
    global _library
    try:
        import torchvision  # noqa: F401
    except ModuleNotFoundError:
        return
    except RuntimeError as error:
        if "operator torchvision::nms does not exist" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # half imported
        _library = torch.library.Library("torchvision", "DEF")
        for name in OPERATORS:
            _library.define(f"{name}(Tensor values) -> Tensor")


_declare_operators()

sys.path.insert(0, str(Path(__file__).parent))
import exact_animator  # noqa: E402


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    """A smooth coloured picture, (48, 64, 3) uint8."""
    y, x = np.mgrid[0:48, 0:64]
    waves = [np.sin(x / a + y / b + c) for a, b, c in rng.uniform(3, 9, (3, 3))]
    return (127 + 120 * np.stack(waves, -1)).astype(np.uint8)


@pytest.fixture(scope="session")
def exact(tiny_model):
    """An animator whose pictures follow from its flow alone."""
    return exact_animator.exact_model(tiny_model)


@pytest.fixture(scope="session")
def pool(exact):
    """Driving motion for `exact`: twenty directions."""
    return exact_animator.shifting_pool(exact)


@pytest.fixture
def dots() -> np.ndarray:
    """(48, 64, 3) uint8, black with three bright dots, at `DOTS`."""
    return exact_animator.draw_dots((48, 64))
