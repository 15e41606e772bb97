"""Training pictures: pack them from folders into arrays, and draw them from the arrays at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug.errors import ArgumentError
from fomaug.faces import mirror_order
from fomaug.files import ARRAYS, check_regular, open_regular
from fomaug.media import PICTURE_FORMATS, open_picture
from fomaug.training.faces.augmentation import integers, uniform
from fomaug.training.faces.pairs import AS_CUT, GRID, Framing, Pair, Views, clip_pair
from fomaug.training.faces.stills import still_pair

FLOW_UNIT = 8192
"""The number of int16 steps of stored flow in a normalised unit."""


def pack_stills(folder: Path, out: Path, *, size: int = 256) -> int:
    """Pack portraits.

    Args:
        folder: folder with square pictures in `images/`, and with `landmarks.npz`: `files` (N,) and `landmarks`
            (N, 478, 3), the face meshes in pixels. `mattes/` may have a grey `NAME.png` for each picture, white where
            the picture shows the person.
        out: folder for `stills.npy`, `stills_mesh.npy` and `stills_matte.npy`.
        size: side of the pictures.

    Returns:
        The number of portraits.
    """
    names, landmarks = _landmarks(folder / "landmarks.npz", (478, 3))
    out.mkdir(parents=True, exist_ok=True)
    images = _array(out / "stills.npy", np.uint8, (len(names), size, size, 3))
    mattes = _array(out / "stills_matte.npy", np.uint8, (len(names), size, size))
    for row, name in enumerate(names):
        images[row] = _picture(folder / "images" / name, (size, size))
        matte = (folder / "mattes" / name).with_suffix(".png")
        mattes[row] = _picture(matte, (size, size))[..., 0] if matte.exists() else 255
    images.flush()
    mattes.flush()
    np.save(out / "stills_mesh.npy", normalised(landmarks, size))
    return len(names)


def pack_clips(folder: Path, out: Path, *, size: int = 256) -> int:
    """Pack short clips.

    Args:
        folder: folder with `mesh.npz`: `files` (N,) and `landmarks` (N, T, 478, 3), nan for frames without a face.
            `set/` has each clip as a strip of T square frames `NAME.jpg`, and `NAME.npz` for clips with known flow:
            `flow` (T, 64, 64, 2) int16 in units of 1 / 8192, backward to frame 0, and `mask` (T, 64, 64).
        out: folder for `clips.npy`, `clips_mesh.npy`, `clips_flow.npy`, `clips_mask.npy`.
        size: side of a frame.

    Returns:
        The number of clips.
    """
    names, landmarks = _landmarks(folder / "mesh.npz", (None, 478, 3))
    count, length = int(landmarks.shape[0]), int(landmarks.shape[1])
    out.mkdir(parents=True, exist_ok=True)
    frames = _array(out / "clips.npy", np.uint8, (count, length, size, size, 3))
    flow = _array(out / "clips_flow.npy", np.int16, (count, length, GRID, GRID, 2))
    mask = _array(out / "clips_mask.npy", np.bool_, (count, length, GRID, GRID))
    for row, name in enumerate(names):
        strip = _picture(folder / "set" / name, (length * size, size))
        frames[row] = strip.reshape(size, length, size, 3).swapaxes(0, 1)
        truth = (folder / "set" / name).with_suffix(".npz")
        if truth.exists():
            with open_regular(truth, ARRAYS) as file, np.load(file, allow_pickle=False) as data:
                flow[row], mask[row] = data["flow"], data["mask"]
    for array in (frames, flow, mask):
        array.flush()
    np.save(out / "clips_mesh.npy", normalised(landmarks, size))
    return count


def normalised(landmarks: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Convert pixels, with the first one's centre at 0.5, to [-1, 1] at the corner pixels' centres; depth is scaled."""
    first = np.array([0.5, 0.5, 0], np.float32)
    return np.asarray((landmarks - first) * (2 / (size - 1)) - np.array([1, 1, 0]), np.float32)


def _landmarks(path: Path, shape: Sequence[int | None]) -> tuple[list[str], NDArray[np.float32]]:
    if not path.exists():
        raise ArgumentError(f"{path} is missing; it must contain the face mesh of every picture")
    with open_regular(path, ARRAYS) as file, np.load(file, allow_pickle=False) as data:
        names, landmarks = [str(name) for name in data["files"]], data["landmarks"].astype(np.float32)
    wanted = (len(names), *shape)
    if landmarks.ndim != len(wanted) or any(
        want not in (None, have) for want, have in zip(wanted, landmarks.shape, strict=True)
    ):
        expected = ", ".join("T" if want is None else str(want) for want in wanted)
        raise ArgumentError(f"landmarks in {path} must be ({expected}), got {landmarks.shape}")
    return names, landmarks


def _picture(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    with open_picture(path, PICTURE_FORMATS) as picture:
        rgb = picture.convert("RGB")
    if rgb.size != size:
        raise ArgumentError(f"{path} must be {size[0]} x {size[1]}, got {rgb.size[0]} x {rgb.size[1]}; resize it")
    return np.asarray(rgb)


def _array(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap[tuple[int, ...], np.dtype[np.generic]]:
    return np.lib.format.open_memmap(path, "w+", dtype, shape)


@dataclass(frozen=True)
class StillStore:
    """Packed portraits.

    Attributes:
        images: (N, S, S, 3) uint8.
        meshes: (N, 478, 3) float32, normalised.
        mattes: (N, S, S) uint8.
    """

    images: Tensor
    meshes: Tensor
    mattes: Tensor

    @classmethod
    def open(cls, folder: Path, device: torch.device | str = "cpu") -> StillStore:
        """Open the files that `pack_stills` wrote."""
        return cls(*(_open(folder / name, device) for name in ("stills.npy", "stills_mesh.npy", "stills_matte.npy")))

    def views(self, count: int, generator: torch.Generator, framing: Framing = AS_CUT) -> Views:
        """Draw single pictures."""
        image, mesh, _ = self._some(count, generator)
        return Views.take(image, mesh, generator, framing)

    def draw(self, count: int, generator: torch.Generator, framing: Framing = AS_CUT) -> Pair:
        """Draw pairs, half of them mirrored."""
        return still_pair(*self._some(count, generator), generator, framing)

    def _some(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        rows = integers(generator, len(self.images), count)
        mirrored = uniform(generator, count) < 0.5
        both = torch.cat([self.images[rows], self.mattes[rows][..., None]], -1)
        layers, mesh = _mirrored(_pictures(both), self.meshes[rows], mirrored)
        return layers[:, :3], mesh, layers[:, 3:]


@dataclass(frozen=True)
class ClipStore:
    """Packed clips.

    Attributes:
        frames: (N, T, S, S, 3) uint8.
        meshes: (N, T, 478, 3) float32, normalised; nan for frames without a face.
        flow: (N, T, 64, 64, 2) int16, backward flow to frame 0.
        known: (N, T, 64, 64) bool, whether the flow is known.
        seen: (N, T) bool, whether a face was found.
        usable: (M,) indices of the clips with a face in two frames or more.
    """

    frames: Tensor
    meshes: Tensor
    flow: Tensor
    known: Tensor
    seen: Tensor
    usable: Tensor

    @classmethod
    def open(cls, folder: Path, device: torch.device | str = "cpu") -> ClipStore:
        """Open the files that `pack_clips` wrote."""
        names = ("clips.npy", "clips_mesh.npy", "clips_flow.npy", "clips_mask.npy")
        frames, meshes, flow, known = (_open(folder / name, device) for name in names)
        seen = ~meshes.isnan().any(3).any(2)
        usable = torch.nonzero(seen.sum(1) > 1).flatten()
        if not len(usable):
            raise ArgumentError(f"clips must have a face in at least two frames, and {folder} has no such clip")
        return cls(frames, meshes, flow, known, seen, usable)

    def views(self, count: int, generator: torch.Generator, framing: Framing = AS_CUT) -> Views:
        """Draw single frames."""
        clips, _, times = self._choose(count, generator)
        mirrored = uniform(generator, count) < 0.5
        return Views.take(*_mirrored(*self._view(clips, times), mirrored), generator, framing)

    def draw(self, count: int, generator: torch.Generator, framing: Framing = AS_CUT) -> Pair:
        """Draw pairs; two thirds have frame 0 as source, to which the flow is known, and are not mirrored."""
        clips, source, driving = self._choose(count, generator)
        known = (source == 0).float()
        flow = self.flow[clips, driving] / FLOW_UNIT
        mask = self.known[clips, driving][:, None] * known.view(-1, 1, 1, 1)
        flip = (uniform(generator, count) < 0.5) & (known == 0)
        views = [_mirrored(*self._view(clips, times), flip) for times in (source, driving)]
        (first, mesh_first), (second, mesh_second) = views
        return clip_pair((first, second), (mesh_first, mesh_second), flow, mask, generator, framing)

    def _choose(self, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Choose clips, and two frames of each in which the face was found."""
        clips = self.usable[integers(generator, len(self.usable), count)]
        seen = self.seen[clips]
        source, driving = torch.where(seen, uniform(generator, *seen.shape), 2).argsort(1)[:, :2].unbind(1)
        first = (uniform(generator, count) < 0.66) & seen[:, 0]
        driving = torch.where(first & (driving == 0), source, driving)
        return clips, source.masked_fill(first, 0), driving

    def _view(self, clips: Tensor, times: Tensor) -> tuple[Tensor, Tensor]:
        return _pictures(self.frames[clips, times]), self.meshes[clips, times]


def _open(path: Path, device: torch.device | str) -> Tensor:
    """Map the file into memory on the CPU; copy it to other devices, which is faster than a copy of every picture."""
    if not path.exists():
        raise ArgumentError(f"{path} is missing; pack the pictures again with pack_stills and pack_clips")
    check_regular(path, ARRAYS)
    # Torch needs writable memory; the mode "c" never writes to the file.
    return torch.from_numpy(np.load(path, mmap_mode="c")).to(device)


def _pictures(images: Tensor) -> Tensor:
    return images.permute(0, 3, 1, 2).float() / 255


def _mirrored(image: Tensor, mesh: Tensor, flip: Tensor) -> tuple[Tensor, Tensor]:
    turned = mesh[:, mirror_order().to(mesh.device)] * mesh.new_tensor([-1.0, 1.0, 1.0])
    return (
        torch.where(flip[:, None, None, None], image.flip(3), image),
        torch.where(flip[:, None, None], turned, mesh),
    )
