from __future__ import annotations

import numpy as np
import pytest
import torch

from fomaug import Keypoints
from fomaug.faces import search as _search
from fomaug.faces.canonical import KEYPOINT_POINTS, mean_mesh, mesh_keypoints
from fomaug.faces.search import instability


def test_points_on_a_face_are_stable(finder) -> None:
    assert instability(finder, finder.marked(30, 34, 60, (128, 128))) < 0.08


@pytest.mark.parametrize("corner", [(3, 3), (64, 66)])
def test_a_face_at_the_edge_of_the_picture_is_a_face(finder, corner: tuple[int, int]) -> None:
    assert instability(finder, finder.marked(*corner, 60, (128, 128))) < 0.08


def test_points_that_do_not_mirror_are_unstable(finder) -> None:
    """The detector returns the same points for every picture, also for the mirror image."""
    face = mesh_keypoints(mean_mesh()[None]).value[0] * 0.5
    finder._find = lambda frame: face + torch.tensor([0.1, 0.0])
    apart = instability(finder, np.zeros((128, 128, 3), np.uint8))
    size = float((face - face.mean(0)).square().sum(-1).mean().sqrt())
    assert apart == pytest.approx(0.2 / size, rel=0.15)


def test_points_that_do_not_follow_the_view_are_unstable(finder) -> None:
    """The detector returns a face in the middle of every picture, although there is none."""
    face = mesh_keypoints(mean_mesh()[None]).value[0]
    finder._find = lambda frame: face
    assert instability(finder, np.zeros((128, 128, 3), np.uint8)) > 0.15


def test_a_mirror_swaps_left_and_right() -> None:
    names, partners = list(KEYPOINT_POINTS), _search._mirror_partners()
    assert [partners[i] for i in partners] == list(range(len(names)))
    assert names[partners[names.index("iris left")]] == "iris right"
    assert names[partners[names.index("chin")]] == "chin"


@pytest.mark.parametrize("side", [1, 2, 7, 64])
def test_pictures_of_any_size_are_measured(finder, side: int) -> None:
    assert instability(finder, np.zeros((side, side, 3), np.uint8)) >= 0


def test_the_size_of_the_face_is_the_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fixed:
        size = 64

        def __init__(self, scale: float, step: float) -> None:
            self.scale, self.step = scale, step

        def detect(self, frames: torch.Tensor) -> Keypoints:
            points = mesh_keypoints(mean_mesh()[None]).value[0] * self.scale
            return Keypoints(torch.stack([points + i * self.step for i in range(len(frames))]))

    monkeypatch.setattr(_search, "_MARGIN", 0.0)
    blank = np.zeros((64, 64, 3), np.uint8)
    assert instability(Fixed(1.0, 0.1), blank) == pytest.approx(instability(Fixed(0.5, 0.05), blank), rel=1e-4)
