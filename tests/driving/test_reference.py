from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from fomaug import Keypoints, MotionTrack
from fomaug.driving import closest_frame, pose_distance
from fomaug.errors import ShapeError


def points(seed: int, count: int) -> torch.Tensor:
    return torch.rand(count, 8, 2, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def track(frames: torch.Tensor) -> MotionTrack:
    return MotionTrack("a", Keypoints(frames), 25.0)


def slow_distance(source: np.ndarray, frame: np.ndarray) -> float:
    def pose(value: np.ndarray) -> np.ndarray:
        value = value - value.mean(0)
        return value / np.sqrt(ConvexHull(value).volume)

    return float(np.sqrt(((pose(source) - pose(frame)) ** 2).sum()))


def test_distances_are_those_of_the_plain_implementation() -> None:
    sources, frames = points(0, 3), points(1, 7)
    expected = [
        [slow_distance(source, frame) for frame in frames.double().numpy()] for source in sources.double().numpy()
    ]
    torch.testing.assert_close(pose_distance(sources, frames), torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_a_frame_is_closest_to_itself() -> None:
    frames = points(2, 100)
    assert closest_frame(track(frames), Keypoints(frames)).tolist() == list(range(100))
    assert pose_distance(frames, frames).diagonal().max() < 1e-5


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    scale=st.floats(0.05, 20),
    shift=st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
)
def test_place_and_size_of_the_source_do_not_matter(seed: int, scale: float, shift: tuple[float, float]) -> None:
    frames, sources = points(seed, 12).double(), points(seed + 1, 4).double()
    moved = sources * scale + torch.tensor(shift, dtype=torch.float64)
    torch.testing.assert_close(pose_distance(moved, frames), pose_distance(sources, frames), rtol=1e-7, atol=1e-7)
    near = pose_distance(sources, frames).sort(1).values
    chosen = closest_frame(track(frames), Keypoints(sources))
    again = closest_frame(track(frames), Keypoints(moved))
    clear = near[:, 1] - near[:, 0] > 1e-4  # float32 inside: a tie may fall either way
    assert chosen[clear].equal(again[clear])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    scale=st.floats(0.1, 10),
    shift=st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
)
def test_place_and_size_of_the_clip_do_not_matter(seed: int, scale: float, shift: tuple[float, float]) -> None:
    frames, sources = points(seed, 12).double(), points(seed + 1, 4).double()
    moved = frames * scale + torch.tensor(shift, dtype=torch.float64)
    torch.testing.assert_close(pose_distance(sources, moved), pose_distance(sources, frames), rtol=1e-7, atol=1e-7)


def test_a_batch_equals_its_singles() -> None:
    clip, sources = track(points(3, 20)), points(4, 6)
    singles = [closest_frame(clip, Keypoints(source[None])).item() for source in sources]
    assert closest_frame(clip, Keypoints(sources)).tolist() == singles


def test_the_earliest_of_equal_frames_is_chosen() -> None:
    assert closest_frame(track(points(5, 1).repeat(4, 1, 1)), Keypoints(points(6, 2))).tolist() == [0, 0]


def test_sources_of_another_model_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"must be \(B, 8, 2\) like those of track 'a', got \(2, 5, 2\)"):
        closest_frame(track(points(0, 3)), Keypoints(torch.rand(2, 5, 2)))
