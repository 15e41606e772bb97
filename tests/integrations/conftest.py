"""Fixtures of the adapters' tests."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import exact_animator


@pytest.fixture
def image(rng: np.random.Generator) -> np.ndarray:
    """Draw a smooth coloured picture, (48, 64, 3) uint8."""
    y, x = np.mgrid[0:48, 0:64]
    waves = [np.sin(x / a + y / b + c) for a, b, c in rng.uniform(3, 9, (3, 3))]
    return (127 + 120 * np.stack(waves, -1)).astype(np.uint8)


@pytest.fixture(scope="session")
def exact(tiny_model):
    """Return an animator whose pictures depend only on its flow."""
    return exact_animator.exact_model(tiny_model)


@pytest.fixture(scope="session")
def painting(tiny_model):
    """Return an animator whose occlusion marks the left half of its results as painted."""
    return exact_animator.exact_model(tiny_model, exact_animator.PaintingAnimator)


@pytest.fixture(scope="session")
def pool(exact):
    """Return driving motion for `exact` in twenty directions."""
    return exact_animator.shifting_pool(exact)


@pytest.fixture
def dots() -> np.ndarray:
    """Draw (48, 64, 3) uint8, black with three bright dots at `DOTS`."""
    return exact_animator.draw_dots((48, 64))
