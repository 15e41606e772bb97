from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from fomaug import MotionParams, warp
from fomaug.expand.copies import AnimatedCopy, compose
from fomaug.faces import Square
from fomaug.geometry import identity_grid, resize_flow
from fomaug.media import Picture

SIZE = (180, 240)
SQUARE = Square(60, 20, 188, 148)
OTHER = Square(160, 40, 224, 104)  # over the edge of the first


@pytest.fixture
def picture(face: Callable[..., np.ndarray]) -> Picture:
    return Picture(face(1, *SIZE))


def moved(picture: Picture, flow: Tensor, pixels: np.ndarray | None = None) -> AnimatedCopy:
    """A face that follows the flow and of which nothing is invented, unless its pixels are given."""
    levels = np.iinfo(picture.pixels.dtype).max
    if pixels is None:
        unit = torch.from_numpy(picture.pixels / levels).permute(2, 0, 1)[None]
        read = warp.image(unit, flow.double())[0].permute(1, 2, 0).numpy()
        pixels = (read * levels).round().astype(picture.pixels.dtype)
    alpha = None if picture.alpha is None else picture.alpha
    return AnimatedCopy(Picture(pixels, alpha), MotionParams("a"), flow, torch.full((1, 1, *flow.shape[1:3]), 0.25))


def turned(shift: float = 0.1, scale: float = 0.9) -> Tensor:
    return identity_grid((64, 64))[None] * scale + torch.tensor([shift, -shift])


STILL = identity_grid((16, 16))[None]


def outside(*squares: Square) -> np.ndarray:
    mask = np.ones(SIZE, bool)
    for square in squares:
        mask[square.top : square.bottom, square.left : square.right] = False
    return mask


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_faces_without_motion_change_neither_picture_nor_flow(dtype: type, face: Callable[..., np.ndarray]) -> None:
    picture = Picture(face(1, *SIZE, dtype=dtype))
    whole = compose(picture, [SQUARE, OTHER], [moved(part.cut_picture(picture), STILL) for part in (SQUARE, OTHER)])
    np.testing.assert_array_equal(whole.picture.pixels, picture.pixels)
    torch.testing.assert_close(whole.flow, identity_grid(whole.flow.shape[1:3])[None], atol=1e-5, rtol=0)


def test_nothing_changes_outside_of_the_squares(picture: Picture) -> None:
    black = np.zeros((128, 128, 3), np.uint8)
    whole = compose(picture, [SQUARE], [moved(SQUARE.cut_picture(picture), turned(), black)])
    np.testing.assert_array_equal(whole.picture.pixels[outside(SQUARE)], picture.pixels[outside(SQUARE)])
    assert (whole.picture.pixels[60:110, 100:150] == 0).all(), "the middle is the face's own"
    apart = (resize_flow(whole.flow, SIZE)[0] - identity_grid(SIZE)).abs().amax(-1).numpy()
    assert apart[:16].max() == pytest.approx(0, abs=1e-5)
    assert apart[:, :56].max() == pytest.approx(0, abs=1e-5)
    assert apart[84, 124] > 0.04


def test_the_source_is_not_modified(picture: Picture) -> None:
    before = picture.pixels.copy()
    compose(picture, [SQUARE], [moved(SQUARE.cut_picture(picture), turned())])
    np.testing.assert_array_equal(picture.pixels, before)


def test_the_difference_to_the_source_vanishes_at_the_border(picture: Picture) -> None:
    black = np.zeros((128, 128, 3), np.uint8)
    whole = compose(picture, [SQUARE], [moved(SQUARE.cut_picture(picture), turned(), black)]).picture.pixels
    apart = np.abs(whole.astype(int) - picture.pixels).max(-1)[SQUARE.top : SQUARE.bottom, SQUARE.left : SQUARE.right]
    rings = [max(apart[i].max(), apart[-1 - i].max(), apart[:, i].max(), apart[:, -1 - i].max()) for i in (0, 1, 2)]
    assert rings[0] == 0
    assert rings == sorted(rings)
    assert rings[-1] <= 8, "though the face itself differs by 255"


def test_no_feature_appears_twice(face: Callable[..., np.ndarray]) -> None:
    """A line across the border bends and stays one line as dark as it was; two blended pictures would show two."""
    picture = Picture(np.full((*SIZE, 3), 255, np.uint8))
    picture.pixels[80:83] = 0
    whole = compose(picture, [SQUARE], [moved(SQUARE.cut_picture(picture), turned(0.08, 1.0))]).picture.pixels[..., 0]
    dark = 255.0 - whole
    np.testing.assert_allclose(dark.sum(0), 3 * 255, rtol=0.12)
    assert (whole.min(0) < 60).all()
    rows = np.arange(SIZE[0])[:, None]
    middle = (dark * rows).sum(0) / dark.sum(0)
    spread = np.sqrt((dark * (rows - middle) ** 2).sum(0) / dark.sum(0))
    assert spread.max() < 1.6
    assert middle[SQUARE.left] == pytest.approx(81, abs=0.1)
    assert middle[124] == pytest.approx(81 + 0.08 * 127 / 2, abs=0.3)
    assert np.abs(np.diff(middle)).max() < 0.8


@pytest.mark.parametrize("squares", [[SQUARE], [SQUARE, OTHER], [Square(0, 0, 128, 128)]])
def test_the_picture_agrees_with_its_flow(picture: Picture, squares: list[Square]) -> None:
    """Where nothing is invented, the composed picture is the source, read where the composed flow points."""
    whole = compose(picture, squares, [moved(square.cut_picture(picture), turned(0.04, 0.95)) for square in squares])
    unit = torch.from_numpy(picture.pixels / 255.0).permute(2, 0, 1)[None]
    wanted = warp.image(unit, whole.flow.double())[0].permute(1, 2, 0).numpy() * 255
    inner = squares[-1] if len(squares) > 1 else SQUARE
    apart = np.abs(wanted - whole.picture.pixels)
    assert apart.mean() < 0.5
    assert apart[inner.top : inner.bottom, inner.left : inner.right].mean() < 1.5
    assert np.percentile(apart, 99.5) < 8


def test_a_dot_moves_as_its_label_does() -> None:
    """Dots all over the square, in the bands of the seam too, and one outside."""
    flow = turned(0.05, 0.95)
    points = [(124, 84), (100, 60), (66, 84), (70, 90), (124, 28), (180, 90), (20, 90), (120, 140)]
    for x, y in points:
        picture = Picture(np.zeros((*SIZE, 3), np.uint8))
        rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
        dot = 255 * np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * 2.0**2))
        picture.pixels[:] = dot.round()[..., None].astype(np.uint8)
        whole = compose(picture, [SQUARE], [moved(SQUARE.cut_picture(picture), flow)])
        seen = whole.picture.pixels[..., 0].astype(float)
        found = ((seen * columns).sum() / seen.sum(), (seen * rows).sum() / seen.sum())
        asked, visible = warp.points(torch.tensor([[float(x), float(y)]]).double(), whole.flow.double(), size=SIZE)
        assert visible.all()
        np.testing.assert_allclose(asked.reshape(2), found, atol=0.5)


def test_alpha_moves_with_the_face(face: Callable[..., np.ndarray]) -> None:
    colours = face(1, *SIZE, channels=4)
    picture = Picture(colours[..., :3], colours[..., 3:])
    part = SQUARE.cut_picture(picture)
    assert part.alpha is not None
    clear = AnimatedCopy(Picture(part.pixels, part.alpha * 0), MotionParams("a"), STILL, torch.ones(1, 1, 16, 16))
    whole = compose(picture, [SQUARE], [clear]).picture
    assert whole.alpha is not None
    assert picture.alpha is not None
    assert (whole.alpha[60:110, 100:150] == 0).all()
    np.testing.assert_array_equal(whole.alpha[outside(SQUARE)], picture.alpha[outside(SQUARE)])


def test_the_whole_picture_as_a_square_is_the_face_itself(picture: Picture) -> None:
    square = Square(0, 0, SIZE[1], SIZE[0])
    face = moved(picture, turned())
    whole = compose(picture, [square], [face])
    np.testing.assert_array_equal(whole.picture.pixels, face.picture.pixels)
