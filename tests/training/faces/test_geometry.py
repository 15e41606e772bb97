"""Splines, cameras, posed stills and clips: the flow that training believes in is the true one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fomaug.faces.canonical import mean_mesh
from fomaug.geometry import identity_grid, warp_image
from fomaug.training.faces.hidden import Mouths, fill, fill_mouth, is_closed, mouth_gap, take_apart
from fomaug.training.faces.mean_face import mean_face
from fomaug.training.faces.pairs import clip_pair
from fomaug.training.faces.stills import still_pair
from fomaug.training.faces.warps import Camera, eval_spline, fit_spline


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _smooth_picture(size: int = 64) -> torch.Tensor:
    x, y = identity_grid((size, size)).unbind(-1)
    return torch.stack([0.5 + 0.4 * torch.sin(3 * x + y), 0.5 + 0.3 * torch.cos(2 * y), 0.5 + 0.2 * x])[None]


def test_spline_passes_through_its_points(generator: torch.Generator) -> None:
    points = torch.rand(2, 30, 2, generator=generator) * 2 - 1
    images = points + 0.1 * torch.randn(2, 30, 2, generator=generator)
    weights = fit_spline(points, images)
    assert torch.allclose(eval_spline(weights, points, points), images, atol=0.03)


def test_large_splines_fit_together_on_two_threads(generator: torch.Generator) -> None:
    side = torch.linspace(-1, 1, 14)
    points = torch.cartesian_prod(side, side).expand(4, -1, -1)
    images = points + 0.01 * torch.randn(4, 196, 2, generator=generator)
    torch.set_num_threads(2)
    try:
        weights = fit_spline(points, images)
    finally:
        torch.set_num_threads(1)
    assert torch.allclose(eval_spline(weights, points, points), images, atol=0.03)


def test_spline_of_an_affine_map_is_that_map(generator: torch.Generator) -> None:
    points = torch.rand(1, 20, 2, generator=generator) * 2 - 1
    matrix, shift = torch.tensor([[0.9, 0.2], [-0.1, 1.1]]), torch.tensor([0.3, -0.2])
    weights = fit_spline(points, points @ matrix.T + shift)
    at = torch.rand(1, 50, 2, generator=generator)
    assert torch.allclose(eval_spline(weights, points, at), at @ matrix.T + shift, atol=1e-3)


def test_back_is_the_inverse_of_forth(generator: torch.Generator) -> None:
    camera = Camera.draw(3, generator)
    places = torch.randn(3, 5, 4, 2, generator=generator)
    assert torch.allclose(camera.back(camera.forth(places)), places, atol=1e-5)


def test_a_posed_still_is_its_source_moved_by_the_flow(generator: torch.Generator) -> None:
    mesh = 0.8 * mean_mesh().expand(4, -1, -1)
    pair = still_pair(_smooth_picture().expand(4, -1, -1, -1), mesh, torch.ones(4, 1, 64, 64), generator)
    inside = (pair.flow.abs().amax(-1) < 0.95).float()[:, None] * (pair.known > 0.5)
    away = (warp_image(pair.source, pair.flow) - pair.driving).abs() * inside
    assert away.sum() / inside.sum() / 3 < 0.02
    assert (pair.source - pair.driving).abs().mean() > 0.01


def test_meshes_of_a_posed_still_agree_with_the_flow(generator: torch.Generator) -> None:
    mesh = 0.8 * mean_mesh().expand(2, -1, -1)
    pair = still_pair(_smooth_picture().expand(2, -1, -1, -1), mesh, torch.ones(2, 1, 64, 64), generator)
    at = pair.driving_mesh[:, ::5][:, :90, None]
    carried = torch.nn.functional.grid_sample(pair.flow.permute(0, 3, 1, 2), at, align_corners=True)[..., 0]
    away = (carried.transpose(1, 2) - pair.source_mesh[:, ::5][:, :90]).norm(dim=-1)
    assert away.mean() < 0.01


def test_a_clip_without_motion_gives_the_identity_flow(generator: torch.Generator) -> None:
    frame = _smooth_picture()
    edges = 2 * (torch.arange(64) + 0.5) / 64 - 1
    flow = torch.stack([edges.expand(64, 64), edges[:, None].expand(64, 64)], -1)[None]
    mesh = mean_mesh()[None]
    pair = clip_pair((frame, frame), (mesh, mesh), flow, torch.ones(1, 1, 64, 64), generator)
    away = (pair.flow - identity_grid((64, 64))).abs().amax(-1)
    assert (away[pair.known[:, 0] > 0] < 1e-3).all()
    assert pair.known.mean() > 0.5
    assert torch.equal(pair.source, pair.driving)


def test_mean_face_ignores_position_size_and_rotation() -> None:
    rng = np.random.default_rng(0)
    face = mean_mesh().numpy()
    meshes = []
    for _ in range(400):
        turn, _ = np.linalg.qr(np.eye(3) + 0.05 * rng.normal(size=(3, 3)))
        turn = turn * np.sign(np.diag(turn))
        meshes.append(face @ turn.T * rng.uniform(0.8, 1.25) + rng.normal(size=3))
    found = mean_face(np.asarray(meshes, np.float32))
    assert np.allclose(found / np.linalg.norm(found), face / np.linalg.norm(face), atol=2e-3)


def _opened() -> torch.Tensor:
    opened = mean_mesh()[..., :2].clone()
    opened[[95, 88, 178, 87, 14, 317, 402, 318, 324], 1] += 0.12
    return opened


def test_only_mouths_that_opened_are_filled(generator: torch.Generator) -> None:
    opened, closed = _opened(), mean_mesh()[..., :2]
    picture = torch.full((4, 3, 64, 64), 0.6)
    meshes = torch.stack([closed, opened, opened, closed])
    teeth = Mouths.draw(picture[:2], meshes[:2], generator)
    filled, holes = fill_mouth(picture, meshes, torch.tensor([True, True, False, True]), teeth, generator)
    assert is_closed(torch.stack([closed, opened])).tolist() == [True, False]
    assert [bool(hole.any()) for hole in holes] == [False, True, False, False]
    assert torch.equal(filled[[0, 2, 3]], picture[[0, 2, 3]])


def test_flow_is_unknown_where_closed_lips_open() -> None:
    """A portrait that smiles is closed in some pictures and open in others: then its teeth come from nowhere."""
    smiling = 0.8 * mean_mesh().clone()
    smiling[[95, 88, 178, 87, 14, 317, 402, 318, 324], 1] += 0.05
    whole, found = torch.ones(24, 1, 64, 64), []
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        pair = still_pair(_smooth_picture().expand(24, -1, -1, -1), smiling.expand(24, -1, -1), whole, generator)
        parted = is_closed(pair.source_mesh) & (mouth_gap(pair.driving_mesh) > 0.06)
        at = pair.driving_mesh[parted][:, [13, 14]].mean(1)[:, None, None]
        found.append(torch.nn.functional.grid_sample(pair.known[parted], at, align_corners=True).flatten())
    assert len(torch.cat(found)) > 3 and torch.cat(found).mean() < 0.5, "elsewhere on a face it is about 1"


def test_teeth_are_those_of_a_mouth_that_shows_its_own(generator: torch.Generator) -> None:
    opened, smiling = _opened(), mean_mesh()[..., :2].clone()
    smiling[[95, 88, 178, 87, 14, 317, 402, 318, 324], 1] += 0.06
    lender = torch.full((3, 256, 256), 0.4)
    row, column = ((smiling[[13, 14]].mean(0).flip(0) + 1) * 127.5).round().int().tolist()
    lender[:, row - 2 : row + 3, column - 8 : column + 9] = torch.tensor([0.1, 0.9, 0.1]).view(3, 1, 1)
    picture = torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1).expand(40, 3, 256, 256)
    meshes = torch.stack([smiling, opened]).repeat(20, 1, 1)
    teeth = Mouths.draw(torch.stack([lender, picture[0]]).repeat(20, 1, 1, 1), meshes, generator)
    assert teeth.open.all() and torch.equal(teeth.image[0], lender)
    lips, closed = opened.expand(40, -1, -1), torch.ones(40, dtype=torch.bool)
    shares = []
    for open_ in (True, False):
        lent = Mouths(teeth.image[:20], teeth.mesh[:20], torch.full((20,), open_))
        filled, _ = fill_mouth(picture, lips, closed, lent, generator)
        shares.append((filled[:, 1] - filled[:, 0] > 0.1).flatten(1).any(1).float().mean())
    assert shares[0] > 0.3, "three mouths of four show teeth, some of them hardly"
    assert shares[1] == 0


def _matte(size: int = 64) -> torch.Tensor:
    """A head and shoulders, about."""
    x, y = identity_grid((size, size)).unbind(-1)
    return ((x.square() + (y / 1.3).square() < 0.4) | ((y > 0.6) & (x.abs() < 0.8))).float()[None, None]


def test_the_background_does_not_move_with_the_person(generator: torch.Generator) -> None:
    mesh, matte = 0.8 * mean_mesh().expand(6, -1, -1), _matte().expand(6, -1, -1, -1)
    pair = still_pair(_smooth_picture().expand(6, -1, -1, -1), mesh, matte, generator)
    corner = pair.flow[:, 2:6, 2:6] - identity_grid((64, 64))[2:6, 2:6]
    moved = (pair.driving_mesh - pair.source_mesh).norm(dim=-1).mean(1)
    still = corner.norm(dim=-1).amax((1, 2)) < 1e-3
    assert still.sum() >= 4 and moved[still].mean() > 0.02
    assert (pair.known[still][:, :, 2:6, 2:6] == 1).all()


def test_flow_is_unknown_where_the_person_hid_the_background(generator: torch.Generator) -> None:
    mesh, matte = 0.8 * mean_mesh().expand(8, -1, -1), _matte().expand(8, -1, -1, -1)
    layered = still_pair(_smooth_picture().expand(8, -1, -1, -1), mesh, matte, generator)
    within = layered.flow.abs().amax(-1) <= 1  # what lies beyond the border is not known, either
    hidden = ((layered.known[:, 0] == 0) & within).float().mean((1, 2))
    assert (hidden > 0.005).any() and hidden.max() < 0.3


def test_filling_keeps_known_pixels_and_continues_them(generator: torch.Generator) -> None:
    known = 1 - _matte()
    picture = torch.rand(1, 3, 64, 64, generator=generator)
    assert torch.equal(fill(picture, known) * known, picture * known)
    grey = torch.where(known > 0, 0.3, torch.ones(1, 3, 64, 64))
    assert torch.allclose(fill(grey, known), torch.full((1, 3, 64, 64), 0.3), atol=1e-4)


def test_a_matte_without_the_face_is_ignored() -> None:
    mesh = 0.5 * mean_mesh()[None, :, :2]
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(take_apart(picture, torch.zeros(1, 1, 64, 64), mesh).person[:, 3:], torch.ones(1, 1, 64, 64))
    assert torch.equal(take_apart(picture, _matte(), mesh).person[:, 3:], _matte())


def test_posed_eyes_agree_with_the_mesh(generator: torch.Generator) -> None:
    """The iris of a portrait is a dark spot; after posing, it is where the mesh has its iris."""
    mesh = 0.8 * mean_mesh().expand(12, -1, -1)
    x, y = identity_grid((256, 256)).unbind(-1)
    away = torch.stack([(x - p[0]).square() + (y - p[1]).square() for p in mesh[0, [468, 473], :2]]).amin(0)
    picture = (1 - torch.exp(-away / 0.0004)).expand(12, 3, -1, -1).contiguous()
    pair = still_pair(picture, mesh, torch.ones(12, 1, 256, 256), generator)
    image, found = torch.cat([pair.source, pair.driving]), torch.cat([pair.source_mesh, pair.driving_mesh])
    shade = torch.nn.functional.grid_sample(image, found[:, [468, 473], None], align_corners=True)[:, 0, :, 0]
    seen = (found[:, [145, 374]] - found[:, [159, 386]]).norm(dim=-1) > 0.035
    for begin, end, margin in (([159, 386], [145, 374], 0.25), ([33, 263], [133, 362], 0.3)):
        span = found[:, end] - found[:, begin]
        share = ((found[:, [468, 473]] - found[:, begin]) * span).sum(-1) / span.square().sum(-1)
        seen &= (share > margin) & (share < 1 - margin)
    assert seen.sum() > 16 and (shade[seen] < 0.35).all()
