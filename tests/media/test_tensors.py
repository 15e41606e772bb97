from __future__ import annotations

import numpy as np
import pytest
import torch

from fomaug.media import Picture, from_unit, like_array, to_array, to_tensor, to_unit


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_every_level_survives_the_way_to_floats_and_back(dtype: type) -> None:
    levels = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(16, -1, 1)
    unit = to_unit(levels)
    assert unit.dtype == torch.float32
    assert (float(unit.min()), float(unit.max())) == (0, 1)
    assert np.array_equal(from_unit(unit.double(), dtype), levels)


def test_levels_are_rounded_and_clipped() -> None:
    image = torch.tensor([-0.5, 0.4 / 255, 0.6 / 255, 1.5]).view(1, 1, 4)
    assert from_unit(image)[0, :, 0].tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize("shape", [(6, 8, 3), (2, 6, 8, 1)])
def test_channels_go_to_the_front_and_back(shape: tuple[int, ...], rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 256, shape, np.uint8)
    image = to_tensor(pixels)
    assert image.shape == (*shape[:-3], shape[-1], *shape[-3:-1])
    assert np.array_equal(to_array(image), pixels)
    assert to_array(image).flags.c_contiguous


@pytest.fixture(params=[(np.uint8, 1), (np.uint8, 3), (np.uint16, 1), (np.uint16, 3)])
def picture(request: pytest.FixtureRequest, rng: np.random.Generator) -> Picture:
    dtype, channels = request.param
    pixels = rng.integers(0, np.iinfo(dtype).max, (6, 8, channels + 1)).astype(dtype)
    return Picture(pixels[..., :-1], pixels[..., -1:], b"profile", "tiff")


def test_a_picture_keeps_kind_and_depth_with_other_contents(picture: Picture) -> None:
    image, alpha = to_unit(picture.pixels), to_unit(picture.alpha)
    back = picture.with_image(image, alpha)
    assert np.array_equal(back.whole, picture.whole)
    assert back.whole.dtype == picture.whole.dtype
    assert (back.icc_profile, back.encode_format) == (b"profile", "tiff")
    assert picture.with_image(image).alpha is None


def test_a_picture_as_an_image_is_rgb_in_the_unit_range(picture: Picture) -> None:
    unit = picture.to_unit()
    assert unit.shape == (1, 3, 6, 8)
    levels = unit[0].permute(1, 2, 0).double() * np.iinfo(picture.pixels.dtype).max
    np.testing.assert_allclose(levels.numpy(), np.broadcast_to(picture.pixels, (6, 8, 3)), atol=0.01)


def test_a_picture_shows_white_where_it_is_transparent() -> None:
    pixels = np.full((1, 3, 1), 100, np.uint8)
    alpha = np.array([0, 255, 51], np.uint8).reshape(1, 3, 1)
    picture = Picture(pixels, alpha)
    assert picture.on_white[0, :, 0].tolist() == [255, 100, 224]
    assert picture.on_white.shape == picture.rgb.shape == (1, 3, 3)
    assert (picture.rgb == 100).all()


@pytest.mark.parametrize(
    "view", [lambda a: a[:, ::-1], lambda a: a[2:, 1:4], lambda a: a.astype(a.dtype.newbyteorder(">"))]
)
def test_arrays_of_any_layout_become_tensors(view, rng: np.random.Generator) -> None:
    pixels = rng.integers(0, 2**15, (6, 8, 3)).astype(np.int16)
    pixels.flags.writeable = False
    assert np.array_equal(to_array(to_tensor(view(pixels))), view(pixels))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64, np.int32, np.bool_, np.dtype(">f4")])
@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_there_and_back_changes_nothing(dtype, channels: tuple[int, ...], rng: np.random.Generator) -> None:
    given = rng.integers(0, 2, (2, 6, 8, *channels)).astype(dtype)
    back = like_array(to_tensor(given if channels else given[..., None]), given)
    assert back.dtype == given.dtype
    assert back.flags.c_contiguous
    assert np.array_equal(back, given)
