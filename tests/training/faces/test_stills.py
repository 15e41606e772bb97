"""Pairs of posed stills: the flow for the training is the true one."""

from __future__ import annotations

import torch

from fomaug.faces.canonical import mean_mesh
from fomaug.geometry import identity_grid, warp_image
from fomaug.training.faces.hidden import is_closed, mouth_gap
from fomaug.training.faces.stills import still_pair


def test_a_posed_still_is_its_source_moved_by_the_flow(
    generator: torch.Generator, smooth_picture: torch.Tensor
) -> None:
    mesh = 0.8 * mean_mesh().expand(4, -1, -1)
    pair = still_pair(smooth_picture.expand(4, -1, -1, -1), mesh, torch.ones(4, 1, 64, 64), generator)
    inside = (pair.flow.abs().amax(-1) < 0.95).float()[:, None] * (pair.known > 0.5)
    away = (warp_image(pair.source, pair.flow) - pair.driving).abs() * inside
    assert away.sum() / inside.sum() / 3 < 0.02
    assert (pair.source - pair.driving).abs().mean() > 0.01


def test_meshes_of_a_posed_still_agree_with_the_flow(generator: torch.Generator, smooth_picture: torch.Tensor) -> None:
    mesh = 0.8 * mean_mesh().expand(2, -1, -1)
    pair = still_pair(smooth_picture.expand(2, -1, -1, -1), mesh, torch.ones(2, 1, 64, 64), generator)
    at = pair.driving_mesh[:, ::5][:, :90, None]
    carried = torch.nn.functional.grid_sample(pair.flow.permute(0, 3, 1, 2), at, align_corners=True)[..., 0]
    away = (carried.transpose(1, 2) - pair.source_mesh[:, ::5][:, :90]).norm(dim=-1)
    assert away.mean() < 0.01


def test_flow_is_unknown_where_closed_lips_open(smooth_picture: torch.Tensor) -> None:
    """Where lips open that are closed in the source, the teeth have no true source."""
    smiling = 0.8 * mean_mesh().clone()
    smiling[[95, 88, 178, 87, 14, 317, 402, 318, 324], 1] += 0.05
    whole, found = torch.ones(24, 1, 64, 64), []
    for seed in range(4):
        generator = torch.Generator().manual_seed(seed)
        pair = still_pair(smooth_picture.expand(24, -1, -1, -1), smiling.expand(24, -1, -1), whole, generator)
        parted = is_closed(pair.source_mesh) & (mouth_gap(pair.driving_mesh) > 0.06)
        at = pair.driving_mesh[parted][:, [13, 14]].mean(1)[:, None, None]
        found.append(torch.nn.functional.grid_sample(pair.known[parted], at, align_corners=True).flatten())
    assert len(torch.cat(found)) > 3 and torch.cat(found).mean() < 0.5, "elsewhere on a face it is about 1"


def test_the_background_does_not_move_with_the_person(
    generator: torch.Generator, smooth_picture: torch.Tensor, matte: torch.Tensor
) -> None:
    mesh, matte = 0.8 * mean_mesh().expand(6, -1, -1), matte.expand(6, -1, -1, -1)
    pair = still_pair(smooth_picture.expand(6, -1, -1, -1), mesh, matte, generator)
    corner = pair.flow[:, 2:6, 2:6] - identity_grid((64, 64))[2:6, 2:6]
    moved = (pair.driving_mesh - pair.source_mesh).norm(dim=-1).mean(1)
    still = corner.norm(dim=-1).amax((1, 2)) < 1e-3
    assert still.sum() >= 4 and moved[still].mean() > 0.02
    assert (pair.known[still][:, :, 2:6, 2:6] == 1).all()


def test_flow_is_unknown_where_the_person_hid_the_background(
    generator: torch.Generator, smooth_picture: torch.Tensor, matte: torch.Tensor
) -> None:
    mesh, matte = 0.8 * mean_mesh().expand(8, -1, -1), matte.expand(8, -1, -1, -1)
    layered = still_pair(smooth_picture.expand(8, -1, -1, -1), mesh, matte, generator)
    within = layered.flow.abs().amax(-1) <= 1  # the flow from beyond the border is unknown, too
    hidden = ((layered.known[:, 0] == 0) & within).float().mean((1, 2))
    assert (hidden > 0.005).any() and hidden.max() < 0.3


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
