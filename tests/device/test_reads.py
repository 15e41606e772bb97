"""Between the draws and the pixels, the host reads nothing from a GPU and waits for no copy."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from fake_device import CUDA, FakeCuda
from torch._subclasses.fake_tensor import DataDependentOutputException

from fomaug import DrivingPool, MotionAugment, load_model
from fomaug.augment import apply
from fomaug.augment.faces import on_host
from fomaug.device import read_together
from fomaug.motion import DrawSettings, draw
from fomaug.motion.fit import PoolFrames

ALWAYS = DrawSettings(p=1.0)


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model(device="cpu")


@pytest.fixture(scope="module")
def pools(model: Any) -> dict[str, DrivingPool]:
    return {"builtin": DrivingPool.builtin(model), "views": DrivingPool.views(model)}


@pytest.fixture(scope="module")
def frames(pools: dict[str, DrivingPool]) -> dict[str, PoolFrames]:
    return {name: PoolFrames(pool, torch.device("cpu")) for name, pool in pools.items()}


@pytest.mark.parametrize(
    ("options", "size", "copies"),
    [
        pytest.param({}, (256, 256), 1, id="plain"),
        pytest.param({"p": 0.5}, (256, 256), 3, id="some copies of some images"),
        pytest.param({"batch_size": 3}, (256, 256), 2, id="several passes"),
        pytest.param({}, (180, 240), 1, id="another size"),
        pytest.param({}, (40, 400), 1, id="a thin picture"),
        pytest.param({"region": "head"}, (256, 256), 1, id="head"),
        pytest.param({"region": "mouth"}, (256, 256), 1, id="mouth"),
        pytest.param({"selection": "uniform", "relative": False}, (256, 256), 1, id="absolute"),
        pytest.param({"reference": "first"}, (256, 256), 1, id="a given reference"),
        pytest.param({"pool": "views"}, (256, 256), 1, id="views"),
        pytest.param({"pool": "views", "region": "expression", "p": 0.5}, (256, 256), 2, id="views of a region"),
    ],
)
def test_nothing_is_read_between_draw_and_pixels(
    fake_cuda: FakeCuda,
    model: Any,
    pools: Any,
    frames: Any,
    options: dict[str, Any],
    size: tuple[int, int],
    copies: int,
) -> None:
    settings = {"p": 1.0, **options}
    pool, batch_size = settings.pop("pool", "builtin"), settings.pop("batch_size", None)
    params = draw(pools[pool], DrawSettings(**settings), range(8), copies=copies)
    moving = sum(not param.skipped for param in params)
    with fake_cuda:
        animator = fake_cuda.animator(model, torch.bfloat16)
        fake_cuda.load(pools[pool], frames[pool])
        bytes_, floats = (torch.zeros(8, 3, *size, dtype=dtype, device=CUDA) for dtype in (torch.uint8, torch.float32))
        apply(animator, pools[pool], bytes_, params, batch_size=batch_size)  # sends the constants
        for images in (bytes_, floats):
            traffic = fake_cuda.watch()
            result = apply(animator, pools[pool], images, params, batch_size=batch_size)
            assert (result.image.shape, result.image.dtype) == ((8 * copies, 3, *size), images.dtype)
            assert result.image.device == CUDA
            assert traffic.waits == []
            # Each pass sends the numbers of its draws in one copy. Where a pass takes some of the images, or some of
            # the copies move, their rows are sent, too: those of images and sources, and twice those of the results.
            passes = -(-moving // (batch_size or 64))
            assert len(traffic.sends) == passes if moving == len(params) == 8 else len(traffic.sends) <= 3 * passes + 2


def test_boxes_of_faces_are_read_once(fake_cuda: FakeCuda, model: Any, pools: Any, frames: Any) -> None:
    params = [replace(param, box=(10, 20, 130, 140)) for param in draw(pools["builtin"], ALWAYS, range(4))]
    with fake_cuda:
        animator = fake_cuda.animator(model, torch.bfloat16)
        fake_cuda.load(pools["builtin"], frames["builtin"])
        images = torch.zeros(4, 3, 200, 160, dtype=torch.uint8, device=CUDA)
        apply(animator, pools["builtin"], images, params)
        traffic = fake_cuda.watch()
        apply(animator, pools["builtin"], images, params)
        assert traffic.waits == []
        for boxes in (torch.zeros(4, 2, 4, device=CUDA), [torch.zeros(m, 4, device=CUDA) for m in (1, 0, 2, 3)]):
            traffic = fake_cuda.watch()
            on_host(boxes)
            assert len(traffic.waits) == 1


def test_boxes_that_are_read_together_keep_their_values() -> None:
    generator = torch.Generator().manual_seed(0)
    boxes = [torch.rand(m, 5, generator=generator) for m in (1, 0, 2)]
    for given, found in zip(boxes, read_together(boxes), strict=True):
        assert torch.equal(given, found)


def test_reading_the_parameters_waits_for_them(fake_cuda: FakeCuda, model: Any, pools: Any, frames: Any) -> None:
    params = draw(pools["builtin"], ALWAYS, range(3))
    with fake_cuda:
        animator = fake_cuda.animator(model, torch.bfloat16)
        fake_cuda.load(pools["builtin"], frames["builtin"])
        images = torch.zeros(3, 3, 256, 256, dtype=torch.uint8, device=CUDA)
        apply(animator, pools["builtin"], images, params)
        traffic = fake_cuda.watch()
        result = apply(animator, pools["builtin"], images, params)
        assert result.moving == [0, 1, 2]
        assert (traffic.waits, len(traffic.readbacks)) == ([], 1)
        with pytest.raises(DataDependentOutputException):  # fake tensors have no values
            _ = result.params
        assert len(traffic.waits) == 1


def test_settled_parameters_are_not_read_back(fake_cuda: FakeCuda, model: Any, pools: Any, frames: Any) -> None:
    params = [param.settle(0, 0.5) for param in draw(pools["builtin"], ALWAYS, range(3))]
    with fake_cuda:
        animator = fake_cuda.animator(model, torch.bfloat16)
        fake_cuda.load(pools["builtin"], frames["builtin"])
        images = torch.zeros(3, 3, 256, 256, dtype=torch.uint8, device=CUDA)
        result = apply(animator, pools["builtin"], images, params)
        traffic = fake_cuda.watch()
        assert result.params == params
        assert (traffic.waits, traffic.readbacks) == ([], [])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("options", [{}, {"p": 0.5}, {"region": "mouth"}])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_cuda_agrees_that_nothing_is_read(model: Any, pools: Any, options: Any, dtype: torch.dtype) -> None:
    augment = MotionAugment(pools["builtin"], copy.deepcopy(model), **{"p": 1.0, **options}).cuda()
    images = torch.zeros(8, 3, 256, 256, dtype=dtype, device="cuda")
    expected = augment.apply(images, augment.draw(range(8)))
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        result = augment.apply(images, augment.draw(range(8)))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert result.params == expected.params
    torch.testing.assert_close(result.image, expected.image)
