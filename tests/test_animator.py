from __future__ import annotations

import pytest
import torch

from fomaug import Animator, Keypoints, transfer
from fomaug.errors import ShapeError

SIZES = [(64, 64), (50, 80), (200, 120), (128, 128)]


@pytest.mark.parametrize("size", SIZES)
def test_results_have_the_size_of_the_picture(tiny_model: Animator, size: tuple[int, int]) -> None:
    images = torch.rand(2, 3, *size)
    source = tiny_model.encode(images)
    out = tiny_model.animate(source, tiny_model.detect(torch.rand(2, 3, 64, 64)))
    assert out.image.shape == images.shape
    assert out.flow.shape[0] == 2
    assert out.flow.shape[-1] == 2
    assert out.occlusion.shape == (2, 1, *out.flow.shape[1:3])
    assert out.image.min() >= 0 and out.image.max() <= 1


def test_one_source_with_many_frames_equals_each_frame_alone(tiny_model: Animator) -> None:
    source = tiny_model.encode(torch.rand(1, 3, 80, 64))
    driving = tiny_model.detect(torch.rand(4, 3, 64, 64))
    together = tiny_model.animate(source, driving)
    for i in range(4):
        alone = tiny_model.animate(source, driving[i])
        torch.testing.assert_close(together.image[i : i + 1], alone.image, atol=1e-5, rtol=0)
        torch.testing.assert_close(together.flow[i : i + 1], alone.flow, atol=1e-5, rtol=0)


def test_gradients_flow_only_on_request(tiny_model: Animator) -> None:
    images = torch.rand(1, 3, 64, 64, requires_grad=True)
    assert not tiny_model.animate(tiny_model.encode(images), tiny_model.detect(images)).image.requires_grad
    source = tiny_model.encode(images, differentiable=True)
    moved = transfer(source.keypoints, tiny_model.detect(torch.rand(1, 3, 64, 64)), source.keypoints, relative=False)
    tiny_model.animate(source, moved, differentiable=True).image.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0


def test_half_precision_keeps_keypoints_and_flow_wide(tiny_model: Animator) -> None:
    import copy

    half = copy.deepcopy(tiny_model).to(torch.bfloat16)
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    source = half.encode(images)
    out = half.animate(source, source.keypoints)
    assert source.keypoints.value.dtype == out.flow.dtype == out.image.dtype == torch.float32
    expected = tiny_model.encode(images).keypoints.value
    torch.testing.assert_close(
        source.keypoints.value, expected, atol=0.1, rtol=0
    )  # random weights amplify what bfloat16 rounds off


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m: m.detect(torch.rand(3, 64, 64)), r"frames must be \(B, 3, H, W\), got \(3, 64, 64\)"),
        (lambda m: m.encode(torch.rand(1, 4, 64, 64)), r"images must be \(B, 3, H, W\)"),
        (lambda m: m.detect(torch.zeros(1, 3, 8, 8, dtype=torch.uint8)), "divide uint8 pictures by 255"),
        (
            lambda m: m.animate(m.encode(torch.rand(1, 3, 64, 64)), Keypoints(torch.zeros(1, 9, 2))),
            r"must be \(N, 4, 2\)",
        ),
        (
            lambda m: m.animate(m.encode(torch.rand(2, 3, 64, 64)), m.detect(torch.rand(3, 3, 64, 64))),
            "keypoints of 3 frames for 2 sources",
        ),
    ],
)
def test_wrong_shapes_are_named(tiny_model: Animator, call, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        call(tiny_model)
