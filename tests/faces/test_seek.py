from __future__ import annotations

import numpy as np
import pytest
import torch

from fomaug.faces import seek as _seek
from fomaug.faces.canonical import mean_mesh, mesh_keypoints
from fomaug.faces.seek import FaceSeeker

FACE = mesh_keypoints(mean_mesh()[None]).value


@pytest.mark.parametrize(("left", "top", "side"), [(150, 60, 40), (10, 5, 60), (250, 150, 45), (60, 20, 160)])
def test_the_face_is_found_wherever_it_is(left: int, top: int, side: int, finder) -> None:
    [box] = FaceSeeker(finder)(finder.marked(left, top, side))
    assert (box[1] + box[3]) / 2 == pytest.approx(top + side / 2, abs=0.05 * side)
    assert (box[0] + box[2]) / 2 == pytest.approx(left + side / 2, abs=0.05 * side)
    assert box[3] - box[1] == pytest.approx(side, rel=0.08)


def test_a_small_face_in_a_large_picture_is_found(finder) -> None:
    [box] = FaceSeeker(finder)(finder.marked(700, 300, 150, (720, 1280)))
    assert (box[0] + box[2]) / 2 == pytest.approx(775, abs=5)
    assert (box[1] + box[3]) / 2 == pytest.approx(375, abs=5)


def test_where_the_face_was_it_is_looked_for_first(finder) -> None:
    seeker = FaceSeeker(finder)
    seeker(finder.marked(150, 60, 40))
    first, finder.frames = finder.frames, 0
    assert seeker(finder.marked(154, 62, 40))
    assert finder.frames <= 8 < first
    [box] = seeker(finder.marked(20, 140, 40))
    assert (box[0] + box[2]) / 2 == pytest.approx(40, abs=2)


def test_what_does_not_stay_when_looked_at_closer_is_no_face(finder) -> None:
    seeker = FaceSeeker(finder)
    finder._find = lambda frame: FACE[0] * 0.5  # half as large in every view
    assert seeker(np.zeros((200, 300, 3), np.uint8)) == []


def test_what_does_not_lie_like_a_face_is_no_face(finder) -> None:
    assert FaceSeeker(finder)(np.zeros((200, 300, 3), np.uint8)) == []
    assert _seek._oddness(FACE * 0.3 + 0.2) == pytest.approx([0.0], abs=1e-5)
    assert _seek._oddness(torch.rand(FACE.shape, generator=torch.Generator().manual_seed(0)))[0] > 0.3


@pytest.mark.parametrize("size", [(64, 64), (90, 160), (400, 100), (7, 5)])
def test_the_squares_cover_the_frame(size: tuple[int, int]) -> None:
    windows = list(_seek._windows(*size))
    for share in (1.0, *_seek._WINDOWS):
        seen = np.zeros(size, bool)
        for left, top, right, bottom in windows:
            assert right - left == bottom - top
            if right - left == max(1, round(share * min(size))):
                seen[top:bottom, left:right] = True
        assert seen.all()
    assert len(windows) < 150


def test_overlap_is_intersection_over_union() -> None:
    assert _seek.overlap((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert _seek.overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert _seek.overlap((0, 0, 2, 2), (5, 5, 6, 6)) == 0
    assert _seek.overlap((0, 0, 2, 2), (5, 0, 6, 2)) == 0
