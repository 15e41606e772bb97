"""Training pictures on disk, packed for quick random access."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fomaug.errors import ArgumentError
from fomaug.faces import mirror_order
from fomaug.files import ARRAYS, check_regular
from fomaug.training.faces.clips import clip_pair
from fomaug.training.faces.draw import integers, uniform
from fomaug.training.faces.pack import FLOW_UNIT
from fomaug.training.faces.pairs import Pair, Views
from fomaug.training.faces.stills import still_pair


@dataclass(frozen=True)
class StillStore:
    """Portraits: images (N, S, S, 3) uint8, meshes (N, 478, 3) float32, normalised, and mattes (N, S, S) uint8."""

    images: Tensor
    meshes: Tensor
    mattes: Tensor

    @classmethod
    def open(cls, folder: Path, device: torch.device | str = "cpu") -> StillStore:
        """Open what `pack_stills` wrote."""
        return cls(*(_open(folder / name, device) for name in ("stills.npy", "stills_mesh.npy", "stills_matte.npy")))

    def views(self, count: int, generator: torch.Generator) -> Views:
        """Draw single pictures."""
        image, mesh, _ = self._some(count, generator)
        return Views.take(image, mesh, generator)

    def draw(self, count: int, generator: torch.Generator) -> Pair:
        """Draw pairs, half of them mirrored."""
        return still_pair(*self._some(count, generator), generator)

    def _some(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        rows = integers(generator, len(self.images), count)
        mirrored = uniform(generator, count) < 0.5
        both = torch.cat([self.images[rows], self.mattes[rows][..., None]], -1)
        layers, mesh = _mirrored(_pictures(both), self.meshes[rows], mirrored)
        return layers[:, :3], mesh, layers[:, 3:]


@dataclass(frozen=True)
class ClipStore:
    """Clips.

    Attributes:
        frames: (N, T, S, S, 3) uint8.
        meshes: (N, T, 478, 3) float32, normalised; nan where no face was found.
        flow: (N, T, 64, 64, 2) int16 to frame 0.
        known: (N, T, 64, 64) where it is known.
        seen: (N, T) where a face was found.
        usable: (M,) the clips in which one was found twice.
    """

    frames: Tensor
    meshes: Tensor
    flow: Tensor
    known: Tensor
    seen: Tensor
    usable: Tensor

    @classmethod
    def open(cls, folder: Path, device: torch.device | str = "cpu") -> ClipStore:
        """Open what `pack_clips` wrote."""
        names = ("clips.npy", "clips_mesh.npy", "clips_flow.npy", "clips_mask.npy")
        frames, meshes, flow, known = (_open(folder / name, device) for name in names)
        seen = ~meshes.isnan().any(3).any(2)
        usable = torch.nonzero(seen.sum(1) > 1).flatten()
        if not len(usable):
            raise ArgumentError(f"in none of the clips in {folder} was a face found in two frames")
        return cls(frames, meshes, flow, known, seen, usable)

    def views(self, count: int, generator: torch.Generator) -> Views:
        """Draw single frames."""
        clips, _, times = self._choose(count, generator)
        mirrored = uniform(generator, count) < 0.5
        return Views.take(*_mirrored(*self._view(clips, times), mirrored), generator)

    def draw(self, count: int, generator: torch.Generator) -> Pair:
        """Draw pairs; two thirds start from frame 0, to which the flow is known, and stay unmirrored."""
        clips, source, driving = self._choose(count, generator)
        known = (source == 0).float()
        flow = self.flow[clips, driving] / FLOW_UNIT
        mask = self.known[clips, driving][:, None] * known.view(-1, 1, 1, 1)
        flip = (uniform(generator, count) < 0.5) & (known == 0)
        views = [_mirrored(*self._view(clips, times), flip) for times in (source, driving)]
        (first, mesh_first), (second, mesh_second) = views
        return clip_pair((first, second), (mesh_first, mesh_second), flow, mask, generator)

    def _choose(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Clips, and of each the times of two frames in which the face was found."""
        clips = self.usable[integers(generator, len(self.usable), count)]
        seen = self.seen[clips]
        source, driving = torch.where(seen, uniform(generator, *seen.shape), 2).argsort(1)[:, :2].unbind(1)
        first = (uniform(generator, count) < 0.66) & seen[:, 0]
        driving = torch.where(first & (driving == 0), source, driving)
        return clips, source.masked_fill(first, 0), driving

    def _view(self, clips: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        return _pictures(self.frames[clips, times]), self.meshes[clips, times]


def _open(path: Path, device: torch.device | str) -> Tensor:
    """On the CPU the file itself, mapped into memory; elsewhere a copy, which saves a trip for every picture."""
    if not path.exists():
        raise ArgumentError(f"{path} is missing; pack the pictures anew with pack_stills and pack_clips")
    check_regular(path, ARRAYS)
    return torch.from_numpy(np.load(path, mmap_mode="c")).to(device)  # "c": torch wants writable memory, the file stays


def _pictures(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float() / 255


def _mirrored(image: Tensor, mesh: Tensor, flip: Tensor) -> tuple[Tensor, Tensor]:
    turned = mesh[:, mirror_order().to(mesh.device)] * mesh.new_tensor([-1.0, 1.0, 1.0])
    return (
        torch.where(flip[:, None, None, None], image.flip(3), image),
        torch.where(flip[:, None, None], turned, mesh),
    )
