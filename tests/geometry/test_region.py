from __future__ import annotations

import pytest
import torch

from fomaug.errors import ArgumentError
from fomaug.geometry import check_region, confine
from fomaug.types import Keypoints

NAMES = ("eye outer left", "brow left", "mouth corner left", "lip lower", "nose tip", "chin", "ear left", "ear right")
EYES, MOUTH, HEAD = [0, 1], [2, 3], [4, 5, 6, 7]


@pytest.fixture
def source() -> Keypoints:
    generator = torch.Generator().manual_seed(0)
    value = torch.rand(3, 8, 2, generator=generator, dtype=torch.float64) - 0.5
    return Keypoints(value, torch.eye(2, dtype=torch.float64).expand(3, 8, 2, 2))


def turn(points: Keypoints) -> Keypoints:
    """Move the whole face by one affine map, as by a motion of the head alone."""
    linear = torch.tensor([[0.9, 0.1], [-0.1, 1.05]], dtype=torch.float64)
    return Keypoints(points.value @ linear.mT + 0.1, linear @ points.jacobian)


def speak(points: Keypoints) -> Keypoints:
    value, jacobian = points.value.clone(), points.jacobian.clone()
    value[:, MOUTH, 1] += 0.05
    jacobian[:, MOUTH, 1, 1] = 1.3
    return Keypoints(value, jacobian)


@pytest.mark.parametrize("region", ["mouth", "eyes", "expression"])
def test_a_motion_of_the_head_alone_is_no_motion_of_a_feature(source, region):
    kept = confine(source, turn(source), region, NAMES)
    # The ridge of the fit leaves a trace.
    torch.testing.assert_close(kept.value, source.value, atol=1e-4, rtol=0)
    torch.testing.assert_close(kept.jacobian, source.jacobian, atol=1e-3, rtol=0)


def test_head_keeps_a_motion_of_the_head_alone(source):
    moved = turn(source)
    kept = confine(source, moved, "head", NAMES)
    torch.testing.assert_close(kept.value, moved.value, atol=1e-4, rtol=0)
    torch.testing.assert_close(kept.jacobian, moved.jacobian, atol=1e-3, rtol=0)


@pytest.mark.parametrize("region", ["mouth", "expression"])
def test_region_mouth_moves_the_mouth_alone(source, region):
    kept = confine(source, speak(source), region, NAMES)
    torch.testing.assert_close(kept.value, speak(source).value, atol=1e-4, rtol=0)
    torch.testing.assert_close(kept.jacobian, speak(source).jacobian, atol=1e-3, rtol=0)


def test_region_eyes_does_not_move_the_mouth(source):
    kept = confine(source, turn(speak(source)), "eyes", NAMES)
    assert torch.equal(kept.value[:, MOUTH + HEAD], source.value[:, MOUTH + HEAD])


def test_region_head_does_not_move_the_mouth(source):
    kept = confine(source, turn(speak(source)), "head", NAMES)
    torch.testing.assert_close(kept.value, turn(source).value, atol=1e-4, rtol=0)


def test_all_is_the_motion_itself(source):
    moved = turn(source)
    assert confine(source, moved, "all", ()) is moved


def test_a_model_without_keypoint_names_has_no_regions():
    check_region("all", ())
    with pytest.raises(ArgumentError, match="region='mouth' needs a model that names its keypoints"):
        check_region("mouth", ())


def test_an_unknown_region_is_named_with_the_nearest():
    with pytest.raises(ArgumentError, match="did you mean 'mouth'"):
        check_region("mouht", NAMES)


@pytest.mark.parametrize("region", ["head", "mouth", "eyes", "expression"])
def test_one_source_serves_all_frames(source, region):
    moved = turn(speak(source))
    together = confine(source[0], moved, region, NAMES)
    alone = Keypoints.cat([confine(source[0], moved[i], region, NAMES) for i in range(3)])
    torch.testing.assert_close(together.value, alone.value)
    torch.testing.assert_close(together.jacobian, alone.jacobian)
