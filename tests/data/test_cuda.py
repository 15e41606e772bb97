"""What only a CUDA device can show; run with `-m gpu`."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.utils.data import DataLoader

from fomaug.data import MotionDataset, MotionLoader
from fomaug.errors import ArgumentError

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture
def on_cuda(augment):
    # The model of the session's fixtures stays where it is.
    return copy.deepcopy(augment).cuda()


def test_the_module_moves_alike_on_both_devices(augment, on_cuda, images):
    for layout in (torch.contiguous_format, torch.channels_last):
        there = on_cuda(images.cuda().contiguous(memory_format=layout), range(7))
        assert there.device.type == "cuda"
        assert there.is_contiguous(memory_format=layout)
        torch.testing.assert_close(there.cpu(), augment(images, range(7)), atol=2e-2, rtol=0)


def test_images_return_to_their_device(on_cuda, images):
    assert on_cuda(images, range(7)).device.type == "cpu"


@pytest.mark.parametrize("pinned", [True, False])
def test_the_loader_yields_finished_batches(augment, on_cuda, dataset, pinned):
    loader = MotionLoader(DataLoader(dataset, batch_size=2, pin_memory=pinned), on_cuda)
    for epoch in range(5):
        expected = augment.apply(dataset.tensors[0], augment.draw(range(7), epoch=epoch)).image
        found = []
        for images, labels in loader:
            assert images.device.type == labels.device.type == "cuda"
            # Memory is reused while the taker's stream still works: what it reads must not change under it.
            busy = torch.ones(2048, 2048, device="cuda")
            for _ in range(20):
                busy = busy @ busy / 2048
            found.append(images + 0 * busy[0, 0])
        torch.testing.assert_close(torch.cat(found).cpu(), expected, atol=2e-2, rtol=0)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_cuda_in_a_worker_names_the_class_to_use(on_cuda, dataset, method):
    loader = DataLoader(MotionDataset(dataset, on_cuda), num_workers=1, multiprocessing_context=method)
    with pytest.raises(ArgumentError, match="MotionLoader"):
        list(loader)
