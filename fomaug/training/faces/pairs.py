"""Training pairs: two images of one face with the flow between them, and the smooth warps that make them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from fomaug.geometry import identity_grid
from fomaug.training.faces.augmentation import normal, uniform

_STIFFNESS = 1e-3  # regularisation of a spline's fit
GRID = 64


@dataclass(frozen=True)
class Framing:
    """Random crop squares around the faces of training pictures.

    Attributes:
        share: share of the pictures with a new square; the others keep about the square of the stored picture.
        side_range: interval of the sides of new squares, in faces; the logarithm of the side is uniform.
        shift: standard deviation of the face's offset from the middle, in sides, for a square of one face; that of
            larger squares is as many times larger, up to twice.
        far_share: share of the new squares with three times this offset, whose edge often cuts the face.
    """

    share: float = 0.4
    side_range: tuple[float, float] = (1.0, 1.8)
    shift: float = 0.05
    far_share: float = 0.15


AS_CUT = Framing(share=0.0)
"""Framing that keeps about the squares of the stored pictures."""


class Camera(NamedTuple):
    """B similarity maps from points of a new image to those of the original: `old = new @ matrix.T + shift`.

    Attributes:
        matrix: (B, 2, 2).
        shift: (B, 2).
    """

    matrix: Tensor
    shift: Tensor

    @staticmethod
    def draw(count: int, generator: torch.Generator, *, strength: float = 1.0) -> Camera:
        """Draw random zooms, turns and shifts; `strength` multiplies their standard deviations."""
        drawn = normal(generator, 4, count) * strength
        matrix = torch.exp(0.04 + 0.14 * drawn[0])[:, None, None] * _turn(0.07 * drawn[1])
        return Camera(matrix, 0.09 * drawn[2:].T.contiguous())

    @staticmethod
    def framed(mesh: Tensor, generator: torch.Generator, framing: Framing, *, strength: float = 1.0) -> Camera:
        """Draw cameras; for a share of them, draw new squares around the faces of normalised meshes (B, M, 2)."""
        usual = Camera.draw(len(mesh), generator, strength=strength)
        if framing.share == 0:
            return usual
        new = _cut(mesh, *_framing_draws(len(mesh), generator, framing))
        chosen = uniform(generator, len(mesh)) < framing.share
        return Camera(
            torch.where(chosen[:, None, None], new.matrix, usual.matrix),
            torch.where(chosen[:, None], new.shift, usual.shift),
        )

    def nudged(self, generator: torch.Generator) -> Camera:
        """Move one camera in ten a little, like a hand-held camera or a tracking shot between two frames."""
        count = len(self.shift)
        moves = (uniform(generator, count) < 0.1).float()
        drawn = moves * normal(generator, 4, count)
        nudge = torch.exp(0.04 * drawn[0])[:, None, None] * _turn(0.03 * drawn[1])
        return Camera(self.matrix @ nudge, self.shift + 0.1 * drawn[2:].T)

    def forth(self, xy: Tensor) -> Tensor:
        """Map points (B, ..., 2) of the new image to the original."""
        flat = xy.reshape(len(self.shift), -1, 2)
        return (flat @ self.matrix.transpose(1, 2) + self.shift[:, None]).view(xy.shape)

    def back(self, xy: Tensor) -> Tensor:
        """Map points (B, ..., 2) of the original to the new image."""
        flat = xy.reshape(len(self.shift), -1, 2) - self.shift[:, None]
        back: Tensor = flat @ torch.linalg.inv(self.matrix).transpose(1, 2)
        return back.view(xy.shape)


def _turn(angle: Tensor) -> Tensor:
    """Make rotation matrices (B, 2, 2) from angles (B,)."""
    c, s = angle.cos(), angle.sin()
    return torch.stack([torch.stack([c, -s], -1), torch.stack([s, c], -1)], 1)


def _framing_draws(count: int, generator: torch.Generator, framing: Framing) -> tuple[Tensor, Tensor, Tensor]:
    """Draw sides (B,) in faces, angles (B,), and offsets (B, 2) in sides, which are larger in larger squares."""
    low, high = framing.side_range
    side = low * torch.exp(uniform(generator, count) * math.log(high / low))
    far = torch.where(uniform(generator, count) < framing.far_share, 3.0, 1.0)
    deviation = framing.shift * far * side.clamp(max=2)
    offset = deviation[:, None] * normal(generator, count, 2)
    return side, 0.07 * normal(generator, count), offset


def _cut(mesh: Tensor, side: Tensor, angle: Tensor, offset: Tensor) -> Camera:
    """Make cameras for squares around the faces of normalised meshes (B, M, 2)."""
    low, high = mesh.amin(1), mesh.amax(1)
    zoom = side * (high - low).amax(1) / 2  # a picture is 2 wide
    return Camera(zoom[:, None, None] * _turn(angle), (low + high) / 2 + 2 * zoom[:, None] * offset)


def grids(size: int, like: Tensor) -> Tensor:
    """Make identity grids (B, S, S, 2) on the device of a tensor with B rows."""
    return identity_grid((size, size), device=like.device).expand(len(like), -1, -1, -1)


def sample(image: Tensor, flow: Tensor) -> Tensor:
    """Warp images (B, C, S, S) by backward flows (B, h, w, 2); images are continued by reflection outside."""
    return F.grid_sample(image, resized(flow, image.shape[2]), padding_mode="reflection", align_corners=True)


def resized(field: Tensor, size: int) -> Tensor:
    """Resample a field (B, h, w, 2) to a finer grid of the same frame."""
    if field.shape[1] == size:
        return field
    first = field.permute(0, 3, 1, 2)
    return F.interpolate(first, size=(size, size), mode="bicubic", align_corners=True).permute(0, 2, 3, 1)


def composed(flow: Tensor, inner: Tensor) -> Tensor:
    """Compose backward flows: sample a coarser flow (B, h, w, 2) at the coordinates of another (B, S, S, 2)."""
    fine = resized(flow, inner.shape[1]).permute(0, 3, 1, 2)
    return F.grid_sample(fine, inner, padding_mode="border", align_corners=True).permute(0, 2, 3, 1)


def fit_spline(points: Tensor, images: Tensor) -> Tensor:
    """Fit thin-plate splines that map points to their images, with a small regularisation.

    Args:
        points: (B, N, 2).
        images: (B, N, 2).

    Returns:
        (B, N + 3, 2) weights for `eval_spline`.
    """
    b, n, _ = points.shape
    system = points.new_zeros(b, n + 3, n + 3)
    system[:, :n, :n] = _kernel(points, points) + _STIFFNESS * torch.eye(n, device=points.device)
    affine = torch.cat([points.new_ones(b, n, 1), points], -1)
    system[:, :n, n:] = affine
    system[:, n:, :n] = affine.transpose(1, 2)
    target = points.new_zeros(b, n + 3, 2)
    target[:, :n] = images
    if points.is_cuda:
        weights: Tensor = torch.linalg.solve(system, target)
        return weights
    # Systems are solved one by one: a batch of large ones fails on some CPUs with more than one thread.
    return torch.stack([torch.linalg.solve(*one) for one in zip(system, target, strict=True)])


def eval_spline(weights: Tensor, points: Tensor, at: Tensor) -> Tensor:
    """Map points (B, M, 2) by the splines that were fitted on `points`, to (B, M, 2)."""
    affine = torch.cat([at.new_ones(*at.shape[:2], 1), at], -1)
    mapped: Tensor = torch.cat([_kernel(at, points), affine], -1) @ weights
    return mapped


def _kernel(a: Tensor, b: Tensor) -> Tensor:
    square = (a.square().sum(-1)[:, :, None] + b.square().sum(-1)[:, None] - 2 * a @ b.transpose(1, 2)).clamp(min=0)
    return square * torch.log(square + 1e-6)


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
