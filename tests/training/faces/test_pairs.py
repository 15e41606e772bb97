"""Pairs of frames of clips."""

from __future__ import annotations

import torch

from fomaug.faces.canonical import mean_mesh
from fomaug.geometry import identity_grid
from fomaug.training.faces.pairs import clip_pair


def test_a_clip_without_motion_has_the_identity_flow(generator: torch.Generator, smooth_picture: torch.Tensor) -> None:
    frame = smooth_picture
    edges = 2 * (torch.arange(64) + 0.5) / 64 - 1
    flow = torch.stack([edges.expand(64, 64), edges[:, None].expand(64, 64)], -1)[None]
    mesh = mean_mesh()[None]
    pair = clip_pair((frame, frame), (mesh, mesh), flow, torch.ones(1, 1, 64, 64), generator)
    away = (pair.flow - identity_grid((64, 64))).abs().amax(-1)
    assert (away[pair.known[:, 0] > 0] < 1e-3).all()
    assert pair.known.mean() > 0.5
    assert torch.equal(pair.source, pair.driving)
