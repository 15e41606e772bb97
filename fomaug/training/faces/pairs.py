"""Training pairs: two images of one face, and the flow between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fomaug.training.faces.warps import AS_CUT, Camera, Framing, grids, sample

GRID = 64


class Pair(NamedTuple):
    """B training pairs.

    Attributes:
        source: (B, 3, S, S) in [0, 1].
        driving: (B, 3, S, S) in [0, 1].
        source_mesh: (B, 478, 2) normalised.
        driving_mesh: (B, 478, 2) normalised.
        flow: (B, 64, 64, 2) backward flow from driving to source.
        known: (B, 1, 64, 64) weight of the flow; 0 where it is unknown.
    """

    source: Tensor
    driving: Tensor
    source_mesh: Tensor
    driving_mesh: Tensor
    flow: Tensor
    known: Tensor

    @staticmethod
    def cat(parts: Sequence[Pair]) -> Pair:
        """Join along the batch axis."""
        return Pair(*(torch.cat(fields) for fields in zip(*parts, strict=True)))


class Views(NamedTuple):
    """Single images for the training of the detector.

    Attributes:
        image: (B, 3, S, S) in [0, 1].
        mesh: (B, 478, 2) normalised.
    """

    image: Tensor
    mesh: Tensor

    @staticmethod
    def cat(parts: Sequence[Views]) -> Views:
        """Join along the batch axis."""
        return Views(*(torch.cat(fields) for fields in zip(*parts, strict=True)))

    @staticmethod
    def take(image: Tensor, mesh: Tensor, generator: torch.Generator, framing: Framing = AS_CUT) -> Views:
        """Warp images (B, 3, S, S) with meshes (B, 478, 3) by random cameras."""
        size = image.shape[2]
        camera = Camera.framed(mesh[..., :2], generator, framing, strength=1.7)
        return Views(sample(image, camera.forth(grids(size, image))), camera.back(mesh[..., :2]))


def clip_pair(
    frames: tuple[Tensor, Tensor],
    meshes: tuple[Tensor, Tensor],
    flow: Tensor,
    known: Tensor,
    generator: torch.Generator,
    framing: Framing = AS_CUT,
) -> Pair:
    """Make pairs of two frames of clips, warped by random cameras.

    Args:
        frames: source and driving frames, (B, 3, S, S) in [0, 1].
        meshes: face meshes of the frames, (B, 478, 3) normalised.
        flow: (B, 64, 64, 2) stored backward flow from driving to source, with -1 and 1 at the image's edges.
        known: (B, 1, 64, 64), 1 where the flow is known; all 0 for pairs without flow.
        generator: random generator.
        framing: crop squares around the source's face.
    """
    size = frames[0].shape[2]
    camera = Camera.framed(meshes[0][..., :2], generator, framing)
    moved = camera.nudged(generator)
    fine = grids(size, flow)
    stored = torch.cat([flow.permute(0, 3, 1, 2), known], 1)
    driving = _edge_aligned(moved.forth(grids(GRID, flow)), size)
    read = torch.nn.functional.grid_sample(stored, driving, padding_mode="zeros", align_corners=False)
    moved_flow = camera.back(_corner_aligned(read[:, :2].permute(0, 2, 3, 1), size))
    certain = (read[:, 2:] > 0.999).float()
    views = (sample(frames[0], camera.forth(fine)), sample(frames[1], moved.forth(fine)))
    return Pair(*views, camera.back(meshes[0][..., :2]), moved.back(meshes[1][..., :2]), moved_flow, certain)


def _edge_aligned(xy: Tensor, size: int) -> Tensor:
    """Convert from -1 and 1 at the corner pixels' centres to -1 and 1 at the image's edges."""
    return xy * ((size - 1) / size)


def _corner_aligned(xy: Tensor, size: int) -> Tensor:
    return xy * (size / (size - 1))
