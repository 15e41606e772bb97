"""How far the features of rebuilt frames are from those of true ones, as sets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Spread:
    """Gathers features of true and of rebuilt frames, not the frames."""

    def __init__(self) -> None:
        self.true: list[NDArray[np.float64]] = []
        self.found: list[NDArray[np.float64]] = []

    def add(self, true: Any, found: Any) -> None:
        """Take the features of a true frame and of its reconstruction."""
        self.true.append(np.asarray(true, np.float64).ravel())
        self.found.append(np.asarray(found, np.float64).ravel())

    def distance(self) -> float:
        """Frechet distance (FID) of the two sets; nan for fewer than two frames."""
        if len(self.true) < 2:
            return math.nan
        return frechet_distance(np.stack(self.true), np.stack(self.found))


def frechet_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Frechet distance of two sets of vectors (N, D), taken as Gaussians (Heusel et al. 2017)."""
    cov_a, cov_b = np.atleast_2d(np.cov(a, rowvar=False)), np.atleast_2d(np.cov(b, rowvar=False))
    # The trace of the root of A B is the sum of the roots of its eigenvalues, which are real and not negative.
    roots = np.sqrt(np.linalg.eigvals(cov_a @ cov_b).real.clip(min=0)).sum()
    return float(((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * roots)
