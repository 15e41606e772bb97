"""Training pictures on disk, packed for quick random access."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug.driving._face import mirror_order
from fomaug.training.faces.clips import clip_pair
from fomaug.training.faces.pack import FLOW_UNIT
from fomaug.training.faces.pairs import Pair, Views
from fomaug.training.faces.stills import still_pair


@dataclass(frozen=True)
class StillStore:
    """Portraits: images (N, S, S, 3) uint8, meshes (N, 478, 3) float32, normalised, and mattes (N, S, S) uint8."""

    images: NDArray[np.uint8]
    meshes: NDArray[np.float32]
    mattes: NDArray[np.uint8]

    @classmethod
    def open(cls, folder: Path) -> StillStore:
        """Open what `pack_stills` wrote."""
        images, mattes = (np.load(folder / name, mmap_mode="r") for name in ("stills.npy", "stills_matte.npy"))
        return cls(images, np.load(folder / "stills_mesh.npy"), mattes)

    def views(self, count: int, generator: torch.Generator) -> Views:
        """Draw single pictures."""
        image, mesh, _ = self._some(count, generator)
        return Views.take(image, mesh, generator)

    def draw(self, count: int, generator: torch.Generator) -> Pair:
        """Draw pairs, half of them mirrored."""
        return still_pair(*self._some(count, generator), generator)

    def _some(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        rows = torch.randint(len(self.images), (count,), generator=generator).tolist()
        mirrored = torch.rand(count, generator=generator) < 0.5
        both = np.concatenate([self.images[rows], self.mattes[rows][..., None]], -1)
        layers, mesh = _mirrored(_pictures(both), torch.from_numpy(self.meshes[rows]), mirrored)
        return layers[:, :3], mesh, layers[:, 3:]


@dataclass(frozen=True)
class ClipStore:
    """Clips: frames (N, T, S, S, 3) uint8, meshes (N, T, 478, 3), flow (N, T, 64, 64, 2) int16 to frame 0, masks."""

    frames: NDArray[np.uint8]
    meshes: NDArray[np.float32]
    flow: NDArray[np.int16]
    known: NDArray[np.bool_]

    @classmethod
    def open(cls, folder: Path) -> ClipStore:
        """Open what `pack_clips` wrote."""
        names = ("clips.npy", "clips_mesh.npy", "clips_flow.npy", "clips_mask.npy")
        frames, meshes, flow, known = (np.load(folder / name, mmap_mode="r") for name in names)
        return cls(frames, np.asarray(meshes), flow, known)

    def views(self, count: int, generator: torch.Generator) -> Views:
        """Draw single frames."""
        clips, pairs = self._choose(count, generator)
        mirrored = torch.rand(count, generator=generator) < 0.5
        return Views.take(*_mirrored(*self._view(clips, pairs[:, 1].tolist()), mirrored), generator)

    def draw(self, count: int, generator: torch.Generator) -> Pair:
        """Draw pairs; two thirds start from frame 0, to which the flow is known, and stay unmirrored."""
        clips, pairs = self._choose(count, generator)
        source, driving = pairs.T.tolist()
        known = torch.tensor([float(i == 0) for i in source]).view(-1, 1, 1, 1)
        flow = torch.from_numpy(self.flow[clips, driving].astype(np.float32) / FLOW_UNIT)
        mask = torch.from_numpy(self.known[clips, driving].astype(np.float32))[:, None]
        views = [self._view(clips, times) for times in (source, driving)]
        flip = (torch.rand(count, generator=generator) < 0.5) & (known.flatten() == 0)
        (first, mesh_first), (second, mesh_second) = (_mirrored(*view, flip) for view in views)
        return clip_pair((first, second), (mesh_first, mesh_second), flow, mask * known, generator)

    def _choose(self, count: int, generator: torch.Generator) -> tuple[list[int], Tensor]:
        clips: list[int] = []
        pairs: list[Tensor] = []
        while len(clips) < count:
            clip = int(torch.randint(len(self.frames), (1,), generator=generator))
            pair = torch.randperm(self.frames.shape[1], generator=generator)[:2]
            if torch.rand(1, generator=generator) < 0.66:
                pair[0] = 0
            if not np.isnan(self.meshes[clip, pair.numpy()]).any():
                clips.append(clip)
                pairs.append(pair)
        return clips, torch.stack(pairs)

    def _view(self, clips: list[int], times: list[int]) -> tuple[Tensor, Tensor]:
        return _pictures(self.frames[clips, times]), torch.from_numpy(self.meshes[clips, times])


def _pictures(images: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


def _mirrored(image: Tensor, mesh: Tensor, flip: Tensor) -> tuple[Tensor, Tensor]:
    turned = mesh[:, mirror_order()] * torch.tensor([-1.0, 1.0, 1.0])
    return (
        torch.where(flip[:, None, None, None], image.flip(3), image),
        torch.where(flip[:, None, None], turned, mesh),
    )
