"""Motion of the canonical face."""

from __future__ import annotations

import pytest
import torch

from fomaug.driving.synthetic import EXPRESSIONS, gesture_tracks, parametric_tracks
from fomaug.driving.synthetic.tracks import face_keypoints
from fomaug.driving.synthetic.views import view_tracks
from fomaug.errors import ArgumentError
from fomaug.faces.canonical import KEYPOINT_POINTS, mean_mesh, mesh_keypoints

_NAMES = list(KEYPOINT_POINTS)


def _mirrored_rows() -> list[int]:
    def other(name: str) -> str:
        if name.endswith("right"):
            return name[:-5] + "left"
        return name[:-4] + "right" if name.endswith("left") else name

    return [_NAMES.index(other(name)) for name in _NAMES]


def test_angles_of_zero_are_the_mean_face() -> None:
    still = face_keypoints(yaw=torch.zeros(3))
    neutral = mesh_keypoints(mean_mesh()[None])
    assert torch.allclose(still.value, neutral.value.expand(3, -1, -1), atol=1e-6)


@pytest.mark.parametrize("angle", [10.0, 35.0])
def test_a_mirrored_yaw_mirrors_the_keypoints(angle: float) -> None:
    right, left = face_keypoints(yaw=torch.tensor([angle])), face_keypoints(yaw=torch.tensor([-angle]))
    mirrored = right.value[:, _mirrored_rows()] * torch.tensor([-1.0, 1.0])
    assert torch.allclose(mirrored, left.value, atol=3e-3)


def test_a_positive_yaw_moves_the_nose_to_the_viewers_left_and_a_positive_pitch_down() -> None:
    nose = _NAMES.index("nose tip")
    bridge = _NAMES.index("ear right")
    yaw, pitch = face_keypoints(yaw=torch.tensor([0.0, 20.0])), face_keypoints(pitch=torch.tensor([0.0, 15.0]))
    assert yaw.value[1, nose, 0] < yaw.value[0, nose, 0]
    rise = pitch.value[:, nose, 1] - pitch.value[:, bridge, 1]
    assert rise[1] > rise[0]


def test_roll_turns_every_jacobian() -> None:
    rolled = face_keypoints(roll=torch.tensor([30.0]))
    c, s = torch.tensor(30.0).deg2rad().cos(), torch.tensor(30.0).deg2rad().sin()
    expected = torch.stack([torch.stack([c, -s]), torch.stack([s, c])])
    assert torch.allclose(rolled.jacobian, expected.expand_as(rolled.jacobian), atol=1e-3)


def test_tracks_start_neutral_and_divide_the_count() -> None:
    tracks = parametric_tracks(expressions=("neutral", "smile", "blink"), count=30)
    neutral = face_keypoints().value[0]
    assert [track.label for track in tracks] == ["neutral", "smile", "blink"]
    assert [len(track.keypoints) for track in tracks] == [11, 11, 11]
    assert all(torch.allclose(track.keypoints.value[0], neutral, atol=1e-6) for track in tracks)


def test_poses_depend_on_the_seed() -> None:
    first, again, other = (parametric_tracks(count=12, seed=seed)[0].keypoints.value for seed in (5, 5, 6))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_yaws_cover_the_whole_range() -> None:
    nose = _NAMES.index("nose tip")
    still = {"pitch_range": (0.0, 0.0), "roll_range": (0.0, 0.0)}
    track = parametric_tracks(yaw_range=(-30, 30), expressions=("neutral",), count=60, **still)[0]
    ends = face_keypoints(yaw=torch.tensor([30.0, -30.0])).value[:, nose, 0]
    found = track.keypoints.value[:, nose, 0]
    assert torch.allclose(torch.stack([found.min(), found.max()]), ends, atol=0.01)


def test_unknown_expressions_and_swapped_ranges_are_refused() -> None:
    with pytest.raises(ArgumentError, match=r"got 'smlie'.*did you mean 'smile'"):
        parametric_tracks(expressions=("smlie",))
    for tracks in (parametric_tracks, view_tracks):
        with pytest.raises(ArgumentError, match=r"expressions must be a list of names, got 'smile'; give \['smile'\]"):
            tracks(expressions="smile")
    with pytest.raises(ArgumentError, match=r"yaw_range must be .*got \(20, -20\)"):
        parametric_tracks(yaw_range=(20, -20))


def test_every_expression_but_neutral_moves_points() -> None:
    for name in EXPRESSIONS:
        flat = {"yaw_range": (0.0, 0.0), "pitch_range": (0.0, 0.0), "roll_range": (0.0, 0.0)}
        track = parametric_tracks(expressions=(name,), count=4, **flat)[0]
        moved = (track.keypoints.value[1:] - track.keypoints.value[:1]).norm(dim=-1).amax()
        assert (moved > 0.01) == (name != "neutral"), name


def test_gestures_are_many_smooth_and_return_to_neutral() -> None:
    tracks = gesture_tracks()
    assert len({track.name for track in tracks}) == len(tracks) >= 12
    neutral = face_keypoints().value[0]
    for track in tracks:
        value = track.keypoints.value
        assert 2 <= len(value) / track.fps <= 4, track.name
        assert torch.allclose(value[0], neutral, atol=1e-5), track.name
        assert torch.allclose(value[-1], neutral, atol=1e-5), track.name
        assert (value[1:] - value[:-1]).norm(dim=-1).max() < 0.06, track.name
        assert (value - value[:1]).norm(dim=-1).max() > 0.03, track.name
