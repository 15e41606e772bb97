from __future__ import annotations

import numpy as np
import pytest

from fomaug.errors import ArgumentError, ShapeError
from fomaug.geometry import Frame
from fomaug.visual import draw_flow, draw_keypoints, draw_occlusion, keypoint_pixels, side_by_side

GREY = np.full((40, 60, 3), 100, np.uint8)


def grid(height: int, width: int) -> np.ndarray:
    rows, columns = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
    return np.stack(np.meshgrid(columns, rows), -1).astype(np.float32)


@pytest.mark.parametrize("size", [(60, 60), (40, 60), (61, 40)])
def test_keypoints_are_drawn_where_the_model_detects_them(size: tuple[int, int]) -> None:
    import torch

    picture = torch.zeros(1, 1, *size)
    picture[0, 0, 20, 30] = 1
    side = max(size)
    seen = Frame(size, side).to_model(picture)[0, 0]
    row, column = divmod(int(seen.argmax()), side)
    point = np.array([[column, row]]) / (side - 1) * 2 - 1
    np.testing.assert_allclose(keypoint_pixels(point, size), [[30, 20]], atol=1e-6)


def test_only_pixels_at_keypoints_are_drawn() -> None:
    before = GREY.copy()
    drawn = draw_keypoints(GREY, np.array([[0.0, 0.0]]), radius=2)
    changed = np.argwhere((drawn != GREY).any(-1))
    assert np.abs(changed.mean(0) - [19.5, 29.5]).max() <= 0.6
    assert np.abs(changed - [19.5, 29.5]).max() <= 4
    np.testing.assert_array_equal(GREY, before)


def test_without_motion_the_picture_is_unchanged() -> None:
    np.testing.assert_array_equal(draw_flow(GREY, grid(10, 15)), GREY)


@pytest.mark.parametrize(("shift", "colour"), [((0.3, 0.0), 0), ((0.0, 0.3), 1), ((-0.3, 0.0), 2)])
def test_the_hue_shows_the_direction(shift: tuple[float, float], colour: int) -> None:
    """Right is red, down is more green than red or blue, left is cyan with more blue than red."""
    drawn = draw_flow(GREY, grid(10, 15) - np.array(shift, np.float32))
    red, green, blue = drawn[20, 30].astype(int)
    assert [red > max(green, blue), green > max(red, blue), min(green, blue) > red][colour]


def test_more_motion_is_stronger() -> None:
    weak, strong = (draw_flow(GREY, grid(8, 8) + np.float32(shift)) for shift in (0.02, 0.1))
    assert np.abs(weak.astype(int) - 100).mean() < np.abs(strong.astype(int) - 100).mean()


def test_painted_pixels_are_red_and_others_unchanged() -> None:
    occlusion = np.ones((40, 60), np.float32)
    occlusion[:, :20] = 0
    drawn = draw_occlusion(GREY, occlusion)
    np.testing.assert_array_equal(drawn[:, 30:], GREY[:, 30:])
    assert (drawn[:, :15, 0] > 150).all()


def test_pictures_of_another_kind_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"must be \(H, W, 3\) uint8"):
        draw_occlusion(GREY[..., 0], np.ones((4, 4)))


def test_pictures_of_the_common_height_are_unchanged(rng: np.random.Generator) -> None:
    first, second = rng.integers(0, 256, (8, 6, 3), np.uint8), rng.integers(0, 256, (8, 9, 3), np.uint8)
    both = side_by_side(first, second, gap=2)
    np.testing.assert_array_equal(both[:, :6], first)
    assert (both[:, 6:8] == 255).all()
    np.testing.assert_array_equal(both[:, 8:], second)


def test_others_are_scaled_in_proportion() -> None:
    assert side_by_side(np.zeros((8, 8, 3), np.uint8), np.zeros((20, 30, 3), np.uint8), gap=0).shape == (8, 20, 3)
    assert side_by_side(np.zeros((8, 8, 3), np.uint8), height=16).shape == (16, 16, 3)


def test_no_pictures_are_an_error() -> None:
    with pytest.raises(ArgumentError, match="at least one"):
        side_by_side()
