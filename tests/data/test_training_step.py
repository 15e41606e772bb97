"""Training steps as people write them, fed by the loader: their losses are those on the pictures that were drawn."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from fomaug.augment import MotionAugment
from fomaug.data import MotionLoader

PASSES = 2


@pytest.fixture(autouse=True)
def _nothing_compiled_before():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def small_net() -> nn.Module:
    """Seven classes of pictures of 64 x 64; always the same weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        convolution = nn.Conv2d(3, 8, 5, stride=4)
        return nn.Sequential(
            convolution, nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(128, 7)
        )


def train(batches, net, call=None) -> list[float]:
    """The losses of all steps; `call` stands for the net, compiled or wrapped."""
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    losses = []
    for images, labels in batches:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy((call or net)(images), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.fixture
def moved(dataset, augment):
    """Batches of the loader, pass after pass."""
    loader = MotionLoader(DataLoader(dataset, batch_size=4), augment)
    return lambda: (batch for _ in range(PASSES) for batch in loader)


@pytest.fixture
def expected(dataset, augment) -> list[float]:
    """The losses of a plain net on pictures that were moved beforehand, by draw and apply."""
    images, labels = dataset.tensors
    batches = [
        (augment.apply(part, augment.draw(names.tolist(), epoch=epoch)).image, names)
        for epoch in range(PASSES)
        for part, names in zip(images.split(4), labels.split(4), strict=True)
    ]
    return train(batches, small_net())


def test_a_plain_step_receives_the_drawn_motion(moved, expected):
    assert train(moved(), small_net()) == pytest.approx(expected, abs=1e-4)
    assert len(set(expected)) == len(expected)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_net_learns_the_same(moved, expected, backend):
    net = small_net()
    assert train(moved(), net, torch.compile(net, backend=backend)) == pytest.approx(expected, abs=1e-4)


def test_a_compiled_step_may_hold_the_module(dataset, augment, expected):
    images, labels = dataset.tensors
    net = small_net()

    def move_and_judge(images: torch.Tensor) -> torch.Tensor:
        return net(augment(images))

    def batches():
        for epoch in range(PASSES):
            augment.set_epoch(epoch)
            yield from zip(images.split(4), labels.split(4), strict=True)

    losses = train(batches(), net, torch.compile(move_and_judge, backend="eager"))
    assert losses == pytest.approx(expected, abs=1e-4)


def test_a_channels_last_net_learns_the_same(moved, expected):
    net = small_net().to(memory_format=torch.channels_last)

    def call(images: torch.Tensor) -> torch.Tensor:
        return net(images.contiguous(memory_format=torch.channels_last))

    assert train(moved(), net, call) == pytest.approx(expected, abs=1e-4)


def test_channels_last_batches_keep_their_layout(dataset, augment, expected):
    images, labels = dataset.tensors
    parts = [part.contiguous(memory_format=torch.channels_last) for part in images.split(4)]
    loader = MotionLoader(list(zip(parts, labels.split(4), strict=True)), augment)
    batches = [batch for _ in range(PASSES) for batch in loader]
    assert all(images.is_contiguous(memory_format=torch.channels_last) for images, _ in batches)
    found = train(batches, small_net().to(memory_format=torch.channels_last))
    assert found == pytest.approx(expected, abs=1e-4)


def test_autocast_around_the_loop_does_not_change_the_pictures(dataset, augment, moved, expected):
    plain = [images for images, _ in moved()]
    augment.set_epoch(0)
    loader = MotionLoader(DataLoader(dataset, batch_size=4), augment)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        batches = [batch for _ in range(PASSES) for batch in loader]
        losses = train(batches, small_net())
    for (images, _), wanted in zip(batches, plain, strict=True):
        assert torch.equal(images, wanted)
    assert losses == pytest.approx(expected, abs=0.1)
    assert losses != expected  # the net did compute in bfloat16


def test_gradients_reach_the_pictures_through_the_module(tiny_model, tiny_pool, images):
    augment = MotionAugment(tiny_pool, tiny_model, p=1.0, differentiable=True)
    net = small_net()
    images.requires_grad_()
    nn.functional.cross_entropy(net(augment(images)), torch.arange(7)).backward()
    assert bool((images.grad.abs().amax((1, 2, 3)) > 0).all())
    assert all(parameter.grad is not None for parameter in net.parameters())
