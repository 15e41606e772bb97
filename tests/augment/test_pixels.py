from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from fomaug.augment.pixels import check_images, from_unit, to_unit
from fomaug.errors import ArgumentError, ShapeError


@pytest.mark.parametrize(
    ("dtype", "value_range", "tolerance"),
    [
        (torch.uint8, (0.0, 1.0), 0),
        (torch.float16, (0.0, 1.0), 1e-3),
        (torch.bfloat16, (0.0, 1.0), 8e-3),
        (torch.float32, (-1.0, 1.0), 1e-6),
        (torch.float32, (0.0, 255.0), 1e-4),
        (torch.float64, (0.0, 1.0), 0),
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_there_and_back_is_the_same(dtype, value_range, tolerance, channels):
    low, high = (0, 255) if dtype == torch.uint8 else value_range
    values = torch.linspace(low, high, 2 * channels * 16).reshape(2, channels, 4, 4).to(dtype)
    unit = to_unit(values, value_range)
    assert unit.shape == (2, 3, 4, 4)
    assert unit.min() == 0
    assert unit.max() == 1
    back = from_unit(unit, values, value_range)
    torch.testing.assert_close(back, values, atol=tolerance, rtol=0)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (torch.zeros(3, 8, 8), ShapeError, r"images must be \(B, C, H, W\), got \(3, 8, 8\)"),
        (torch.zeros(1, 8, 8, 3), ShapeError, "RGB or"),
        (torch.zeros(2, 8, 8, 3), ShapeError, r"got \(2, 8, 8, 3\); use images.permute\(0, 3, 1, 2\)"),
        (torch.zeros(2, 4, 8, 8), ShapeError, r"got \(2, 4, 8, 8\); leave the alpha channel out: images\[:, :3\]"),
        (torch.zeros(8, 8, 3), ShapeError, r"got \(8, 8, 3\); one picture is images.permute\(2, 0, 1\)\[None\]"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), ShapeError, "uint8 or float, got torch.int64"),
        (torch.full((1, 3, 8, 8), 200.0), ArgumentError, "go from 200 to 200, but value_range is"),
        (torch.full((1, 3, 8, 8), torch.nan), ArgumentError, "go from nan to nan"),
        (torch.linspace(-0.45, 1, 192).reshape(1, 3, 8, 8), ArgumentError, "0 is black and 1 is white; give the range"),
        (torch.linspace(-0.01, 1, 192).reshape(1, 3, 8, 8), ArgumentError, "go from -0.01 to 1, but value_range is"),
        (np.zeros((8, 8, 3), np.uint8), ShapeError, r"tensor, got ndarray; use torch\.from_numpy"),
        ([torch.zeros(3, 8, 8)], ShapeError, r"tensor, got list; stack pictures of one size with torch\.stack"),
        (Image.new("RGB", (8, 8)), ShapeError, r"tensor, got Image; use torchvision.*pil_to_tensor"),
        (None, ShapeError, "tensor, got NoneType; check what your dataset returns"),
    ],
)
def test_invalid_pictures_are_errors(images, error, message):
    with pytest.raises(error, match=message):
        check_images(images, (0.0, 1.0))


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0)])
def test_overshoot_of_resampling_is_allowed_above_and_rounding_below(value_range):
    low, high = value_range
    check_images(torch.tensor([low, high + 0.1]).reshape(1, 1, 1, 2), value_range)
    check_images(torch.tensor([low - 1e-6, high]).reshape(1, 1, 1, 2), value_range)
    mean, deviation = torch.tensor(0.45).bfloat16(), torch.tensor(0.22).bfloat16()
    black = torch.zeros(1, 1, 2, 2, dtype=torch.bfloat16)
    check_images((black - mean) / deviation * deviation + mean, (0.0, 1.0))
    with pytest.raises(ArgumentError, match="value_range is"):
        check_images(torch.tensor([low - 0.02 * (high - low), high]).reshape(1, 1, 1, 2), value_range)
