"""What every face of MotionAugment promises; `build` makes one face after the other."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

ALL_DTYPES = (torch.uint8, torch.float32, torch.float16, torch.bfloat16, torch.float64)


@pytest.fixture
def typed(build, images, kinds):
    """A face that moves everything, and images of a dtype that it takes."""

    def made(dtype):
        face = build(p=1.0)
        if dtype not in face.dtypes:
            pytest.skip(f"its library takes no {dtype}")
        return face, kinds.as_dtype(images, dtype)

    return made


@pytest.mark.parametrize("dtype", ALL_DTYPES)
def test_p_zero_returns_the_input(build, images, kinds, dtype):
    face = build(p=0.0)
    if dtype not in face.dtypes:
        pytest.skip(f"its library takes no {dtype}")
    images = kinds.as_dtype(images, dtype)
    moved, _ = face.run(face.thing, images)
    assert torch.equal(moved, images)


def test_p_one_moves_every_image(build, images):
    face = build(p=1.0)
    moved, _ = face.run(face.thing, images)
    assert bool(((moved - images).abs().amax((1, 2, 3)) > 0.05).all())


def test_input_is_never_modified(build, images):
    before, version = images.clone(), images._version
    for p in (0.0, 0.5, 1.0):
        face = build(p=p)
        face.run(face.thing, images)
    assert torch.equal(images, before)
    assert images._version == version


@pytest.mark.parametrize("dtype", ALL_DTYPES)
def test_dtype_shape_device_and_range_are_kept(typed, dtype):
    face, images = typed(dtype)
    moved, _ = face.run(face.thing, images)
    assert (moved.dtype, moved.shape, moved.device) == (images.dtype, images.shape, images.device)
    high = 255 if dtype == torch.uint8 else 1
    assert moved.min() >= 0
    assert moved.max() <= high
    assert moved.max() > high / 4  # in the range, not a 255th of it


@pytest.mark.parametrize("p", [0.5, 1.0])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_layout_is_kept(build, images, layout, p, request):
    if any(name in request.node.name for name in ("dataset", "collate", "albumentations")):
        pytest.skip("single pictures have no batch layout")
    face = build(p=p)
    moved, _ = face.run(face.thing, images.contiguous(memory_format=layout))
    assert moved.is_contiguous(memory_format=layout)


@pytest.mark.parametrize("dtype", ALL_DTYPES)
def test_replay_of_the_log_makes_the_same_pixels(typed, dtype, kinds):
    face, images = typed(dtype)
    moved, record = face.run(face.thing, images)
    again = face.replay(face.thing, images, record)
    torch.testing.assert_close(again, moved, atol=kinds.tolerance[dtype], rtol=0)


def test_the_same_seed_makes_the_same_draws(build, images):
    faces = build(p=0.5, seed=7), build(p=0.5, seed=7)
    moved = []
    for face in faces:
        face.restart(face.thing)
        moved.append(face.run(face.thing, images)[0])
    assert torch.equal(*moved)


def test_another_seed_makes_other_draws(build, images):
    first, second = build(p=1.0, seed=7), build(p=1.0, seed=8)
    first.restart(first.thing)
    moved = first.run(first.thing, images)[0]
    second.restart(second.thing)
    assert not torch.equal(moved, second.run(second.thing, images)[0])


def test_a_pickled_copy_does_the_same(build, images):
    face = build(p=0.7)
    copied = pickle.loads(pickle.dumps(face.thing))
    moved = face.run(face.thing, images)[0]
    face.restart(copied)
    assert torch.equal(face.run(copied, images)[0], moved)


@pytest.mark.parametrize("dtype", ALL_DTYPES)
def test_a_batch_equals_its_singles(typed, dtype, kinds):
    face, images = typed(dtype)
    if not face.keyed:
        pytest.skip("its draws go by order, not by name")
    whole, _ = face.run(face.thing, images)
    singles = torch.cat([face.run(face.thing, image[None])[0] for image in images])
    torch.testing.assert_close(singles, whole, atol=kinds.tolerance[dtype], rtol=0)


def test_one_alone_replays_to_its_row_of_the_batch(build, images):
    face = build(p=0.7)
    moved, record = face.run(face.thing, images)
    for row in range(len(images)):
        alone = face.replay(face.thing, images[row : row + 1], one_of(record, row, len(images)))
        torch.testing.assert_close(alone, moved[row : row + 1], atol=1e-5, rtol=0)


def one_of(record, row, count):
    """The record of one image; kornia's is a dict of tensors."""
    if isinstance(record, list):
        return record[row : row + 1]
    return {name: value[row : row + 1] if len(value) == count else value for name, value in record.items()}


def test_order_does_not_matter(build, images):
    face = build(p=0.7)
    if not face.keyed:
        pytest.skip("its draws go by order, not by name")
    order = [3, 0, 4, 2, 1]
    whole, _ = face.run(face.thing, images)
    shuffled, _ = face.run(face.thing, images[order])
    torch.testing.assert_close(shuffled, whole[order], atol=1e-5, rtol=0)


def test_gradients_flow_on_request(build, images):
    face = build(p=1.0, differentiable=True)
    if not face.differentiable:
        pytest.skip("its library hands no gradients on")
    images.requires_grad_()
    moved, _ = face.run(face.thing, images)
    moved.mean().backward()
    assert bool((images.grad.abs().amax((1, 2, 3)) > 0).all())


def test_there_are_no_gradients_by_default(build, images):
    face = build(p=1.0)
    if not face.differentiable:
        pytest.skip("its library hands no gradients on")
    assert not face.run(face.thing, images.requires_grad_())[0].requires_grad


def test_grey_pictures_remain_grey(build, images):
    face = build(p=1.0)
    grey = images[:, :1].contiguous()
    moved, _ = face.run(face.thing, grey)
    assert moved.shape == grey.shape
    assert bool(((moved - grey).abs().amax((1, 2, 3)) > 0.01).all())


@pytest.mark.parametrize("size", [(48, 80), (96, 96)])
def test_the_size_of_pictures_is_kept(build, images, size):
    face = build(p=1.0)
    resized = torch.nn.functional.interpolate(images, size)
    assert face.run(face.thing, resized)[0].shape == (*images.shape[:2], *size)


def test_global_generators_are_used_only_by_libraries_that_draw_from_them(build, images, request):
    if any(name in request.node.name for name in ("kornia", "torchvision", "collate")):
        pytest.skip("its library draws from torch's generator")
    face = build(p=0.5)
    before, numbers = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    face.run(face.thing, images)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002
