"""Animate pictures of any kind and size by `MotionAugment`; memory is bounded by the number of pixels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fomaug.augment import MotionAugment, MotionResult
from fomaug.faces import MovedFace, Square, compose_motion, flow_cells, put_back
from fomaug.geometry import warp_image
from fomaug.media import Picture, to_array, to_tensor, to_unit
from fomaug.motion import MotionParams

_MOST_PIXELS: Final = 16_000_000  # of all results of one pass; larger batches are split

Draws = Sequence[Sequence[MotionParams]]


@dataclass(frozen=True, eq=False)
class Moved:
    """One animated copy.

    Attributes:
        picture: copy, of its source's kind, size and depth.
        params: motion parameters, fitted to the source.
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
        augment: augmentation that applies the draws.
        pictures: pictures of any sizes and kinds.
        draws: motion parameters of each picture, in any numbers.
        batch_size: largest number of copies in one pass.

    Returns:
        The copies of each picture.
    """
    made: list[list[Moved]] = [[] for _ in pictures]
    for rows, parts in _passes(pictures, draws, batch_size):
        images = _to_images([pictures[row] for row in rows])
        result = augment.apply(images, [param for part in parts for param in part])
        for position in range(len(result.params)):
            row = rows[position // len(parts[0])]
            made[row].append(_take(pictures[row], result, position))
    return made


def _passes(pictures: Sequence[Picture], draws: Draws, batch_size: int) -> Iterator[tuple[list[int], Draws]]:
    """Split the work: pictures of one kind and number of draws together, or one picture with some of its draws."""

    def kind(row: int) -> tuple[Any, ...]:
        return pictures[row].pixels.shape, str(pictures[row].pixels.dtype), len(draws[row])

    for (shape, _, copies), group in groupby(sorted(range(len(pictures)), key=kind), kind):
        rows = list(group)
        most = max(1, min(batch_size, _MOST_PIXELS // (shape[0] * shape[1])))
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
    """Stack pictures of one kind to (B, C, H, W); 8 bits stay uint8, 16 bits become float in [0, 1]."""
    stack = np.stack([picture.pixels for picture in pictures])
    return (to_tensor(stack) if stack.dtype == np.uint8 else to_unit(stack)).contiguous()


def _take(picture: Picture, result: MotionResult, row: int) -> Moved:
    flow = result.flow[row : row + 1].cpu()
    alpha = None if picture.alpha is None else warp_image(to_unit(picture.alpha)[None], flow, padding="border")[0]
    moved = picture.with_image(result.image[row].cpu(), alpha)
    return Moved(moved, result.params[row], flow, result.occlusion[row : row + 1].cpu())


_FACE_CELLS: Final = 64  # along the longer side of the smallest square, as in the flow of a whole picture


def compose(picture: Picture, squares: Sequence[Square], faces: Sequence[Moved]) -> Moved:
    """Put animated faces back into their picture; flow and occlusion become those of the whole picture.

    Args:
        picture: whole picture.
        squares: squares that the faces were cut out of; later ones cover earlier ones.
        faces: animated squares.

    Returns:
        The whole picture, its parameters those of all faces with their boxes. Outside of the squares, the picture is
        unchanged, bit for bit.
    """
    moved = [
        MovedFace(square, to_tensor(face.picture.pixels)[None], face.flow, face.occlusion)
        for square, face in zip(squares, faces, strict=True)
    ]
    flow, occlusion = compose_motion(picture.size, flow_cells(picture.size, _density(squares)), moved)
    boxed = [replace(face.params, box=square.edges) for square, face in zip(squares, faces, strict=True)]
    params = replace(boxed[0], others=tuple(boxed[1:]))
    whole = replace(
        picture,
        pixels=to_array(put_back(to_tensor(picture.pixels)[None], moved)[0]),
        alpha=_compose_alpha(picture, moved, faces),
    )
    return Moved(whole, params, flow, occlusion)


def _compose_alpha(picture: Picture, moved: Sequence[MovedFace], faces: Sequence[Moved]) -> NDArray[Any] | None:
    if picture.alpha is None:
        return None
    alphas = [
        replace(part, image=to_tensor(face.picture.alpha)[None])
        for part, face in zip(moved, faces, strict=True)
        if face.picture.alpha is not None
    ]
    return to_array(put_back(to_tensor(picture.alpha)[None], alphas)[0])


def _density(squares: Sequence[Square]) -> float:
    return min(_FACE_CELLS / min(max(square.size) for square in squares), 1.0)
