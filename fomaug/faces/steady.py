"""Whether a model's keypoints lie on a face: there they stay where they are when the picture is looked at otherwise.

A detector of face points answers a wall of bricks, too, with points in the shape of a face; but to the bricks' mirror
image it answers with other ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from fomaug.animator import Animator
from fomaug.faces.canonical import KEYPOINT_POINTS
from fomaug.faces.square import to_batch
from fomaug.media import Frame

_ROOM: Final = 0.16  # of the picture's side, around it in the views from farther away; closer ones would cut faces
_WANDERING: Final = 0.125  # of the points, in face sizes; faces reach 0.11, and what is none begins at 0.15
_PLACES: Final = ((0.3, 0.7), (0.7, 0.3))  # shares of that room to the left and at the top


Room = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def is_steady(model: Animator, picture: Frame) -> bool:
    """Whether the points stay where they are, as those of a face do; arguments as in `wandering`."""
    return wandering(model, picture) <= _WANDERING


def wandering(model: Animator, picture: Frame) -> float:
    """Measure how far the points wander between a picture, its mirror image and two views of it from farther away.

    Args:
        model: whose keypoints are known points of the face.
        picture: (S, S, 3) uint8 RGB.

    Returns:
        The largest of the root mean square distances, in sizes of the face (the root mean square distance of its points
        from their middle).
    """
    frames = [_around(picture.shape[0], place) for place in _PLACES]
    views = [picture, np.ascontiguousarray(picture[:, ::-1]), *(np.pad(picture, frame, "edge") for frame in frames)]
    first, mirrored, *far = _points(model, views)
    other = mirrored[_partners()] * torch.tensor([-1.0, 1.0])
    back = [_back(points, frame, picture.shape[0]) for points, frame in zip(far, frames, strict=True)]
    size = _spread(first - first.mean(0))
    return max(_spread(first - points) for points in (other, *back)) / max(size, 1e-6)


def _points(model: Animator, views: Sequence[Frame]) -> Tensor:
    squares = [np.array(Image.fromarray(view).resize((model.size, model.size))) for view in views]
    return model.detect(to_batch(squares)).value.float().cpu()


def _around(side: int, place: tuple[float, float]) -> Room:
    """Pixels to add before and after the rows, the columns and the channels."""
    room = round(_ROOM * side)
    left, top = (round(share * room) for share in place)
    return (top, room - top), (left, room - left), (0, 0)


def _back(points: Tensor, room: Room, side: int) -> Tensor:
    """Points of a picture with room around it in the [-1, 1] of the picture alone."""
    (top, bottom), (left, _), _ = room
    pixels = (points + 1) / 2 * (side + top + bottom - 1) - torch.tensor([left, top])
    return pixels / max(side - 1, 1) * 2 - 1


def _partners() -> list[int]:
    """Which point each becomes in a mirror."""
    names = list(KEYPOINT_POINTS)
    swapped = (name.replace("left", "-").replace("right", "left").replace("-", "right") for name in names)
    return [names.index(name) for name in swapped]


def _spread(offsets: Tensor) -> float:
    return float(offsets.square().sum(-1).mean().sqrt())
