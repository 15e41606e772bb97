"""Which frames of a clip show a face.

The sample of frames that the crop was found by tells of some. For the others the keypoints do: as long as they move as
a face can move, a frame shows a face if the frame before did. A frame is looked at where they jump, where the sample
saw no face, and from there on until there is one, so a clip that shows its face throughout costs no look. It fails when
a face leaves slowly between two frames of the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final

from torch import Tensor

from fomaug.geometry import normalise
from fomaug.media import Frame
from fomaug.types import Keypoints

_JUMP: Final = 0.06  # between the poses of neighbouring frames; real clips reach 0.043, a cut from black begins at 0.14
_GAP: Final = 12  # frames, half a second; without a jump, what is missed for less was there all the time

Look = Callable[[Frame], bool]


class FaceWatch:
    """Notes, batch after batch of a clip, which frames show a face.

    Args:
        seen: numbers of the frames that were looked at before, and whether each showed a face.
        look: whether a picture shows a face.
    """

    def __init__(self, seen: Mapping[int, bool], look: Look) -> None:
        self.seen = seen
        self.look = look
        self._shown: list[bool] = []
        self._jumps: list[bool] = []
        self._last: Tensor | None = None

    def __call__(self, pictures: Sequence[Frame], keypoints: Keypoints) -> None:
        """Take in the next frames.

        Args:
            pictures: (H, W, 3) uint8 RGB, as the model saw them.
            keypoints: that it found in them.
        """
        for picture, pose in zip(pictures, normalise(keypoints.value.float()), strict=True):
            jump = self._last is not None and _apart(pose, self._last) > _JUMP
            self._shown.append(self._shows(picture, jump=jump))
            self._jumps.append(jump)
            self._last = pose

    def rows(self) -> list[int]:
        """Number the frames to keep, see `frames_to_keep`."""
        return frames_to_keep(self._shown, self._jumps)

    def _shows(self, picture: Frame, *, jump: bool) -> bool:
        seen = self.seen.get(len(self._shown))
        if seen is None and not jump and self._shown and self._shown[-1]:
            return True
        return seen or self.look(picture)


def frames_to_keep(shown: Sequence[bool], jumps: Sequence[bool]) -> list[int]:
    """Take the frames that show a face, and the short gaps between them in which it was merely missed.

    In such a gap the keypoints do not jump: they lay on the face all the time.

    Args:
        shown: whether each frame shows a face.
        jumps: whether the keypoints jump between the frame before and this one.

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


def _apart(pose: Tensor, other: Tensor) -> float:
    return float((pose - other).square().sum(-1).mean().sqrt())
