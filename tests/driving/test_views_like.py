"""The views that the pictures of a dataset show."""

from __future__ import annotations

import pytest
import torch

from fomaug.driving import views_like
from fomaug.errors import ArgumentError


def poses(yaws: list[float], pitches: list[float]) -> torch.Tensor:
    return torch.tensor([[yaw, pitch, 0.0] for yaw, pitch in zip(yaws, pitches, strict=True)])


@pytest.mark.parametrize(
    ("yaws", "pitches", "expected"),
    [
        ([0, 0, 0], [0, 0, 0], "views yaw=-20:20:10 pitch=-10,0,10"),
        ([-30, 30, 29], [0, 0, 0], "views yaw=-40:40:20 pitch=-10,0,10"),
        ([-30, -30, -30], [0, 0, 0], "views yaw=-40:40:20 pitch=-10,0,10"),  # both sides, whatever side is shown
        ([70, -70, 70], [0, 0, 0], "views yaw=-60:60:30 pitch=-10,0,10"),
        ([0, 0, 0], [15, 15, 15], "views yaw=-20:20:10 pitch=-10,0,10"),  # the camera looks down
        ([0, 0, 0], [-20, 0, 20], "views yaw=-20:20:10 pitch=-20,0,20"),
    ],
)
def test_views_cover_the_poses(yaws: list[float], pitches: list[float], expected: str) -> None:
    assert views_like(poses(yaws, pitches)) == expected


def test_a_few_wrong_estimates_do_not_matter() -> None:
    usual = poses([0.0] * 19, [0.0] * 19)
    wrong = torch.tensor([[70.0, 40.0, 0.0], [float("nan")] * 3])
    assert views_like(torch.cat([usual, wrong])) == views_like(usual)


def test_no_pose_is_an_error() -> None:
    with pytest.raises(ArgumentError, match="no picture has a face"):
        views_like(torch.zeros(0, 3))
