from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull

from fomaug import Keypoints, MotionTrack
from fomaug.driving import closest_frame, pose_distance
from fomaug.errors import PoolError, ShapeError
from fomaug.geometry import hull_area, normalise


def track(**changes: object) -> MotionTrack:
    points = torch.rand(5, 6, 2, generator=torch.Generator().manual_seed(0))
    return MotionTrack(**{"name": "a", "keypoints": Keypoints(points), "fps": 25.0, **changes})  # type: ignore[arg-type]


BAD = {
    "no name": ({"name": ""}, "the name is empty"),
    "no frames": ({"keypoints": Keypoints(torch.rand(0, 6, 2))}, r"T and K of at least 1, got \(0, 6, 2\)"),
    "no points": ({"keypoints": Keypoints(torch.rand(5, 0, 2))}, "T and K of at least 1"),
    "flat": ({"keypoints": Keypoints(torch.rand(5, 12))}, r"must be \(T, K, 2\)"),
    "jacobians of other points": (
        {"keypoints": Keypoints(torch.rand(5, 6, 2), torch.rand(5, 7, 2, 2))},
        r"jacobians must be \(5, 6, 2, 2\) like the keypoints, got \(5, 7, 2, 2\)",
    ),
    "nan": ({"keypoints": Keypoints(torch.full((5, 6, 2), torch.nan))}, "must be finite"),
    "points far outside": (
        {"keypoints": Keypoints(torch.cat([torch.rand(4, 6, 2), 20 * torch.rand(1, 6, 2) + 11]))},
        r"keypoints must be within about \[-1, 1\], got \d+.* in frame 4",
    ),
    "huge points": ({"keypoints": Keypoints(torch.rand(5, 6, 2) * 1e20)}, r"keypoints must be within about \[-1, 1\]"),
    "points that coincide": (
        {"keypoints": Keypoints(torch.cat([torch.rand(2, 6, 2), torch.full((1, 6, 2), 0.3), torch.rand(2, 6, 2)]))},
        "the keypoints of frame 2 span no area",
    ),
    "points on one line": ({"keypoints": Keypoints(torch.linspace(0, 1, 6)[None, :, None].expand(5, 6, 2))}, "no area"),
    "singular jacobians": (
        {"keypoints": Keypoints(torch.rand(5, 6, 2), torch.ones(5, 6, 2, 2))},
        "jacobian of keypoint 0 in frame 0 is singular",
    ),
    "no jacobians": ({"keypoints": Keypoints(torch.rand(5, 6, 2), torch.zeros(5, 6, 2, 2))}, "singular"),
    "huge jacobians": (
        {"keypoints": Keypoints(torch.rand(5, 6, 2), 1e6 * torch.eye(2).expand(5, 6, 2, 2))},
        r"entries of jacobians must be within about \[-3, 3\], got 1e\+06 in frame 0",
    ),
    "no time": ({"fps": 0.0}, "fps must be more than 0, got 0"),
    "nan fps": ({"fps": float("nan")}, "fps must be more than 0, got nan"),
    "negative weight": ({"weight": -1.0}, "weight must be 0 or more, got -1"),
}


@pytest.mark.parametrize("case", BAD)
def test_an_invalid_track_is_an_error(case: str) -> None:
    changes, message = BAD[case]
    with pytest.raises(PoolError, match=message):
        track(**changes)


def test_the_track_of_a_head_turned_far_is_accepted() -> None:
    """Determinants of its jacobians may be near 0 or negative."""
    jacobian = torch.eye(2).repeat(5, 6, 1, 1)
    jacobian[0, 0, 0, 0], jacobian[1, 0, 0, 0] = 1e-5, -0.1
    assert len(track(keypoints=Keypoints(torch.rand(5, 6, 2), jacobian))) == 5


def test_poses_are_centred_and_of_unit_area() -> None:
    poses = track().poses
    assert poses.mean(1).abs().max() < 1e-6
    torch.testing.assert_close(hull_area(poses), torch.ones(5))


def test_many_frames_are_normalised_as_single_ones() -> None:
    points = torch.rand(150, 6, 2, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(normalise(points), torch.cat([normalise(row[None]) for row in points]))


def test_points_on_one_line_have_finite_results() -> None:
    assert normalise(torch.linspace(0, 1, 6)[None, :, None].expand(1, 6, 2)).isfinite().all()


def test_motion_range_is_the_largest_extent_of_a_point_in_widths() -> None:
    still = torch.rand(1, 3, 2).repeat(3, 1, 1)
    assert track(keypoints=Keypoints(still)).motion_range == 0
    still[1, 0, 0] += 0.5
    assert track(keypoints=Keypoints(still)).motion_range == pytest.approx(0.25)


def test_tracks_can_be_pickled() -> None:
    one = track(label="nod", crop=(0, 0, 4, 4))
    copy = pickle.loads(pickle.dumps(one))
    assert copy.keypoints.value.equal(one.keypoints.value)
    assert (copy.name, copy.label, copy.crop) == ("a", "nod", (0, 0, 4, 4))
    assert repr(copy) == "MotionTrack('a', 5 frames, 25 fps, label='nod')"


def points(seed: int, count: int) -> torch.Tensor:
    return torch.rand(count, 8, 2, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def track_of(frames: torch.Tensor) -> MotionTrack:
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
    assert closest_frame(track_of(frames), Keypoints(frames)).tolist() == list(range(100))
    assert pose_distance(frames, frames).diagonal().max() < 1e-5


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    scale=st.floats(0.05, 20),
    shift=st.tuples(st.floats(-5, 5), st.floats(-5, 5)),
)
def test_distances_ignore_position_and_size_of_the_source(seed: int, scale: float, shift: tuple[float, float]) -> None:
    frames, sources = points(seed, 12).double(), points(seed + 1, 4).double()
    moved = sources * scale + torch.tensor(shift, dtype=torch.float64)
    torch.testing.assert_close(pose_distance(moved, frames), pose_distance(sources, frames), rtol=1e-7, atol=1e-7)
    near = pose_distance(sources, frames).sort(1).values
    chosen = closest_frame(track_of(frames), Keypoints(sources))
    again = closest_frame(track_of(frames), Keypoints(moved))
    clear = near[:, 1] - near[:, 0] > 1e-4  # computed in float32, so either of two equal frames may be chosen
    assert chosen[clear].equal(again[clear])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    scale=st.floats(0.1, 10),
    shift=st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
)
def test_distances_ignore_position_and_size_of_the_clip(seed: int, scale: float, shift: tuple[float, float]) -> None:
    frames, sources = points(seed, 12).double(), points(seed + 1, 4).double()
    moved = frames * scale + torch.tensor(shift, dtype=torch.float64)
    torch.testing.assert_close(pose_distance(sources, moved), pose_distance(sources, frames), rtol=1e-7, atol=1e-7)


def test_a_batch_equals_its_singles() -> None:
    clip, sources = track_of(points(3, 20)), points(4, 6)
    singles = [closest_frame(clip, Keypoints(source[None])).item() for source in sources]
    assert closest_frame(clip, Keypoints(sources)).tolist() == singles


def test_the_earliest_of_equal_frames_is_chosen() -> None:
    assert closest_frame(track_of(points(5, 1).repeat(4, 1, 1)), Keypoints(points(6, 2))).tolist() == [0, 0]


def test_sources_of_another_model_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"must be \(B, 8, 2\) like those of track 'a', got \(2, 5, 2\)"):
        closest_frame(track_of(points(0, 3)), Keypoints(torch.rand(2, 5, 2)))
