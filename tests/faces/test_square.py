from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fomaug.faces.square import batches, cut, square_at, to_batch


@given(
    st.tuples(*[st.floats(-500, 500)] * 4),
    st.floats(0.1, 10),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
)
def test_every_square_is_square_and_inside(corners: tuple[float, ...], share: float, size: tuple[int, int]) -> None:
    x0, y0, x1, y1 = corners
    left, top, right, bottom = square_at((min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), share, size)
    assert right - left == bottom - top > 0
    assert 0 <= left < right <= size[1]
    assert 0 <= top < bottom <= size[0]


def test_a_square_is_centred_where_there_is_room() -> None:
    assert square_at((40, 60, 60, 70), 1.5, (200, 200)) == (35, 50, 65, 80)


def test_batches_cut_a_stream() -> None:
    assert list(batches(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert list(batches([], 2)) == []


def test_pictures_become_a_batch() -> None:
    picture = np.zeros((200, 300, 3), np.uint8)
    picture[0] = 255
    batch = to_batch([picture] * 2)
    assert batch.shape == (2, 3, 200, 300)
    assert (float(batch.min()), float(batch.max())) == (0, 1)


def test_cutting_takes_the_box() -> None:
    frame = np.arange(40 * 50 * 3).reshape(40, 50, 3).astype(np.uint8)
    assert (cut(frame, (10, 20, 15, 25)) == frame[20:25, 10:15]).all()
    assert cut(frame, None) is frame
