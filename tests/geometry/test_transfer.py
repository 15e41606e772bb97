from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from fomaug import Keypoints, transfer
from fomaug.geometry import hull_area, inverse_2x2


def keypoints(seed: int, batch: int = 3, k: int = 10) -> Keypoints:
    rng = np.random.default_rng(seed)
    value = torch.from_numpy(rng.uniform(-0.8, 0.8, (batch, k, 2)))
    jacobian = torch.eye(2) + torch.from_numpy(rng.normal(0, 0.2, (batch, k, 2, 2)))
    return Keypoints(value, jacobian)


MODES = [{"relative": r, "relative_jacobian": j, "adapt_scale": a} for r in (0, 1) for j in (0, 1) for a in (0, 1)]


@given(seed=st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_relative_transfer_of_the_reference_itself_is_the_identity(seed: int) -> None:
    source, reference = keypoints(seed), keypoints(seed + 1)
    moved = transfer(source, reference, reference)
    torch.testing.assert_close(moved.value, source.value)
    torch.testing.assert_close(moved.jacobian, source.jacobian)


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_equals_its_singles(mode: dict[str, bool]) -> None:
    source, driving, reference = keypoints(0), keypoints(1), keypoints(2)
    strength = torch.tensor([0.3, 1.0, 0.7], dtype=torch.float64)
    together = transfer(source, driving, reference, strength=strength, **mode)
    for i in range(3):
        single = transfer(source[i], driving[i], reference[i], strength=float(strength[i]), **mode)
        torch.testing.assert_close(together[i].value, single.value)
        torch.testing.assert_close(together[i].jacobian, single.jacobian)


@pytest.mark.parametrize("mode", MODES)
def test_strength_zero_does_not_move_the_source(mode: dict[str, bool]) -> None:
    source = keypoints(0)
    still = transfer(source, keypoints(1), keypoints(2), strength=0.0, **mode)
    torch.testing.assert_close(still.value, source.value)
    torch.testing.assert_close(still.jacobian, source.jacobian)


def test_one_source_serves_many_driving_frames() -> None:
    source, driving = keypoints(0, batch=1), keypoints(1, batch=5)
    moved = transfer(source, driving, driving[0], strength=0.5)
    for i in range(5):
        torch.testing.assert_close(moved[i].value, transfer(source, driving[i], driving[0], strength=0.5).value)


def test_motion_scales_with_the_face() -> None:
    source, driving, reference = keypoints(0), keypoints(1), keypoints(2)
    half = Keypoints(source.value * 0.5, source.jacobian)
    whole = transfer(source, driving, reference).value - source.value
    torch.testing.assert_close(transfer(half, driving, reference).value - half.value, whole * 0.5)


@given(seed=st.integers(0, 10_000), k=st.integers(3, 20))
@settings(max_examples=50, deadline=None)
def test_hull_area_is_scipys(seed: int, k: int) -> None:
    value = keypoints(seed, batch=2, k=k).value
    expected = [ConvexHull(points.numpy()).volume for points in value]
    torch.testing.assert_close(hull_area(value), torch.tensor(expected, dtype=torch.float64))


@pytest.mark.parametrize(
    ("points", "area"),
    [
        ([[0, 0], [1, 0], [2, 0], [2, 2], [0, 2]], 4.0),  # three on an edge
        ([[0, 0], [0, 0], [1, 0], [1, 1], [0, 1]], 1.0),  # two at one point
        ([[0, 0], [1, 1], [2, 2]], 0.0),  # a line
        ([[1, 1], [1, 1]], 0.0),  # a point
    ],
)
def test_hull_area_of_degenerate_points(points: list[list[int]], area: float) -> None:
    assert hull_area(torch.tensor([points], dtype=torch.float64)).item() == area


def test_inverse_is_the_inverse() -> None:
    jacobian = keypoints(0).jacobian
    assert jacobian is not None
    torch.testing.assert_close(inverse_2x2(jacobian) @ jacobian, torch.eye(2, dtype=torch.float64).expand(3, 10, 2, 2))
