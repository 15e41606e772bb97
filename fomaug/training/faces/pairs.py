"""A training pair: two views of one face, and what is known about the motion between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.geometry import identity_grid
from fomaug.training.faces.draw import normal, uniform

GRID = 64


class Pair(NamedTuple):
    """B training pairs.

    Attributes:
        source: (B, 3, S, S) in [0, 1].
        driving: (B, 3, S, S) in [0, 1].
        source_mesh: (B, 478, 2) normalised.
        driving_mesh: (B, 478, 2) normalised.
        flow: (B, 64, 64, 2) backward flow from driving to source.
        known: (B, 1, 64, 64) weight of the flow, 0 where it is unknown.
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


class Camera(NamedTuple):
    """B similarity maps from a new picture's places to the old one's: `old = new @ matrix.T + shift`."""

    matrix: Tensor
    shift: Tensor

    @staticmethod
    def draw(count: int, generator: torch.Generator, *, reach: float = 1.0) -> Camera:
        """Draw cameras that zoom, turn and shift a little, or `reach` times as much."""
        drawn = normal(generator, 4, count) * reach
        zoom = torch.exp(0.04 + 0.14 * drawn[0])
        angle = 0.07 * drawn[1]
        c, s = zoom * angle.cos(), zoom * angle.sin()
        matrix = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], 1)  # (B, 2, 2)
        return Camera(matrix, 0.09 * drawn[2:].T.contiguous())

    def nudged(self, generator: torch.Generator) -> Camera:
        """Move one camera in ten, as hands and tracking shots do between two frames."""
        count = len(self.shift)
        moves = (uniform(generator, count) < 0.1).float()
        drawn = moves * normal(generator, 4, count)
        zoom, angle = torch.exp(0.04 * drawn[0]), 0.03 * drawn[1]
        c, s = zoom * angle.cos(), zoom * angle.sin()
        nudge = torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], 1)
        return Camera(self.matrix @ nudge, self.shift + 0.1 * drawn[2:].T)

    def forth(self, places: Tensor) -> Tensor:
        """Carry new places (B, ..., 2) to the old picture."""
        flat = places.reshape(len(self.shift), -1, 2)
        return (flat @ self.matrix.transpose(1, 2) + self.shift[:, None]).view(places.shape)

    def back(self, places: Tensor) -> Tensor:
        """Carry old places (B, ..., 2) to the new picture."""
        flat = places.reshape(len(self.shift), -1, 2) - self.shift[:, None]
        back: Tensor = flat @ torch.linalg.inv(self.matrix).transpose(1, 2)
        return back.view(places.shape)


class Views(NamedTuple):
    """Single pictures for the detector: (B, 3, S, S) in [0, 1] and their meshes (B, 478, 2)."""

    image: Tensor
    mesh: Tensor

    @staticmethod
    def cat(parts: Sequence[Views]) -> Views:
        """Join along the batch axis."""
        return Views(*(torch.cat(fields) for fields in zip(*parts, strict=True)))

    @staticmethod
    def take(image: Tensor, mesh: Tensor, generator: torch.Generator) -> Views:
        """View pictures (B, 3, S, S) with meshes (B, 478, 3) through new cameras."""
        size = image.shape[2]
        camera = Camera.draw(len(image), generator, reach=1.7)
        places = camera.forth(grids(size, image))
        return Views(sample(image, places), camera.back(mesh[..., :2]))


def grids(size: int, like: Tensor) -> Tensor:
    """(B, S, S, 2): the identity grid for each of B things, where they are."""
    return identity_grid((size, size), device=like.device).expand(len(like), -1, -1, -1)


def sample(image: Tensor, places: Tensor) -> Tensor:
    """Read pictures (B, C, S, S) at places (B, h, w, 2) spread over the full picture; pictures are mirrored outside."""
    return F.grid_sample(image, resized(places, image.shape[2]), padding_mode="reflection", align_corners=True)


def resized(field: Tensor, size: int) -> Tensor:
    """Bring places (B, h, w, 2) spread over the full picture to a finer grid."""
    if field.shape[1] == size:
        return field
    first = field.permute(0, 3, 1, 2)
    return F.interpolate(first, size=(size, size), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)


def carried(field: Tensor, places: Tensor) -> Tensor:
    """Carry places (B, S, S, 2) by a coarser field (B, h, w, 2) of places."""
    fine = resized(field, places.shape[1]).permute(0, 3, 1, 2)
    return F.grid_sample(fine, places, padding_mode="border", align_corners=True).permute(0, 2, 3, 1)
