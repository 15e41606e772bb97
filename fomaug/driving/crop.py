"""A fixed square around the face of a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from fomaug.animator import Animator
from fomaug.faces import FACE_SHARE, Boxes, Detector, FaceTracker, Square, is_face_model, square_at
from fomaug.media import Frame

_ROOM: Final = 1.15  # around everything the face reaches
_SAMPLES: Final = 16
_WHOLE: Final = 0.8  # of a square frame; a larger square is not worth cutting

Item = TypeVar("Item")
Seen = TypeVar("Seen")


class FaceCrop(NamedTuple):
    """Where the face of a clip is.

    Attributes:
        box: (left, top, right, bottom) in pixels, a square inside the frame; None for the whole frame.
        found: frames in which it was seen.
        looked: frames that were looked at.
    """

    box: Square | None
    found: int
    looked: int


class FaceSearch(NamedTuple):
    """Where the face of a clip is, and which frames say so.

    Attributes:
        crop: where it is.
        seen: numbers of the frames that were looked at, and whether a face was seen in each; empty if what was looked
            for is no face.
    """

    crop: FaceCrop
    seen: Mapping[int, bool]


def face_crop(frames: Iterable[Frame], model: Animator, detector: Detector | None = None) -> FaceCrop:
    """Find one square that holds the face in all frames of a clip.

    A sample of the frames is looked at; the square is as large as the middle face asks for, or as the face's wandering
    needs. Without a detector, a model whose keypoints are face points looks for the face itself; for other models the
    square holds what moves. It fails when several people are in view, when the face is lower than a fifth of the frame,
    and, for other models, when the camera moves: give a detector, or cut the clip and use `crop="frame"`.

    Args:
        frames: (H, W, 3) uint8 RGB, all of one size.
        model: that will read the keypoints.
        detector: finds face boxes in a frame.

    Returns:
        The square, and in how many of the frames looked at something to hold was found.
    """
    return search_face(frames, model, detector).crop


def search_face(frames: Iterable[Frame], model: Animator, detector: Detector | None = None) -> FaceSearch:
    """Do as `face_crop`, and say in which frames the face was seen."""
    if detector is None and not is_face_model(model):
        size, looks = _look(frames, _small_grey)
        moving = _moving_box(list(looks.values()), size)
        return FaceSearch(FaceCrop(_square(moving, size, _ROOM), len(looks) if moving else 0, len(looks)), {})
    size, found = _look(frames, detector or FaceTracker(model))
    faces = [_largest(boxes) for boxes in found.values() if len(boxes)]
    crop = FaceCrop(_square(faces, size, FACE_SHARE), len(faces), len(found))
    return FaceSearch(crop, {number: len(boxes) > 0 for number, boxes in found.items()})


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


def _look(frames: Iterable[Frame], look: Callable[[Frame], Seen]) -> tuple[tuple[int, int], dict[int, Seen]]:
    """The size of the frames, and by their numbers what was seen in a sample of them."""
    sample = spread(enumerate(frames), _SAMPLES, lambda item: (item[0], item[1].shape[:2], look(item[1])))
    return sample[0][1] if sample else (1, 1), {number: seen for number, _, seen in sample}


def _square(boxes: Sequence[Sequence[float]], size: tuple[int, int], share: float) -> Square | None:
    """Lay one square around the boxes of several frames, inside the frame."""
    if not boxes:
        return None
    corners = np.asarray([box[:4] for box in boxes], float)
    # The outermost twentieth is left out: one wrong box must not widen the crop of a whole clip.
    left, top = np.percentile(corners[:, :2], 5, axis=0)
    right, bottom = np.percentile(corners[:, 2:], 95, axis=0)
    height = float(np.median((corners[:, 2:] - corners[:, :2]).max(1)))
    reach = max(float(right - left), float(bottom - top), 1e-6)
    side = max(share * height, _ROOM * reach)
    if side > _WHOLE * size[0] and size[0] == size[1]:
        return None
    return square_at((left, top, right, bottom), side / reach, size)


def _small_grey(picture: Frame) -> NDArray[np.float64]:
    step = _grey_step(picture.shape[:2])
    grey: NDArray[np.float64] = picture[::step, ::step].mean(2)
    return grey


def _grey_step(size: tuple[int, int]) -> int:
    return max(1, min(size) // 96)


def _moving_box(sample: Sequence[NDArray[np.float64]], size: tuple[int, int]) -> list[tuple[float, ...]]:
    """The box of the pixels that change much over a clip, if there are any."""
    if len(sample) < 2:
        return []
    change = np.stack(sample).std(0)
    moving = change > max(4.0, 0.25 * float(np.percentile(change, 99)))
    rows, columns = (np.flatnonzero(moving.any(axis)) for axis in (1, 0))
    if not len(rows):
        return []
    step = _grey_step(size)
    return [tuple(float(step * edge) for edge in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))]


def _largest(boxes: Boxes) -> Sequence[float]:
    return max(boxes, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]))
