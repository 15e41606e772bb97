from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fomaug import Keypoints
from fomaug.driving import face_crop
from fomaug.driving.crop import FaceWatch, frames_to_keep, spread
from fomaug.errors import ShapeError
from fomaug.faces.finder import is_face_model


def test_a_face_model_finds_the_face_itself(finder) -> None:
    box, found, looked = face_crop([finder.marked(150 + step, 60, 40) for step in range(4)], finder)
    assert found == looked == 4
    assert box is not None
    left, top, right, bottom = box
    assert right - left == bottom - top == pytest.approx(72, abs=3)
    assert (left + right) / 2 == pytest.approx(171.5, abs=2)
    assert (top + bottom) / 2 == pytest.approx(80, abs=2)


def test_the_square_contains_all_positions_of_a_moving_face(finder) -> None:
    box = face_crop([finder.marked(60 + 3 * step, 60, 40) for step in range(31)], finder).box
    assert box is not None
    assert box[0] <= 65
    assert box[2] >= 185


def test_without_a_face_the_whole_frame_is_used(finder) -> None:
    assert face_crop([np.zeros((200, 300, 3), np.uint8)] * 3, finder) == (None, 0, 3)
    assert face_crop([], finder) == (None, 0, 0)


def test_a_face_that_fills_the_frame_is_not_cut(finder) -> None:
    assert face_crop([finder.marked(40, 40, 120, (200, 200))], finder) == (None, 1, 1)


def test_with_a_detector_the_largest_face_is_used() -> None:
    model = SimpleNamespace(keypoint_names=())
    boxes = [[0, 0, 10, 10], [100, 50, 140, 100]]
    frames = [np.zeros((200, 300, 3), np.uint8)] * 3
    assert face_crop(frames, model, lambda picture: boxes) == (
        (75, 30, 165, 120),
        3,
        3,
    )
    assert face_crop(frames, model, lambda picture: []) == (None, 0, 3)
    with pytest.raises(ShapeError, match="a detector must return a list of boxes"):
        face_crop(frames, model, lambda picture: "left")


@given(
    st.tuples(st.integers(20, 300), st.integers(20, 300)),
    st.lists(st.tuples(*[st.floats(-50, 350)] * 2, *[st.floats(1, 200)] * 2), min_size=1, max_size=5),
)
def test_every_square_is_square_and_inside(size: tuple[int, int], faces: list[tuple[float, ...]]) -> None:
    boxes = iter([(x, y, x + width, y + height)] for x, y, width, height in faces)
    frames = [np.zeros((*size, 3), np.uint8)] * len(faces)
    box = face_crop(frames, SimpleNamespace(keypoint_names=()), lambda picture: next(boxes)).box
    if box is not None:
        left, top, right, bottom = box
        assert right - left == bottom - top > 0
        assert 0 <= left < right <= size[1]
        assert 0 <= top < bottom <= size[0]


def test_for_other_models_the_square_contains_the_changing_pixels() -> None:
    model = SimpleNamespace(keypoint_names=("a",))
    assert not is_face_model(model)
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 4, (200, 300, 3), dtype=np.uint8) for _ in range(8)]
    assert face_crop(frames, model) == (None, 0, 8)
    for frame in frames:
        frame[80:140, 200:250] = rng.integers(0, 256, (60, 50, 3))
    box = face_crop(frames, model).box
    assert box is not None
    assert box[0] <= 200
    assert box[1] <= 80
    assert box[2] >= 250
    assert box[3] >= 140
    assert box[2] - box[0] < 80


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 31, 100])
def test_kept_items_of_a_stream_are_evenly_spread(count: int) -> None:
    kept = spread(range(count), 4, lambda index: index)
    assert len(kept) <= 4
    assert len(kept) >= min(count, 2)
    assert len({after - before for before, after in pairwise(kept)}) <= 1
    assert not kept or kept[0] == 0


def test_few_frames_of_a_long_clip_are_examined() -> None:
    looked: list[int] = []
    spread(range(10_000), 32, looked.append)
    assert len(looked) < 32 * 6


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
    """Return the frames that a watch tests, and those it keeps; the only pixel of a frame is its number."""
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


def test_only_frames_that_may_have_lost_the_face_are_tested() -> None:
    assert looks_at("xxxxxxxx", {0: True, 4: True}, set()) == ([], list(range(8)))
    assert looks_at("..xxxxxx", {0: False, 4: True}, {2}) == ([0, 1, 2], list(range(2, 8)))
    assert looks_at("xxxxxx..", {0: True, 4: True}, {6}) == ([6, 7], list(range(6)))
    assert looks_at("xx..xxxx", {0: True, 4: True}, {2, 4}) == ([2, 3], [0, 1, 4, 5, 6, 7])
    assert looks_at("xxxxxxxx", {0: True, 4: False}, {2}) == ([2, 4], list(range(8)))


def test_a_sampled_frame_with_a_face_is_kept_even_if_the_test_fails() -> None:
    assert looks_at("........", {0: False, 4: True}, set()) == ([0, 1, 2, 3], [4, 5, 6, 7])
