from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from fomaug.geometry import Frame, identity_grid, resize_flow, warp_image

SIZES = [(64, 64), (40, 64), (64, 40), (200, 200), (112, 92), (31, 57)]


@pytest.mark.parametrize("size", SIZES)
def test_the_identity_flow_is_unchanged(size: tuple[int, int]) -> None:
    frame = Frame(size, 64)
    flow = frame.flow_to_picture(identity_grid((16, 16))[None])
    torch.testing.assert_close(flow[0], identity_grid((flow.shape[1], flow.shape[2])), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_a_shift_in_the_square_is_the_same_shift_in_pixels(size: tuple[int, int]) -> None:
    frame = Frame(size, 64)
    shift_px = 3.0  # in pixels of the model's square
    flow = identity_grid((16, 16))[None] + torch.tensor([2 * shift_px / 63, 0.0])
    moved = frame.flow_to_picture(flow)
    own = identity_grid((moved.shape[1], moved.shape[2]))
    found_px = (moved[0] - own)[..., 0] / 2 * (size[1] - 1)
    torch.testing.assert_close(found_px, torch.full_like(found_px, shift_px * max(size) / 64), atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", [(96, 96), (80, 128), (128, 70)])
def test_warping_the_picture_agrees_with_warping_in_the_square(size: tuple[int, int]) -> None:
    frame = Frame(size, 64)
    y, x = torch.meshgrid(torch.linspace(0, 3, size[0]), torch.linspace(0, 3, size[1]), indexing="ij")
    picture = (0.5 + 0.5 * torch.sin(x + 0.3) * torch.cos(y))[None, None]
    grid = identity_grid((64, 64))[None]
    flow = grid + 0.05 * torch.sin(3 * grid.flip(-1))
    in_square = frame.to_picture(warp_image(frame.to_model(picture), flow, padding="border"))
    in_picture = warp_image(picture, frame.flow_to_picture(flow), padding="border")
    inner = (slice(None), slice(None), slice(10, -10), slice(10, -10))
    torch.testing.assert_close(in_picture[inner], in_square[inner], atol=0.01, rtol=0)


@pytest.mark.parametrize("size", SIZES)
def test_there_and_back_keeps_the_size_and_a_flat_picture(size: tuple[int, int]) -> None:
    frame = Frame(size, 64)
    picture = torch.full((2, 3, *size), 0.25)
    assert frame.to_model(picture).shape == (2, 3, 64, 64)
    torch.testing.assert_close(frame.to_picture(frame.to_model(picture)), picture)


def test_resizing_a_flow_keeps_affine_flows_exact() -> None:
    affine = identity_grid((9, 7))[None] @ torch.tensor([[0.9, 0.1], [-0.1, 1.1]])
    expected = identity_grid((33, 50))[None] @ torch.tensor([[0.9, 0.1], [-0.1, 1.1]])
    torch.testing.assert_close(resize_flow(affine, (33, 50)), expected)


def test_half_pictures_are_sampled_to_the_pixel() -> None:
    picture = torch.rand(1, 1, 512, 512).half()
    torch.testing.assert_close(warp_image(picture, identity_grid((512, 512))[None]), picture, atol=1e-3, rtol=0)


class Largest(TorchDispatchMode):
    """A recorder of the size of the largest tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for part in made if isinstance(made, tuple | list) else [made]:
            if isinstance(part, torch.Tensor):
                self.numel = max(self.numel, part.numel())
        return made


@pytest.mark.parametrize("size", [(16, 3000), (3000, 16), (1, 2000)])
def test_a_long_thin_picture_needs_memory_of_its_own_size(size: tuple[int, int]) -> None:
    frame, picture = Frame(size, 64), torch.rand(1, 3, *size)
    with Largest() as largest:
        square = frame.to_model(picture)
        back = frame.to_picture(square)
    assert square.shape == (1, 3, 64, 64)
    assert back.shape == picture.shape
    assert largest.numel <= 3 * max(picture.numel(), square.numel())


@pytest.mark.parametrize("size", [(16, 300), (300, 16), (7, 301), (130, 31)])
def test_a_thin_picture_is_reduced_as_if_it_had_been_padded_first(size: tuple[int, int]) -> None:
    frame, picture = Frame(size, 64), torch.rand(2, 3, *size)
    square = max(size)
    top, left = (square - size[0]) // 2, (square - size[1]) // 2
    padding = (left, square - size[1] - left, top, square - size[0] - top)
    padded = F.pad(picture, padding, mode="replicate")
    expected = F.interpolate(padded, (64, 64), mode="bilinear", align_corners=False, antialias=True)
    torch.testing.assert_close(frame.to_model(picture), expected)
    enlarged = F.interpolate(expected, (square, square), mode="bilinear", align_corners=False, antialias=True)
    whole = enlarged[:, :, top : top + size[0], left : left + size[1]]
    torch.testing.assert_close(frame.to_picture(expected), whole, atol=1e-4, rtol=0)
