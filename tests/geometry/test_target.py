from __future__ import annotations

import math

import pytest
import torch

from fomaug.geometry import showable_share, take_share
from fomaug.types import Keypoints

NAMES = ["iris right", "forehead", "chin", "nose bridge", "nose tip", "ear right", "ear left"]
# A head in three dimensions: x to the person's left, y down, z away from the viewer.
HEAD = torch.tensor(
    [[-0.3, -0.3, 0.1], [0.0, -0.9, 0.1], [0.0, 0.9, 0.1], [0, -0.2, 0], [0, 0.2, -0.1], [-0.7, 0, 0.6], [0.7, 0, 0.6]]
)


def turned(*degrees: float, size: float = 0.5, roll: float = 0.0) -> Keypoints:
    angle = torch.tensor(degrees) * math.pi / 180
    c, s, zero = angle.cos(), angle.sin(), torch.zeros(len(degrees))
    yaw = torch.stack([torch.stack([c, zero, -s], -1), torch.stack([zero, zero + 1, zero], -1)], 1)  # (B, 2, 3)
    c, s = math.cos(roll), math.sin(roll)
    return Keypoints(size * (HEAD @ yaw.mT) @ torch.tensor([[c, s], [-s, c]]) + 0.1)


def test_a_frontal_head_may_turn_either_way():
    moved = turned(-60, -30, -5, 0, 5, 30, 60)
    assert torch.equal(showable_share(turned(0), moved, NAMES), torch.ones(7))


def test_a_turned_head_may_turn_on_but_only_part_of_the_way_back():
    share = showable_share(turned(35, -35), turned(55, -55), NAMES)
    assert torch.equal(share, torch.ones(2))
    back = showable_share(turned(35, -35), turned(-20, 20), NAMES)
    assert (back < 0.5).all()
    assert back[0] == pytest.approx(float(back[1]), abs=1e-5)


def test_the_share_is_where_the_far_side_has_grown_by_half():
    source, moved = turned(30), turned(-30)
    there = take_share(source, moved, showable_share(source, moved, NAMES))
    far = NAMES.index("ear left"), NAMES.index("ear right")
    widths = [(points.value[0, far, 0] - points.value[0, [3, 4], 0].mean()).abs() for points in (source, there, moved)]
    grown = [max((width / widths[0]).tolist()) for width in widths]
    assert grown[2] > 2
    assert grown[1] == pytest.approx(1.5, abs=0.01)


def test_position_size_and_roll_do_not_matter():
    plain = showable_share(turned(30), turned(-10), NAMES)
    other = showable_share(turned(30, size=0.2, roll=0.4), turned(-10, size=0.8, roll=-0.3), NAMES)
    assert plain < 1
    torch.testing.assert_close(plain, other)


def test_a_profile_still_moves():
    share = showable_share(turned(80), turned(20), NAMES)
    assert 0.05 < share < 0.5


def test_without_keypoint_names_the_share_is_1():
    assert torch.equal(showable_share(turned(35), turned(-20), ()), torch.ones(1))
