from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from fomaug.errors import MediaError
from fomaug.media.frames import check_pixels, letterbox, to_rgb


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (Image.new("RGB", (3, 2), (1, 2, 3)), (1, 2, 3)),
        (Image.new("L", (3, 2), 77), (77, 77, 77)),
        (Image.new("1", (3, 2), 1), (255, 255, 255)),
        (Image.fromarray(np.full((2, 3), 65535, np.uint16)), (255, 255, 255)),
        (Image.fromarray(np.full((2, 3), 257 * 9, np.uint16)), (9, 9, 9)),
        (Image.fromarray(np.full((2, 3), 257 * 9, np.int32)), (9, 9, 9)),
        (Image.fromarray(np.full((2, 3), 0.2, np.float32)), (51, 51, 51)),
        (Image.new("RGBA", (3, 2), (9, 9, 9, 0)), (255, 255, 255)),
        (Image.new("LA", (3, 2), (9, 255)), (9, 9, 9)),
    ],
)
def test_every_mode_becomes_rgb(image: Image.Image, expected: tuple[int, int, int]) -> None:
    picture = to_rgb(image)
    assert picture.shape == (2, 3, 3)
    assert picture.dtype == np.uint8
    assert (picture == expected).all()


def test_exif_orientation_is_applied() -> None:
    image = Image.new("RGB", (3, 2))
    image.getexif()[0x0112] = 6
    assert to_rgb(image).shape == (3, 2, 3)


def test_fitting_keeps_the_picture_whole_and_undistorted() -> None:
    wide = np.full((10, 20, 3), 200, np.uint8)
    fitted = letterbox(wide, (40, 40))
    assert fitted.shape == (40, 40, 3)
    assert (fitted[10:30] == 200).all()
    assert (fitted[:10] == 0).all()
    assert letterbox(wide, (10, 20)) is wide


def test_too_many_pixels_are_refused_with_their_number() -> None:
    check_pixels("a.mp4", 7680, 4320)
    with pytest.raises(MediaError, match=r"a\.mp4: a frame of 10000 x 10000 pixels is more than"):
        check_pixels("a.mp4", 10000, 10000)
