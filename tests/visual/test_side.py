from __future__ import annotations

import numpy as np
import pytest

from fomaug.errors import ArgumentError
from fomaug.visual import side_by_side


def test_pictures_of_one_height_stay_as_they_are(rng: np.random.Generator) -> None:
    first, second = rng.integers(0, 256, (8, 6, 3), np.uint8), rng.integers(0, 256, (8, 9, 3), np.uint8)
    both = side_by_side(first, second, gap=2)
    np.testing.assert_array_equal(both[:, :6], first)
    assert (both[:, 6:8] == 255).all()
    np.testing.assert_array_equal(both[:, 8:], second)


def test_others_are_scaled_in_proportion() -> None:
    assert side_by_side(np.zeros((8, 8, 3), np.uint8), np.zeros((20, 30, 3), np.uint8), gap=0).shape == (8, 20, 3)
    assert side_by_side(np.zeros((8, 8, 3), np.uint8), height=16).shape == (16, 16, 3)


def test_nothing_cannot_be_shown() -> None:
    with pytest.raises(ArgumentError, match="at least one"):
        side_by_side()
