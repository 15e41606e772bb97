"""From folders of pictures with face meshes to arrays that training reads at random."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fomaug.errors import ArgumentError
from fomaug.files import ARRAYS, open_regular
from fomaug.media import PICTURE_FORMATS, open_picture
from fomaug.training.faces.pairs import GRID

FLOW_UNIT = 8192
"""Stored flow is int16 in parts of this."""


def pack_stills(folder: Path, out: Path, *, size: int = 256) -> int:
    """Pack portraits.

    Args:
        folder: holds `images/` and `landmarks.npz` with `files` (N,) and `landmarks` (N, 478, 3), the face meshes in
            pixels of each square picture; and in `mattes/`, where they are known, a grey `NAME.png` for each picture,
            white where it shows the person.
        out: folder for `stills.npy`, `stills_mesh.npy` and `stills_matte.npy`.
        size: side of the pictures.

    Returns:
        How many portraits there are.
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
        folder: holds `mesh.npz` with `files` (N,) and `landmarks` (N, T, 478, 3), nan where no face is; and in `set/`
            each clip as a strip of T square frames `NAME.jpg`, with `NAME.npz` beside it where the flow is known:
            `flow` (T, 64, 64, 2) int16 in parts of 8192, backward to frame 0, and `mask` (T, 64, 64).
        out: folder for `clips.npy`, `clips_mesh.npy`, `clips_flow.npy`, `clips_mask.npy`.
        size: side of a frame.

    Returns:
        How many clips there are.
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
    """From pixels, the first one's centre at 0.5, to [-1, 1] at the corner pixels' centres; depth in that unit."""
    first = np.array([0.5, 0.5, 0], np.float32)
    return np.asarray((landmarks - first) * (2 / (size - 1)) - np.array([1, 1, 0]), np.float32)


def _landmarks(path: Path, shape: Sequence[int | None]) -> tuple[list[str], NDArray[np.float32]]:
    if not path.exists():
        raise ArgumentError(f"{path} is missing; it must hold the face mesh of every picture")
    with open_regular(path, ARRAYS) as file, np.load(file, allow_pickle=False) as data:
        names, landmarks = [str(name) for name in data["files"]], data["landmarks"].astype(np.float32)
    wanted = (len(names), *shape)
    if landmarks.ndim != len(wanted) or any(
        want not in (None, have) for want, have in zip(wanted, landmarks.shape, strict=True)
    ):
        expected = ", ".join("T" if want is None else str(want) for want in wanted)
        raise ArgumentError(f"landmarks in {path} are {landmarks.shape}, ({expected}) was expected")
    return names, landmarks


def _picture(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    with open_picture(path, PICTURE_FORMATS) as picture:
        rgb = picture.convert("RGB")
    if rgb.size != size:
        raise ArgumentError(f"{path} is {rgb.size[0]} x {rgb.size[1]}, {size[0]} x {size[1]} was expected; resize it")
    return np.asarray(rgb)


def _array(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap[tuple[int, ...], np.dtype[np.generic]]:
    return np.lib.format.open_memmap(path, "w+", dtype, shape)
