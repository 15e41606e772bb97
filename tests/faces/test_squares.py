from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fomaug.faces import Square, face_square, face_squares, overlap, square_at
from fomaug.media import Picture


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


def test_cutting_returns_the_square() -> None:
    frame = np.arange(40 * 50 * 3).reshape(40, 50, 3).astype(np.uint8)
    assert (Square(10, 20, 15, 25).cut_pixels(frame) == frame[20:25, 10:15]).all()


def test_cutting_a_picture_keeps_alpha_and_all_else() -> None:
    pixels = np.arange(40 * 50 * 4, dtype=np.uint16).reshape(40, 50, 4)
    part = Square(10, 20, 15, 25).cut_picture(Picture(pixels[..., :3], pixels[..., 3:], b"profile", "tiff"))
    assert (part.whole == pixels[20:25, 10:15]).all()
    assert (part.icc_profile, part.encode_format) == (b"profile", "tiff")


def test_a_face_square_is_a_raised_square_around_the_face() -> None:
    assert face_square((40, 40, 60, 60), (200, 200)) == Square(32, 30, 68, 66)


def test_a_face_square_ends_with_the_picture() -> None:
    square = face_square((0, 0, 40, 40), (100, 60))
    assert square == Square(0, 0, 56, 53)


@pytest.mark.parametrize("box", [(500, 500, 540, 540), (5, 5, 12, 12), (50, 50, 40, 40)])
def test_boxes_without_content_have_no_square(box: tuple[float, ...]) -> None:
    assert face_square(box, (100, 100)) is None


def test_boxes_without_a_square_are_left_out() -> None:
    boxes = [(5, 5, 12, 12), (40, 40, 60, 60), (0, 0, 0, 0)]
    assert face_squares(boxes, (200, 200)) == (Square(32, 30, 68, 66),)


def test_a_square_cuts_what_numpy_would() -> None:
    pixels = torch.arange(48).view(1, 6, 8)
    assert torch.equal(Square(2, 1, 6, 4).cut(pixels), pixels[:, 1:4, 2:6])


@pytest.mark.parametrize(
    ("square", "fits"),
    [((0, 0, 8, 6), True), ((0, 0, 9, 6), False), ((-1, 0, 8, 6), False), ((3, 3, 3, 5), False)],
)
def test_a_square_is_inside_pictures_that_contain_it(square: tuple[int, ...], fits: bool) -> None:
    assert Square(*square).lies_in((6, 8)) == fits


def test_overlap_is_intersection_over_union() -> None:
    assert overlap((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 2, 2), (5, 5, 6, 6)) == 0
    assert overlap((0, 0, 2, 2), (5, 0, 6, 2)) == 0
