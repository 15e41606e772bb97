"""Squares in frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, TypeVar

import numpy as np
import torch
from torch import Tensor

from fomaug.media import Frame

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels, right and bottom outside."""

FACE_SHARE: Final = 1.8
"""Side of the square over the height of the face, as faces lie in the pictures that face models are trained on."""

Item = TypeVar("Item")


def square_at(box: Sequence[float], share: float, size: tuple[int, ...]) -> Box:
    """Lay a square around a box, `share` times its longer side, inside a frame of `size` (H, W).

    >>> square_at((10, 10, 20, 30), 2.0, (100, 100))
    (0, 0, 40, 40)
    """
    longer = max(box[2] - box[0], box[3] - box[1])
    side = int(np.clip(round(share * longer), 1, min(size[:2])))
    left, top = (
        int(np.clip(round((low + high - side) / 2), 0, length - side))
        for low, high, length in ((box[0], box[2], size[1]), (box[1], box[3], size[0]))
    )
    return left, top, left + side, top + side


def cut(picture: Frame, box: Box | None) -> Frame:
    """Take the box out of a picture; all of it without a box."""
    if box is None:
        return picture
    left, top, right, bottom = box
    return picture[top:bottom, left:right]


def to_batch(pictures: Sequence[Frame]) -> Tensor:
    """Stack pictures (H, W, 3) uint8 of one size into (B, 3, H, W) float in [0, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Cut a stream into lists of at most `size`."""
    batch: list[Item] = []
    for item in items:
        batch.append(item)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
