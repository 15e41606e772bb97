from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fomaug import Keypoints
from fomaug.driving import _crop, face_crop
from fomaug.driving._crop import batches, cut, is_face_model, spread, to_batch
from fomaug.driving._face import KEYPOINT_POINTS, mean_mesh, mesh_keypoints

FACE = mesh_keypoints(mean_mesh()[None])


class Seeker:
    """Stands for a face model: answers a marked picture with a mean face over the marked square."""

    name = "seeker"
    keypoint_names = tuple(KEYPOINT_POINTS)

    def detect(self, frames: torch.Tensor) -> Keypoints:
        assert len(frames) == 1
        size = np.array(frames.shape[:1:-1])
        square = size.max()
        rows, columns = np.nonzero(frames[0].mean(0).numpy() > 0.5)
        if not len(rows):
            return Keypoints(torch.rand(1, FACE.value.shape[1], 2, generator=torch.Generator().manual_seed(0)))
        low, high = np.array([columns.min(), rows.min()]), np.array([columns.max(), rows.max()])
        centre, height = (low + high) / 2 + (square - size) // 2, high[1] - low[1] + 1
        points = FACE.value[0].numpy()
        points = (points - (points.max(0) + points.min(0)) / 2) / np.ptp(points[:, 1]) * height + centre
        return Keypoints(torch.from_numpy(points / (square - 1) * 2 - 1)[None].float())


def marked(left: int, top: int, side: int, size: tuple[int, int] = (200, 300)) -> np.ndarray:
    frame = np.zeros((*size, 3), np.uint8)
    frame[top : top + side, left : left + side] = 255
    return frame


def test_a_face_model_finds_the_face_itself() -> None:
    box, found, looked = face_crop([marked(150 + step, 60, 40) for step in range(4)], Seeker())
    assert found == looked == 4
    assert box is not None
    left, top, right, bottom = box
    assert right - left == bottom - top == pytest.approx(72, abs=3)
    assert (left + right) / 2 == pytest.approx(171.5, abs=2)
    assert (top + bottom) / 2 == pytest.approx(80, abs=2)


def test_the_square_holds_a_face_that_wanders() -> None:
    box = face_crop([marked(60 + 3 * step, 60, 40) for step in range(31)], Seeker()).box
    assert box is not None
    assert box[0] <= 65
    assert box[2] >= 185


def test_no_face_gives_the_whole_frame() -> None:
    assert face_crop([np.zeros((200, 300, 3), np.uint8)] * 3, Seeker()) == (None, 0, 3)
    assert face_crop([], Seeker()) == (None, 0, 0)


def test_a_face_that_fills_the_frame_is_not_cut() -> None:
    assert face_crop([marked(40, 40, 120, (200, 200))], Seeker()) == (None, 1, 1)


def test_a_detector_is_asked_and_the_largest_face_taken() -> None:
    model = SimpleNamespace(keypoint_names=())
    boxes = [[0, 0, 10, 10], [100, 50, 140, 100]]
    assert face_crop([marked(0, 0, 1)] * 3, model, lambda picture: boxes) == ((75, 30, 165, 120), 3, 3)
    assert face_crop([marked(0, 0, 1)] * 3, model, lambda picture: []) == (None, 0, 3)


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


def test_for_other_models_the_square_holds_what_moves() -> None:
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
def test_what_is_kept_of_a_stream_is_evenly_spread(count: int) -> None:
    kept = spread(range(count), 4, lambda index: index)
    assert len(kept) <= 4
    assert len(kept) >= min(count, 2)
    assert len({after - before for before, after in pairwise(kept)}) <= 1
    assert not kept or kept[0] == 0


def test_few_frames_of_a_long_clip_are_looked_at() -> None:
    looked: list[int] = []
    spread(range(10_000), 32, looked.append)
    assert len(looked) < 32 * 6


def test_batches_cut_a_stream() -> None:
    assert list(batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batches([], 2)) == []


def test_pictures_become_a_batch() -> None:
    batch = to_batch([marked(0, 0, 5)] * 2)
    assert batch.shape == (2, 3, 200, 300)
    assert (float(batch.min()), float(batch.max())) == (0, 1)


def test_cutting_takes_the_box() -> None:
    assert cut(marked(10, 20, 5), (10, 20, 15, 25)).min() == 255
    frame = marked(0, 0, 5)
    assert cut(frame, None) is frame


def test_a_mean_face_is_no_odd_face() -> None:
    assert _crop._oddness(FACE.value) < 1e-5
    assert _crop._oddness(torch.rand(FACE.value.shape)) > _crop._ODD_FACE
