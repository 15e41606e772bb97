from __future__ import annotations

import numpy as np
import pytest
import torch

from fomaug import Keypoints
from fomaug.driving.watch import FaceWatch, frames_to_keep

KEPT = [
    # shown, frames before which the keypoints jump, kept
    ("", "", ""),
    ("xxxx", "", "xxxx"),
    ("xxxx", "..j.", "xxxx"),
    ("..xx.", "", "..xx."),
    ("x.x", "", "xxx"),
    ("x.x", ".j.", "x.x"),
    ("x.x", "..j", "x.x"),
    ("x...x", "..j..", "x...x"),
    ("x" + 11 * "." + "x", "", 13 * "x"),
    ("x" + 12 * "." + "x", "", "x" + 12 * "." + "x"),
    (".x.x..x.", "...j", ".x.xxxx."),
]


@pytest.mark.parametrize(("shown", "jumps", "kept"), KEPT)
def test_short_gaps_without_a_jump_are_kept(shown: str, jumps: str, kept: str) -> None:
    rows = frames_to_keep([face == "x" for face in shown], [jump == "j" for jump in jumps.ljust(len(shown), ".")])
    assert rows == [row for row, face in enumerate(kept) if face == "x"]


def looks_at(shown: str, seen: dict[int, bool], jumps: set[int]) -> tuple[list[int], list[int]]:
    """The frames that a watch looks at, and those it keeps; frames are told apart by their only pixel."""
    looked: list[int] = []

    def look(picture: np.ndarray) -> bool:
        looked.append(int(picture[0, 0, 0]))
        return shown[looked[-1]] == "x"

    watch = FaceWatch(seen, look)
    shapes = torch.rand(2, 6, 2, generator=torch.Generator().manual_seed(0))
    shape = np.cumsum([number in jumps for number in range(len(shown))]) % 2
    for start in range(0, len(shown), 4):
        numbers = range(start, min(start + 4, len(shown)))
        watch([np.full((1, 1, 3), number, np.uint8) for number in numbers], Keypoints(shapes[shape[list(numbers)]]))
    return looked, watch.rows()


def test_only_doubtful_frames_are_looked_at() -> None:
    assert looks_at("xxxxxxxx", {0: True, 4: True}, set()) == ([], list(range(8)))
    assert looks_at("..xxxxxx", {0: False, 4: True}, {2}) == ([0, 1, 2], list(range(2, 8)))
    assert looks_at("xxxxxx..", {0: True, 4: True}, {6}) == ([6, 7], list(range(6)))
    assert looks_at("xx..xxxx", {0: True, 4: True}, {2, 4}) == ([2, 3], [0, 1, 4, 5, 6, 7])
    assert looks_at("xxxxxxxx", {0: True, 4: False}, {2}) == ([2, 4], list(range(8)))


def test_a_frame_in_which_a_face_was_seen_is_kept_whatever_the_second_look_says() -> None:
    assert looks_at("........", {0: False, 4: True}, set()) == ([0, 1, 2, 3], [4, 5, 6, 7])
