"""The face of a clip: a fixed square around it, and the frames that show it.

The square is computed from a sample of the frames. The keypoints decide about the other frames: while their pose
changes no faster than a face can move, a frame shows the face if the frame before does. Where the pose jumps or the
sample shows no face, each frame is tested until a face is found again. A clip with the face in all frames needs no
test. This fails if a face leaves slowly between two frames of the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from fomaug.animator import Animator
from fomaug.faces import FACE_SHARE, Boxes, Detector, FaceTracker, Square, face_boxes, is_face_model, square_at
from fomaug.geometry import normalise
from fomaug.media import Frame
from fomaug.types import Keypoints

_ROOM: Final = 1.15  # side of the crop over the extent of all positions of the face
_SAMPLES: Final = 16  # frames in the sample
_WHOLE: Final = 0.8  # share of a square frame above which the whole frame is taken
_JUMP: Final = 0.06  # between poses of neighbouring frames; real clips reach 0.044, a cut from black 0.14 or more
_GAP: Final = 12  # frames, half a second; shorter gaps without a jump are errors of the face test

Item = TypeVar("Item")
Result = TypeVar("Result")
FaceTest = Callable[[Frame], bool]


class FaceCrop(NamedTuple):
    """The square around the face of a clip.

    Attributes:
        box: (left, top, right, bottom) in pixels, a square inside the frame; None for the whole frame.
        found: number of examined frames in which the face was found.
        looked: number of examined frames.
    """

    box: Square | None
    found: int
    looked: int


class FaceSearch(NamedTuple):
    """The square around the face of a clip, and the frames that show the face.

    Attributes:
        crop: square around the face.
        seen: whether each examined frame shows a face, by its index; empty after a search for motion.
    """

    crop: FaceCrop
    seen: Mapping[int, bool]


def face_crop(frames: Iterable[Frame], model: Animator, detector: Detector | None = None) -> FaceCrop:
    """Find one square that contains the face in all frames of a clip.

    A sample of the frames is examined. The square is as large as the median face requires, or larger if the positions
    of the face require it. Without a detector, a model whose keypoints are face points finds the face itself; for other
    models the square contains the pixels that change. This fails when several people are in view, when the face is
    smaller than a fifth of the frame, and, for other models, when the camera moves: give a detector, or crop the clip
    and use `crop="frame"`.

    Args:
        frames: (H, W, 3) uint8 RGB, all of one size.
        model: model that will read the keypoints.
        detector: detector of face boxes in a frame.

    Returns:
        The square, the number of frames with a face (or with motion), and the number of examined frames.
    """
    return search_face(frames, model, detector).crop


def search_face(frames: Iterable[Frame], model: Animator, detector: Detector | None = None) -> FaceSearch:
    """Find the square as `face_crop` does, and record the frames that show a face."""
    if detector is None and not is_face_model(model):
        size, samples = _examine(frames, _small_grey)
        moving = _moving_box(list(samples.values()), size)
        return FaceSearch(FaceCrop(_square(moving, size, _ROOM), len(samples) if moving else 0, len(samples)), {})
    find = FaceTracker(model) if detector is None else partial(face_boxes, model=model, detector=detector)
    size, found = _examine(frames, find)
    faces = [_largest(boxes) for boxes in found.values() if len(boxes)]
    crop = FaceCrop(_square(faces, size, FACE_SHARE), len(faces), len(found))
    return FaceSearch(crop, {index: len(boxes) > 0 for index, boxes in found.items()})


def spread(items: Iterable[Item], count: int, examine: Callable[[Item], Result]) -> list[Result]:
    """Examine items of a stream of unknown length, and keep the results of at most `count` of them, evenly spread.

    >>> spread(range(100), 4, str)
    ['0', '32', '64', '96']
    """
    kept: list[Result] = []
    step = 1
    for index, item in enumerate(items):
        if index % step == 0 and len(kept) == count:
            kept, step = kept[::2], step * 2
        if index % step == 0:
            kept.append(examine(item))
    return kept


class FaceWatch:
    """A record of the frames of a clip that show a face, filled batch by batch.

    Args:
        seen: whether each frame of the sample shows a face, by its index.
        test: test whether a picture shows a face.
    """

    def __init__(self, seen: Mapping[int, bool], test: FaceTest) -> None:
        self.seen = seen
        self.test = test
        self._shown: list[bool] = []
        self._jumps: list[bool] = []
        self._last: Tensor | None = None

    def __call__(self, pictures: Sequence[Frame], keypoints: Keypoints) -> None:
        """Record the next frames.

        Args:
            pictures: (H, W, 3) uint8 RGB, the input of the model.
            keypoints: keypoints that the model found in them.
        """
        for picture, pose in zip(pictures, normalise(keypoints.value.float()), strict=True):
            jump = self._last is not None and _distance(pose, self._last) > _JUMP
            self._shown.append(self._shows(picture, jump=jump))
            self._jumps.append(jump)
            self._last = pose

    def rows(self) -> list[int]:
        """Return the indices of the frames to keep, see `frames_to_keep`."""
        return frames_to_keep(self._shown, self._jumps)

    def _shows(self, picture: Frame, *, jump: bool) -> bool:
        seen = self.seen.get(len(self._shown))
        if seen is None and not jump and self._shown and self._shown[-1]:
            return True
        return seen or self.test(picture)


def frames_to_keep(shown: Sequence[bool], jumps: Sequence[bool]) -> list[int]:
    """Select the frames that show a face, and short gaps between them in which the test merely missed it.

    In such a gap the keypoints do not jump, so the face was there.

    Args:
        shown: whether each frame shows a face.
        jumps: whether the keypoints jump between the previous frame and each frame.

    >>> frames_to_keep([False, True, False, True, False], [False] * 5)
    [1, 2, 3]
    """
    faces = [row for row, face in enumerate(shown) if face]
    missed = [
        range(before + 1, after)
        for before, after in pairwise(faces)
        if after - before <= _GAP and not any(jumps[before + 1 : after + 1])
    ]
    return sorted([*faces, *(row for gap in missed for row in gap)])


def _distance(pose: Tensor, other: Tensor) -> float:
    return float((pose - other).square().sum(-1).mean().sqrt())


def _examine(frames: Iterable[Frame], examine: Callable[[Frame], Result]) -> tuple[tuple[int, int], dict[int, Result]]:
    """Return the size of the frames, and the results for a sample of them by their indices."""
    sample = spread(enumerate(frames), _SAMPLES, lambda item: (item[0], item[1].shape[:2], examine(item[1])))
    return sample[0][1] if sample else (1, 1), {index: result for index, _, result in sample}


def _square(boxes: Sequence[Sequence[float]], size: tuple[int, int], share: float) -> Square | None:
    """Find one square inside the frame around the boxes of several frames."""
    if not boxes:
        return None
    corners = np.asarray([box[:4] for box in boxes], float)
    # Percentiles, because one wrong box must not widen the crop of a whole clip.
    left, top = np.percentile(corners[:, :2], 5, axis=0)
    right, bottom = np.percentile(corners[:, 2:], 95, axis=0)
    height = float(np.median((corners[:, 2:] - corners[:, :2]).max(1)))
    extent = max(float(right - left), float(bottom - top), 1e-6)
    side = max(share * height, _ROOM * extent)
    if side > _WHOLE * size[0] and size[0] == size[1]:
        return None
    return square_at((left, top, right, bottom), side / extent, size)


def _small_grey(picture: Frame) -> NDArray[np.float64]:
    step = _grey_step(picture.shape[:2])
    grey: NDArray[np.float64] = picture[::step, ::step].mean(2)
    return grey


def _grey_step(size: tuple[int, int]) -> int:
    return max(1, min(size) // 96)


def _moving_box(sample: Sequence[NDArray[np.float64]], size: tuple[int, int]) -> list[tuple[float, ...]]:
    """Find the box around the pixels that change much over a clip, as a list of one box or none."""
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
