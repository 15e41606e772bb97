"""Pictures of any kind and size through `MotionAugment`, memory bounded by pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug.augment import MotionAugment, MotionResult
from fomaug.geometry import warp_image
from fomaug.media import Picture
from fomaug.motion import MotionParams

_PIXELS: Final = 16_000_000  # of all results of one pass; larger batches are cut

Draws = Sequence[Sequence[MotionParams]]


@dataclass(frozen=True, eq=False)
class Moved:
    """One animated copy.

    Attributes:
        picture: as its source in kind, size and depth.
        params: with the reference frame settled.
        flow: (1, h, w, 2) backward flow on the CPU, for the labels.
        occlusion: (1, 1, h, w).
    """

    picture: Picture
    params: MotionParams
    flow: Tensor
    occlusion: Tensor


def move(augment: MotionAugment, pictures: Sequence[Picture], draws: Draws, *, batch_size: int) -> list[list[Moved]]:
    """Animate pictures, each as often as it has draws.

    Args:
        augment: what applies the draws.
        pictures: of any sizes and kinds.
        draws: for each picture its parameters; numbers may differ.
        batch_size: most copies in one pass.

    Returns:
        For each picture its copies.
    """
    made: list[list[Moved]] = [[] for _ in pictures]
    for rows, parts in _passes(pictures, draws, batch_size):
        images = _to_images([pictures[row] for row in rows])
        result = augment.apply(images, [param for part in parts for param in part])
        for place, param in enumerate(result.params):
            row = rows[place // len(parts[0])]
            made[row].append(_take(pictures[row], result, place, param))
    return made


def _passes(pictures: Sequence[Picture], draws: Draws, batch_size: int) -> Iterator[tuple[list[int], Draws]]:
    """Cut the work: pictures of one kind and number of draws together, or one picture with some of its draws."""

    def kind(row: int) -> tuple[Any, ...]:
        return pictures[row].pixels.shape, str(pictures[row].pixels.dtype), len(draws[row])

    for (shape, _, copies), group in groupby(sorted(range(len(pictures)), key=kind), kind):
        rows = list(group)
        most = max(1, min(batch_size, _PIXELS // (shape[0] * shape[1])))
        together = most // copies if copies else 0
        if together:
            for start in range(0, len(rows), together):
                part = rows[start : start + together]
                yield part, [draws[row] for row in part]
        else:
            for row in rows:
                for start in range(0, copies, most):
                    yield [row], [draws[row][start : start + most]]


def _to_images(pictures: Sequence[Picture]) -> Tensor:
    """(B, C, H, W), uint8 as it is, 16 bits as float in [0, 1]."""
    stack = np.stack([picture.pixels for picture in pictures]).transpose(0, 3, 1, 2)
    if stack.dtype == np.uint16:
        stack = stack.astype(np.float32) / 65535
    return torch.from_numpy(np.ascontiguousarray(stack))


def _take(picture: Picture, result: MotionResult, place: int, params: MotionParams) -> Moved:
    flow = result.flow[place : place + 1].cpu()
    alpha = None if picture.alpha is None else _from_unit(warp_alpha(picture.alpha, flow), picture.alpha.dtype)
    pixels = result.image[place : place + 1].cpu()
    image = pixels[0].permute(1, 2, 0).numpy() if pixels.dtype == torch.uint8 else _from_unit(pixels, np.uint16)
    moved = Picture(np.ascontiguousarray(image), alpha, picture.icc_profile, picture.encode_format)
    return Moved(moved, params, flow, result.occlusion[place : place + 1].cpu())


def warp_alpha(alpha: NDArray[Any], flow: Tensor) -> Tensor:
    """Move an alpha channel (H, W, 1) along; (1, 1, H, W) in [0, 1] comes out."""
    top = float(np.iinfo(alpha.dtype).max)
    unit = torch.from_numpy(alpha.astype(np.float32) / top).permute(2, 0, 1)[None]
    return warp_image(unit, flow, padding="border")


def _from_unit(unit: Tensor, dtype: Any) -> NDArray[Any]:
    top = float(np.iinfo(dtype).max)
    levels: NDArray[Any] = (unit[0].permute(1, 2, 0).double() * top).round().clamp(0, top).numpy().astype(dtype)
    return levels
