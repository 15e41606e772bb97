"""Search pictures for faces by the keypoints of a model, and check that they are keypoints of a face.

A keypoint detector reports the points of a face everywhere, so a candidate must pass three checks: its box stays the
same when the search zooms in on it, its points are arranged like those of the mean face, and each point has the same
position in other views of the picture. A detector of face points also finds points in the shape of a face on a wall of
bricks, but different points in the mirror image of the bricks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from fomaug.animator import Animator
from fomaug.faces.canonical import KEYPOINT_POINTS, mean_mesh, mesh_keypoints
from fomaug.faces.squares import FACE_SHARE, Square
from fomaug.geometry import normalise
from fomaug.media import Frame, to_unit

_WINDOW_SHARES: Final = (0.65, 0.4)  # sides of the smaller search windows, in shorter sides of the picture
_ROUNDS: Final = 6  # of zooming in on a candidate
_SETTLED: Final = 0.85  # overlap of a face's box with that of the round before
_MOST_DEVIATION: Final = 0.15  # from the mean face's pose, in face sizes; real clips reach 0.15, most stay below 0.1
_SIZE_BONUS: Final = 0.03  # deviation that doubling the size of a face makes up for
_BATCH: Final = 16
_MARGIN: Final = 0.16  # of the picture's side, added around it in the distant views; closer views would cut faces
_MOST_INSTABILITY: Final = 0.125  # in face sizes; faces measure up to 0.11, other things 0.15 or more
_MARGIN_SHARES: Final = ((0.3, 0.7), (0.7, 0.3))  # shares of the margin to the left and at the top

Padding = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]

FaceBox = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels."""


class Candidate(NamedTuple):
    """A search window that may contain a face.

    Attributes:
        box: box around the keypoints, in the picture's pixels.
        window: square that was searched.
        score: deviation of the keypoints from a face, less a bonus for size; lower is better.
    """

    box: FaceBox
    window: Square
    score: float


class Detection(NamedTuple):
    """Result of zooming in on a candidate.

    Attributes:
        box: box around the keypoints, in the picture's pixels.
        window: square around the box.
        deviation: distance from the mean face's pose, in face sizes.
        is_face: whether the detection passed all checks.
    """

    box: FaceBox
    window: Square
    deviation: float
    is_face: bool


def candidates(model: Animator, picture: Frame) -> list[Candidate]:
    """Detect keypoints in windows all over the picture; the window that is most like a face comes first."""
    windows = list(_windows(picture.shape[0], picture.shape[1]))
    found: list[Candidate] = []
    for start in range(0, len(windows), _BATCH):
        some = windows[start : start + _BATCH]
        points = _detect(model, [window.cut_pixels(picture) for window in some])
        for row, (window, deviation) in enumerate(zip(some, _deviation(points), strict=True)):
            box = _box_around(points[row], window)
            found.append(Candidate(box, window, deviation - size_bonus(window)))
    return sorted(found, key=lambda candidate: candidate.score)


def refine(model: Animator, picture: Frame, window: Square) -> Detection:
    """Recentre the window on its keypoints until it converges, then check whether they are the keypoints of a face."""
    box: FaceBox | None = None
    settled = False
    for _ in range(_ROUNDS):
        points = _detect(model, [window.cut_pixels(picture)])
        before, box = box, _box_around(points[0], window)
        window = square_at(box, FACE_SHARE, picture.shape)
        settled = before is not None and overlap(before, box) >= _SETTLED
        if settled:
            break
    assert box is not None
    deviation = _deviation(points)[0]
    looks_right = settled and deviation <= _MOST_DEVIATION
    return Detection(box, window, deviation, looks_right and is_steady(model, window.cut_pixels(picture)))


def _detect(model: Animator, parts: Sequence[Frame]) -> Tensor:
    """Detect keypoints (B, K, 2) in parts of a picture, each in its own padded square."""
    side = model.size
    squares = [part if len(parts) == 1 else np.array(Image.fromarray(part).resize((side, side))) for part in parts]
    return model.detect(to_unit(np.stack(squares))).value.float().cpu()


def _windows(height: int, width: int) -> Iterator[Square]:
    """Yield squares that cover the picture, of three sizes, each half over the next."""
    short = min(height, width)
    for share in (1.0, *_WINDOW_SHARES):
        side = max(1, round(share * short))
        for top in _starts(height, side):
            for left in _starts(width, side):
                yield Square(left, top, left + side, top + side)


def _starts(length: int, side: int) -> list[int]:
    # Narrow strips contain no face; the limit avoids thousands of windows on them.
    count = min(24, 1 + math.ceil((length - side) / (side / 2)))
    return [round(start) for start in np.linspace(0, length - side, count)]


def size_bonus(window: Square) -> float:
    """Return the bonus for size: of two windows with equal deviations, the larger one is more often the face."""
    return _SIZE_BONUS * math.log2(window.right - window.left)


def _deviation(points: Tensor) -> list[float]:
    """Return the distance of each pose (B, K, 2) from the mean face's, whatever its position and size."""
    face = normalise(mesh_keypoints(mean_mesh()[None]).value)
    distances: list[float] = (normalise(points) - face).square().sum(-1).mean(-1).sqrt().tolist()
    return distances


def window_keypoints(model: Animator, picture: Frame, window: Square) -> NDArray[np.float64]:
    """Detect the keypoints (K, 2) of the face in a window, in the picture's pixels.

    Args:
        model: animator whose keypoints are known points of the face.
        picture: (H, W, 3) uint8 RGB.
        window: square around the face.
    """
    return _in_picture(_detect(model, [window.cut_pixels(picture)])[0], window)


def _box_around(points: Tensor, window: Square) -> FaceBox:
    """Return the box around keypoints (K, 2) of a window, in the picture's pixels."""
    pixels = _in_picture(points, window)
    (left, top), (right, bottom) = pixels.min(0).tolist(), pixels.max(0).tolist()
    return left, top, right, bottom


def _in_picture(points: Tensor, window: Square) -> NDArray[np.float64]:
    """Convert keypoints (K, 2) of a window, which is padded to a square, to the picture's pixels."""
    height, width = window.size
    side = max(height, width)
    padding = np.array([(side - width) // 2, (side - height) // 2])
    pixels: NDArray[np.float64] = (points.double().numpy() + 1) / 2 * (side - 1) - padding + np.array(window[:2])
    return pixels


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
    first, mirrored, *distant = _detect_views(model, views)
    unmirrored = mirrored[_mirror_partners()] * torch.tensor([-1.0, 1.0])
    near = [_without_margin(points, margin, picture.shape[0]) for points, margin in zip(distant, margins, strict=True)]
    size = _root_mean_square(first - first.mean(0))
    return max(_root_mean_square(first - points) for points in (unmirrored, *near)) / max(size, 1e-6)


def _detect_views(model: Animator, views: Sequence[Frame]) -> Tensor:
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


def square_at(box: Sequence[float], share: float, size: Sequence[int]) -> Square:
    """Return a square around a box, shifted into the picture if needed.

    Args:
        box: (left, top, right, bottom) in pixels.
        share: side of the square over the longer side of the box.
        size: (H, W) of the picture.

    >>> square_at((10, 10, 20, 30), 2.0, (100, 100))
    Square(left=0, top=0, right=40, bottom=40)
    """
    longer = max(box[2] - box[0], box[3] - box[1])
    side = int(np.clip(round(share * longer), 1, min(size[:2])))
    left, top = (
        int(np.clip(round((low + high - side) / 2), 0, length - side))
        for low, high, length in ((box[0], box[2], size[1]), (box[1], box[3], size[0]))
    )
    return Square(left, top, left + side, top + side)


def overlap(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the intersection over union of two boxes (left, top, right, bottom).

    >>> overlap((0, 0, 2, 2), (0, 1, 2, 3))
    0.3333333333333333
    """
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared) if shared else 0.0
