"""Layers of portraits and insides of mouths."""

from __future__ import annotations

import torch

from fomaug.faces.canonical import mean_mesh
from fomaug.training.faces.hidden import Mouths, fill, fill_mouth, is_closed, take_apart


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


def test_filling_keeps_known_pixels_and_continues_them(generator: torch.Generator, matte: torch.Tensor) -> None:
    known = 1 - matte
    picture = torch.rand(1, 3, 64, 64, generator=generator)
    assert torch.equal(fill(picture, known) * known, picture * known)
    grey = torch.where(known > 0, 0.3, torch.ones(1, 3, 64, 64))
    assert torch.allclose(fill(grey, known), torch.full((1, 3, 64, 64), 0.3), atol=1e-4)


def test_a_matte_without_the_face_is_ignored(matte: torch.Tensor) -> None:
    mesh = 0.5 * mean_mesh()[None, :, :2]
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(take_apart(picture, torch.zeros(1, 1, 64, 64), mesh).person[:, 3:], torch.ones(1, 1, 64, 64))
    assert torch.equal(take_apart(picture, matte, mesh).person[:, 3:], matte)
