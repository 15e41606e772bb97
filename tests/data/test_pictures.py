from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from fomaug.data.pictures import label_like, label_tensor, like, to_tensor
from fomaug.errors import ShapeError

ARRAY = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "picture",
    [
        torch.from_numpy(ARRAY).permute(2, 0, 1),
        ARRAY,
        ARRAY[..., 0],
        ARRAY[..., :1],
        (ARRAY / 255).astype(np.float32),
        Image.fromarray(ARRAY),
        Image.fromarray(ARRAY[..., 0]),
    ],
)
def test_there_and_back_is_the_same_picture(picture):
    tensor = to_tensor(picture)
    assert tensor.shape[1:] == (6, 8)
    back = like(tensor, picture)
    assert type(back) is type(picture) or isinstance(back, Image.Image)
    assert getattr(back, "mode", None) == getattr(picture, "mode", None)
    np.testing.assert_array_equal(np.asarray(back), np.asarray(picture))
    assert np.asarray(back).dtype == np.asarray(picture).dtype


@pytest.mark.parametrize(
    "label",
    [torch.ones(2, 2), np.ones((2, 2), np.int64), [[1.0, 2.0]], Image.fromarray(ARRAY[..., 0])],
)
def test_labels_keep_their_kind(label):
    back = label_like(label_tensor(label), label)
    assert isinstance(back, type(label))
    np.testing.assert_array_equal(np.asarray(back), np.asarray(label))


def test_a_palette_mask_keeps_its_palette():
    mask = Image.fromarray(ARRAY[..., 0] % 4).convert("P")
    mask.putpalette(list(range(12)))
    back = label_like(label_tensor(mask), mask)
    assert back.mode == "P"
    assert back.getpalette()[:12] == list(range(12))


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (torch.zeros(1, 3, 8, 8), r"\(C, H, W\) tensor, got \(1, 3, 8, 8\)"),
        (np.zeros((1, 2, 3, 4)), r"array, got \(1, 2, 3, 4\)"),
        (Image.new("RGBA", (4, 4)), "RGB or L, got RGBA"),
        ("picture.jpg", "got str"),
    ],
)
def test_what_is_no_picture_is_an_error(picture, message):
    with pytest.raises(ShapeError, match=message):
        to_tensor(picture)
