from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from fomaug import Keypoints, transfer
from fomaug.driving import neutral_like
from fomaug.driving.synthetic.tracks import face_keypoints
from fomaug.faces.canonical import KEYPOINT_POINTS

MODEL = SimpleNamespace(keypoint_names=tuple(KEYPOINT_POINTS))
OTHER = SimpleNamespace(keypoint_names=())


def placed(points: Keypoints, scale: float, shift: float) -> Keypoints:
    return Keypoints(points.value * scale + shift, points.jacobian * scale)


def angle(degrees: float) -> torch.Tensor:
    return torch.tensor([degrees])


@pytest.mark.parametrize(("yaw", "pitch", "roll"), [(0, 0, 0), (21, 0, 0), (-30, 9, 0), (12, -12, 15)])
def test_a_picture_of_the_same_pose_is_no_motion(yaw: float, pitch: float, roll: float) -> None:
    """A mean face in the source's pose reproduces the source, at any position and size."""
    source = face_keypoints(yaw=angle(yaw), pitch=angle(pitch), roll=angle(roll))
    driving = placed(source, 0.7, 0.2)
    moved = transfer(source, driving, neutral_like(source, driving, MODEL))
    torch.testing.assert_close(moved.value, source.value, atol=0.01, rtol=0)
    torch.testing.assert_close(moved.jacobian, source.jacobian, atol=0.05, rtol=0)


def test_the_driving_pose_replaces_the_source_pose() -> None:
    source, driving = face_keypoints(yaw=angle(12)), face_keypoints(yaw=angle(24))
    moved = transfer(source, driving, neutral_like(source, driving, MODEL)).value
    away = []
    for yaw in (12, 24, 36):
        pose = face_keypoints(yaw=angle(yaw)).value
        away.append(float((moved - moved.mean(1) - pose + pose.mean(1)).norm()))
    assert away[1] < min(away[0], away[2]) / 2


def test_an_expression_of_the_driving_face_is_transferred() -> None:
    source = face_keypoints(yaw=angle(9))
    driving = placed(face_keypoints(yaw=angle(9), strengths={"jaw": torch.tensor([0.5])}), 1.3, -0.1)
    moved = transfer(source, driving, neutral_like(source, driving, MODEL))
    names = list(KEYPOINT_POINTS)
    upper, lower = names.index("lip upper inner"), names.index("lip lower inner")
    assert float(moved.value[0, lower, 1] - moved.value[0, upper, 1]) > 0.05
    assert float(source.value[0, lower, 1] - source.value[0, upper, 1]) < 0.02


def test_other_models_copy_the_driving_shape_at_their_own_position() -> None:
    generator = torch.Generator().manual_seed(0)
    source = Keypoints(torch.rand(1, 5, 2, generator=generator), torch.eye(2).expand(1, 5, 2, 2))
    driving = placed(Keypoints(torch.rand(1, 5, 2, generator=generator), torch.eye(2).expand(1, 5, 2, 2)), 0.5, 0.1)
    moved = transfer(source, driving, neutral_like(source, driving, OTHER)).value
    torch.testing.assert_close(moved.mean(1), source.value.mean(1), atol=1e-5, rtol=0)
    ratio = (moved - moved.mean(1)) / (driving.value - driving.value.mean(1))
    torch.testing.assert_close(ratio, ratio[:1, :1, :1].expand_as(ratio), atol=1e-3, rtol=1e-3)


def test_points_without_jacobians_are_enough() -> None:
    source = Keypoints(face_keypoints().value)
    assert neutral_like(source, source, MODEL).jacobian is None
