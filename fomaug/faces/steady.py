"""Distinguish keypoints on a face from other keypoints: those on a face are stable in other views of the picture.

A detector of face points also finds points in the shape of a face on a wall of bricks, but different points in the
mirror image of the bricks.
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
from fomaug.media import Frame, to_unit

_MARGIN: Final = 0.16  # of the picture's side, added around it in the distant views; closer views would cut faces
_MOST_INSTABILITY: Final = 0.125  # in face sizes; faces measure up to 0.11, other things 0.15 or more
_MARGIN_SHARES: Final = ((0.3, 0.7), (0.7, 0.3))  # shares of the margin to the left and at the top

Padding = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


def is_steady(model: Animator, picture: Frame) -> bool:
    """Return whether the keypoints are as stable as those of a face; `instability` has the same arguments."""
    return instability(model, picture) <= _MOST_INSTABILITY


def instability(model: Animator, picture: Frame) -> float:
    """Measure how far keypoints differ between a picture, its mirror image and two distant views of it.

    Args:
        model: animator whose keypoints are known points of the face.
        picture: (S, S, 3) uint8 RGB.

    Returns:
        The largest of the root mean square distances, in sizes of the face (the root mean square distance of its points
        from their mean).
    """
    margins = [_padding(picture.shape[0], shares) for shares in _MARGIN_SHARES]
    views = [picture, np.ascontiguousarray(picture[:, ::-1]), *(np.pad(picture, margin, "edge") for margin in margins)]
    first, mirrored, *distant = _detect(model, views)
    unmirrored = mirrored[_mirror_partners()] * torch.tensor([-1.0, 1.0])
    near = [_without_margin(points, margin, picture.shape[0]) for points, margin in zip(distant, margins, strict=True)]
    size = _root_mean_square(first - first.mean(0))
    return max(_root_mean_square(first - points) for points in (unmirrored, *near)) / max(size, 1e-6)


def _detect(model: Animator, views: Sequence[Frame]) -> Tensor:
    squares = [np.array(Image.fromarray(view).resize((model.size, model.size))) for view in views]
    return model.detect(to_unit(np.stack(squares))).value.float().cpu()


def _padding(side: int, shares: tuple[float, float]) -> Padding:
    """Return the pixels to add before and after the rows, the columns and the channels."""
    margin = round(_MARGIN * side)
    left, top = (round(share * margin) for share in shares)
    return (top, margin - top), (left, margin - left), (0, 0)


def _without_margin(points: Tensor, padding: Padding, side: int) -> Tensor:
    """Convert points of a padded picture to the [-1, 1] of the picture without padding."""
    (top, bottom), (left, _), _ = padding
    pixels = (points + 1) / 2 * (side + top + bottom - 1) - torch.tensor([left, top])
    return pixels / max(side - 1, 1) * 2 - 1


def _mirror_partners() -> list[int]:
    """Return the index of each keypoint's mirror partner."""
    names = list(KEYPOINT_POINTS)
    swapped = (name.replace("left", "-").replace("right", "left").replace("-", "right") for name in names)
    return [names.index(name) for name in swapped]


def _root_mean_square(offsets: Tensor) -> float:
    return float(offsets.square().sum(-1).mean().sqrt())
