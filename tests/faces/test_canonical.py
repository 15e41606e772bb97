"""The canonical face and its keypoints."""

from __future__ import annotations

import pytest
import torch

from fomaug.driving.synthetic.expressions import expression_fields
from fomaug.faces.canonical import KEYPOINT_POINTS, mean_mesh, mesh_keypoints, mirror_order, rotation


def test_mean_face_is_its_own_mirror_image() -> None:
    mean = mean_mesh()
    mirrored = mean[mirror_order()] * torch.tensor([-1.0, 1.0, 1.0])
    assert torch.allclose(mirrored, mean, atol=2e-3)


def test_mirroring_twice_is_the_identity() -> None:
    order = mirror_order()
    assert torch.equal(order[order], torch.arange(478))


def test_nose_is_nearest_and_the_chin_is_below_the_forehead() -> None:
    mean = mean_mesh()
    assert mean[:, 2].argmin() in (1, 4)
    assert mean[152, 1] > mean[10, 1]


def test_jacobians_of_the_mean_face_are_the_identity() -> None:
    keypoints = mesh_keypoints(mean_mesh()[None])
    assert torch.allclose(keypoints.jacobian, torch.eye(2).expand(1, len(KEYPOINT_POINTS), 2, 2), atol=1e-4)


def test_keypoints_are_the_means_of_their_mesh_points() -> None:
    mesh = torch.randn(2, 478, 3, generator=torch.Generator().manual_seed(0))
    value = mesh_keypoints(mesh).value
    for row, points in enumerate(KEYPOINT_POINTS.values()):
        assert torch.allclose(value[:, row], mesh[:, list(points), :2].mean(1), atol=1e-5)


def test_an_affine_map_of_the_picture_multiplies_the_jacobians() -> None:
    matrix = torch.tensor([[1.2, 0.3], [-0.1, 0.8]])
    mesh = mean_mesh()[None, :, :2]
    moved = mesh_keypoints(mesh @ matrix.T + 0.2)
    assert torch.allclose(moved.jacobian, matrix.expand_as(moved.jacobian), atol=1e-3)
    assert torch.allclose(moved.value, mesh_keypoints(mesh).value @ matrix.T + 0.2, atol=1e-5)


def test_rotations_are_orthogonal_and_roll_composes() -> None:
    a, b, zero = torch.tensor([0.3]), torch.tensor([0.4]), torch.zeros(1)
    turn = rotation(a, b, zero)
    assert torch.allclose(turn @ turn.transpose(1, 2), torch.eye(3)[None], atol=1e-6)
    assert torch.allclose(rotation(zero, zero, a) @ rotation(zero, zero, b), rotation(zero, zero, a + b), atol=1e-6)


@pytest.mark.parametrize(("name", "axis"), [("smile", 1), ("jaw", 1), ("brows", 1), ("pout", 0), ("frown", 1)])
def test_symmetric_expressions_move_both_sides_alike(name: str, axis: int) -> None:
    field = expression_fields()[name]
    sign = torch.tensor([-1.0, 1.0, 1.0])
    assert torch.allclose(field[mirror_order()] * sign, field, atol=3e-3)
    assert field[:, axis].abs().max() > 0.02


def test_a_full_blink_closes_the_eye_and_leaves_the_other() -> None:
    closed = mean_mesh() + expression_fields()["blink right"]
    assert (closed[145] - closed[159]).norm() < 1e-4
    assert torch.equal(closed[[374, 386]], mean_mesh()[[374, 386]])


def test_jaw_opens_the_mouth() -> None:
    opened = mean_mesh() + 0.5 * expression_fields()["jaw"]
    assert opened[14, 1] - opened[13, 1] > (mean_mesh()[14, 1] - mean_mesh()[13, 1]) + 0.05
