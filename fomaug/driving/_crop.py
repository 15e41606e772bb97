"""A fixed square around the face of a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fomaug.animator import Animator
from fomaug.driving._face import KEYPOINT_POINTS, mean_mesh, mesh_keypoints
from fomaug.driving._picture import Picture
from fomaug.driving._track import normalise

Box = tuple[int, int, int, int]
Boxes = Sequence[Sequence[float]]
Detector = Callable[[Picture], Boxes]
"""(H, W, 3) uint8 RGB to face boxes (left, top, right, bottom) in pixels, none if there is no face."""

FACE_SHARE: Final = 1.8  # side of the square over the height of the face, as faces lie in the training pictures
_ROOM: Final = 1.15  # around everything the face reaches
_SAMPLES: Final = 16
_ROUNDS: Final = 3
_ODD_FACE: Final = 0.3  # root mean square distance from the mean face's pose, in face sizes
_WHOLE: Final = 0.8  # of the frame's short side; a larger square is not worth cutting

Item = TypeVar("Item")
Seen = TypeVar("Seen")


def is_face_model(model: Animator) -> bool:
    """Whether the model's keypoints are tied to known points of the face."""
    return tuple(model.keypoint_names) == tuple(KEYPOINT_POINTS)


class FaceCrop(NamedTuple):
    """Where the face of a clip is.

    Attributes:
        box: (left, top, right, bottom) in pixels, a square inside the frame; None for the whole frame.
        found: frames in which it was seen.
        looked: frames that were looked at.
    """

    box: Box | None
    found: int
    looked: int


def face_crop(frames: Iterable[Picture], model: Animator, detector: Detector | None = None) -> FaceCrop:
    """Find one square that holds the face in all frames of a clip.

    A sample of the frames is looked at; the square is as large as the middle face asks for, or as the face's wandering
    needs. Without a detector, a model whose keypoints are face points looks for the face itself, first in the whole
    frame, then closer; for other models the square holds what moves. It fails when several people are in view, when the
    face is much smaller than a third of the frame, and, for other models, when the camera moves: give a detector, or
    cut the clip and use `crop="frame"`.

    Args:
        frames: (H, W, 3) uint8 RGB, all of one size.
        model: that will read the keypoints.
        detector: finds face boxes in a frame.

    Returns:
        The square, and in how many of the frames looked at something to hold was found.
    """
    if detector is None and not is_face_model(model):
        size, sample = _look(frames, _small_grey)
        moving = _moving_box(sample, size)
        return FaceCrop(
            _square([moving] if moving else [], size, share=_ROOM), len(sample) if moving else 0, len(sample)
        )
    size, found = _look(frames, detector or (lambda picture: _own_boxes(picture, model)))
    faces = [_largest(boxes) for boxes in found if len(boxes)]
    return FaceCrop(_square(faces, size), len(faces), len(found))


def cut(picture: Picture, box: Box | None) -> Picture:
    """Take the box out of a picture."""
    if box is None:
        return picture
    left, top, right, bottom = box
    return picture[top:bottom, left:right]


def spread(items: Iterable[Item], count: int, look: Callable[[Item], Seen]) -> list[Seen]:
    """Look at some items, evenly spread over a stream of unknown length, and keep what was seen of at most `count`.

    >>> spread(range(100), 4, str)
    ['0', '32', '64', '96']
    """
    kept: list[Seen] = []
    step = 1
    for index, item in enumerate(items):
        if index % step == 0 and len(kept) == count:
            kept, step = kept[::2], step * 2
        if index % step == 0:
            kept.append(look(item))
    return kept


def _look(frames: Iterable[Picture], look: Callable[[Picture], Seen]) -> tuple[tuple[int, int], list[Seen]]:
    """The size of the frames and what was seen in a sample of them."""
    seen = spread(frames, _SAMPLES, lambda picture: (picture.shape[:2], look(picture)))
    return seen[0][0] if seen else (1, 1), [part for _, part in seen]


def _square(boxes: list[Sequence[float]], size: tuple[int, int], share: float = FACE_SHARE) -> Box | None:
    """Lay a square around the boxes, inside the frame."""
    short = min(size)
    if not boxes:
        return None
    corners = np.asarray([box[:4] for box in boxes], float)
    reach = np.concatenate([np.percentile(corners[:, :2], 5, axis=0), np.percentile(corners[:, 2:], 95, axis=0)])
    extent = (corners[:, 2:] - corners[:, :2]).max(1)
    side = max(share * float(np.median(extent)), _ROOM * float((reach[2:] - reach[:2]).max()))
    if side > _WHOLE * short and max(size) == short:
        return None
    whole_side = int(min(round(side), short))
    centre = (reach[:2] + reach[2:]) / 2
    left, top = (
        int(np.clip(round(middle - whole_side / 2), 0, length - whole_side))
        for middle, length in zip(centre, (size[1], size[0]), strict=True)
    )
    return left, top, left + whole_side, top + whole_side


def _own_boxes(picture: Picture, model: Animator) -> Boxes:
    """Look for the face with the model's own keypoints: in the whole frame, then ever closer."""
    window: Box | None = None
    for _ in range(_ROUNDS):
        part = cut(picture, window)
        points = model.detect(to_batch([part])).value.float().cpu()
        corner = (0, 0) if window is None else window[:2]
        pixels = _to_pixels(points[0].numpy(), part.shape[:2]) + corner
        box = [*pixels.min(0), *pixels.max(0)]
        closer = _square([box], picture.shape[:2])
        if closer == window:
            break
        window = closer
    return [] if _oddness(points) > _ODD_FACE else [box]


def _oddness(points: Tensor) -> float:
    """How little points (1, K, 2) look like a face: their distance from the mean face's, both made alike in scale."""
    face = normalise(mesh_keypoints(mean_mesh()[None]).value)
    return float((normalise(points) - face).square().sum(-1).mean().sqrt())


def _small_grey(picture: Picture) -> NDArray[np.float64]:
    step = _grey_step(picture.shape[:2])
    grey: NDArray[np.float64] = picture[::step, ::step].mean(2)
    return grey


def _grey_step(size: tuple[int, int]) -> int:
    return max(1, min(size) // 96)


def _moving_box(sample: list[NDArray[np.float64]], size: tuple[int, int]) -> list[float] | None:
    """The box of the pixels that change much over a clip, (left, top, right, bottom); None if nothing does."""
    if len(sample) < 2:
        return None
    change = np.stack(sample).std(0)
    moving = change > max(4.0, 0.25 * float(np.percentile(change, 99)))
    rows, columns = (_extent(moving.any(axis)) for axis in (1, 0))
    if rows is None or columns is None:
        return None
    step = _grey_step(size)
    return [step * float(value) for value in (columns[0], rows[0], columns[1], rows[1])]


def _extent(line: NDArray[np.bool_]) -> tuple[int, int] | None:
    places = np.flatnonzero(line)
    return (int(places[0]), int(places[-1]) + 1) if len(places) else None


def _largest(boxes: Boxes) -> Sequence[float]:
    return max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))


def _to_pixels(points: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Carry points from the padded square of a frame (H, W) into its pixels."""
    square = max(size)
    padding = np.array([(square - size[1]) // 2, (square - size[0]) // 2])
    result: NDArray[np.float32] = (points + 1) / 2 * (square - 1) - padding
    return result


def to_batch(pictures: Sequence[Picture]) -> Tensor:
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
