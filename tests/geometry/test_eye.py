"""Eyes: the motion of lids and irises, and the parts that never move."""

from __future__ import annotations

import pytest
import torch

from fomaug.geometry import identity_grid
from fomaug.geometry.eye import EyePoints, Eyes, coordinates, eyes_box, read_eyes, set_eyes, take_out_eyes
from fomaug.types import Keypoints

POINTS = EyePoints(((0, 1, 2, 3, 4), (5, 6, 7, 8, 9)), 10)
GRID = coordinates(256, torch.device("cpu"), torch.float32)
TURN = torch.tensor([[0.9, -0.3], [0.25, 1.1]])


def _face(upper: float, lower: float, gaze: tuple[float, float] = (0.0, 0.0), turn: torch.Tensor = TURN) -> Keypoints:
    """Make two mirrored eyes and the bridge of the nose; lids and gaze are in half widths of an eye."""
    outer, inner = torch.tensor([-0.3, -0.2]), torch.tensor([-0.12, -0.2])
    middle, half = (outer + inner) / 2, 0.09
    right = [outer, inner] + [middle + half * torch.tensor(at) for at in ((0.0, upper), (0.0, lower), gaze)]
    left = [point * torch.tensor([-1.0, 1.0]) for point in right]
    value = torch.stack([*right, *left, torch.tensor([0.0, -0.2])]) @ turn.T + 0.1
    return Keypoints(value[None], turn.expand(1, 11, 2, 2))


def _set(source: Keypoints, driving: Keypoints) -> tuple[torch.Tensor, torch.Tensor]:
    return set_eyes(read_eyes(source, POINTS), read_eyes(driving, POINTS), GRID)


def _at(grid: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Sample coordinates (1, S, S, 2) at points (M, 2)."""
    read = torch.nn.functional.grid_sample(grid.permute(0, 3, 1, 2), where[None, None], align_corners=True)
    return read[0, :, 0].T


def test_the_state_of_an_eye_is_read_in_its_own_frame() -> None:
    eyes = read_eyes(_face(-0.4, 0.2, (0.1, -0.1)), POINTS)
    assert torch.allclose(eyes.lids, torch.tensor([-0.4, 0.2]).expand(1, 2, 2), atol=1e-5)
    assert torch.allclose(eyes.iris, torch.tensor([0.1, -0.1]).expand(1, 2, 2), atol=1e-5)


def test_eyes_without_motion_have_the_identity_flow() -> None:
    face = _face(-0.4, 0.2, (0.2, 0.05))
    grid, signs = _set(face, face)
    assert torch.allclose(grid, identity_grid((256, 256))[None], atol=1e-5)
    assert signs[:, 1].max() < 1e-4, "nothing is hidden"
    assert signs[:, 0].sum() > 100, "the eyes are open"


@pytest.mark.parametrize(("upper", "lower"), [(0.1, 0.12), (-0.1, 0.15), (-0.6, 0.3)])
def test_lids_show_the_lids_of_the_source(upper: float, lower: float) -> None:
    source, driving = _face(-0.4, 0.2), _face(upper, lower)
    grid, _ = _set(source, driving)
    down = 0.02 * TURN[:, 1]  # just outside of the lid, where skin is; there it moves by three quarters and more
    for lid, away in ((2, -down), (3, down)):
        found = _at(grid, driving.value[0, lid : lid + 1] + away)
        drift = (found - (source.value[0, lid] + away)).norm()
        assert drift < 0.28 * (driving.value[0, lid] - source.value[0, lid]).norm() + 1e-3


def test_the_iris_moves_with_its_keypoint() -> None:
    source, driving = _face(-0.5, 0.4, (0.0, 0.0)), _face(-0.5, 0.4, (0.3, 0.1))
    grid, signs = _set(source, driving)
    for iris in (4, 9):
        assert torch.allclose(_at(grid, driving.value[:, iris])[0], source.value[0, iris], atol=2e-3)
        assert _at(signs.permute(0, 2, 3, 1)[..., 1:], driving.value[:, iris])[0, 1] > 0.9


def test_corners_brows_and_other_points_do_not_move() -> None:
    source, driving = _face(-0.4, 0.2), _face(0.1, 0.1, (0.2, 0.0))
    grid, _ = _set(source, driving)
    corners = driving.value[0, [0, 1, 5, 6]]
    brows = (corners[::2] + corners[1::2]) / 2 - 1.6 * 0.09 * TURN[:, 1]
    at = torch.cat([corners, brows, torch.tensor([[0.0, 0.5], [-0.9, -0.9]])])
    assert torch.allclose(_at(grid, at), at, atol=4e-3)


def test_pixels_that_the_lids_of_the_source_hide_are_marked() -> None:
    _, closing = _set(_face(-0.4, 0.2), _face(0.0, 0.1))
    _, opening = _set(_face(0.1, 0.12), _face(-0.4, 0.2))
    assert closing[:, 1].max() < 0.05
    assert opening[:, 1].max() > 0.9


def test_the_box_contains_all_moved_cells() -> None:
    source, driving = _face(-0.4, 0.2), _face(0.2, 0.25, (-0.4, 0.1))
    grid, _ = _set(source, driving)
    moved = (grid - identity_grid((256, 256))).norm(dim=-1)[0] > 1e-6
    rows, columns = eyes_box(read_eyes(driving, POINTS), 256)
    assert moved[rows, columns].sum() == moved.sum() > 100
    assert (rows.stop - rows.start) * (columns.stop - columns.start) < 256 * 256 / 4


def test_still_eyes_are_the_sources_in_the_driving_pose() -> None:
    source, driving = (
        _face(-0.4, 0.2, (0.1, 0.0)),
        _face(0.1, 0.15, (-0.3, 0.1), torch.tensor([[1.2, 0.2], [-0.1, 0.8]])),
    )
    still, *eyes = take_out_eyes(source, driving, POINTS)
    old, new, pose = (read_eyes(face, POINTS) for face in (source, still, driving))
    for found, expected in zip(eyes, (old, pose), strict=True):
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, expected, strict=True))
    for found, expected in ((new.lids, old.lids), (new.iris, old.iris)):
        assert torch.allclose(found, expected, atol=1e-4)
    assert torch.equal(new.centre, pose.centre) and torch.equal(new.axes, pose.axes)
    assert torch.equal(still.value[:, [0, 1, 5, 6, 10]], driving.value[:, [0, 1, 5, 6, 10]])


def test_eyes_seen_from_far_aside_and_those_without_an_extent_do_nothing() -> None:
    narrow = torch.tensor([[0.2, 0.0], [0.0, 1.0]])
    for turn in (narrow, torch.zeros(2, 2)):
        source, driving = _face(-0.4, 0.2, turn=turn), _face(0.1, 0.1, (0.3, 0.0), turn)
        grid, signs = _set(source, driving)
        assert torch.allclose(grid, identity_grid((256, 256))[None], atol=1e-4)
        assert signs.abs().max() == 0


def test_impossible_states_of_eyes_are_bounded() -> None:
    wild = Keypoints(5 * torch.randn(3, 11, 2, generator=torch.Generator().manual_seed(0)), torch.ones(3, 11, 2, 2))
    eyes: Eyes = read_eyes(wild, POINTS)
    assert (eyes.lids[..., 0] <= eyes.lids[..., 1]).all()
    grid, signs = set_eyes(eyes, eyes._replace(iris=-eyes.iris), GRID)
    assert grid.isfinite().all() and signs.isfinite().all()
