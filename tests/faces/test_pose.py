"""Head poses: the mean face is fitted exactly, its pose is calibrated, and each row depends only on its own points."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from fomaug import Keypoints
from fomaug.driving.synthetic import expression_offset
from fomaug.driving.synthetic.tracks import face_keypoints
from fomaug.errors import PoolError
from fomaug.faces import (
    KEYPOINT_POINTS,
    fit_mean_face,
    head_angles,
    head_pose,
    mean_face_angles,
    pose_of_points,
    posed_face,
)

WIDEST = torch.tensor([65.0, 35.0, 40.0])


@pytest.fixture
def angles() -> torch.Tensor:
    return (2 * torch.rand(40, 3) - 1) * WIDEST


def test_the_posed_face_is_that_of_the_mesh(angles: torch.Tensor) -> None:
    mesh = face_keypoints(yaw=angles[:, 0], pitch=angles[:, 1], roll=angles[:, 2])
    found = posed_face(angles)
    torch.testing.assert_close(found.value, mesh.value, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.jacobian, mesh.jacobian, atol=1e-4, rtol=0)


def test_an_expression_is_that_of_the_mesh(angles: torch.Tensor) -> None:
    strength = torch.full((len(angles),), 0.5)
    mesh = face_keypoints(yaw=angles[:, 0], pitch=angles[:, 1], roll=angles[:, 2], strengths={"pout": strength})
    found = posed_face(angles, 0.5 * expression_offset("pout"))
    torch.testing.assert_close(found.value, mesh.value, atol=1e-5, rtol=0)


def test_the_pose_is_read_back_at_any_place_and_size(angles: torch.Tensor) -> None:
    value = 0.6 * posed_face(angles).value + torch.tensor([0.2, -0.1])
    torch.testing.assert_close(fit_mean_face(value), angles, atol=0.05, rtol=0)


def test_heads_and_mean_faces_are_converted_both_ways(angles: torch.Tensor) -> None:
    torch.testing.assert_close(head_angles(mean_face_angles(angles)), angles, atol=1e-4, rtol=0)
    torch.testing.assert_close(mean_face_angles(head_angles(angles)), angles, atol=1e-4, rtol=0)
    value = posed_face(mean_face_angles(angles)).value
    torch.testing.assert_close(pose_of_points(value), angles, atol=0.15, rtol=0)


def test_a_mirrored_head_has_the_mirrored_pose(angles: torch.Tensor) -> None:
    sides = torch.tensor([-1.0, 1.0, -1.0])
    torch.testing.assert_close(head_angles(angles * sides), head_angles(angles) * sides)
    torch.testing.assert_close(mean_face_angles(angles * sides), mean_face_angles(angles) * sides)


def test_larger_yaws_of_the_mean_face_are_larger_yaws_of_the_head() -> None:
    yaw = torch.arange(-85.0, 86.0, 0.5)
    found = head_angles(torch.stack([yaw, 0 * yaw, 0 * yaw], 1))[:, 0]
    assert (found.diff() > 0).sum() >= len(yaw) - 20, "only the last ones are limited"
    assert found.abs().max() <= 85


def test_expressions_hardly_change_the_pose(angles: torch.Tensor) -> None:
    for name in ("smile", "talk", "surprise", "blink", "look left"):
        found = fit_mean_face(posed_face(angles, expression_offset(name)).value)
        assert (found - angles).abs().mean(0).max() < 3, name


def test_a_batch_equals_its_singles(angles: torch.Tensor) -> None:
    value = posed_face(angles).value + 0.01 * torch.randn(40, 28, 2)
    together = pose_of_points(value)
    for row in range(len(value)):
        assert torch.equal(pose_of_points(value[row : row + 1])[0], together[row])


def test_other_models_have_no_head_pose() -> None:
    model = SimpleNamespace(keypoint_names=(), name="tiny")
    with pytest.raises(PoolError, match=r"known points of the face.*'tiny' have no names"):
        head_pose(Keypoints(torch.zeros(1, 4, 2)), model)  # type: ignore[arg-type]
    model.keypoint_names = tuple(KEYPOINT_POINTS)
    level = posed_face(mean_face_angles(torch.zeros(2, 3)))
    assert head_pose(level, model).abs().max() < 0.1  # type: ignore[arg-type]
