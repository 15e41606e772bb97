"""Worker processes of every start method: the same draws, one thread each, and a clear word about CUDA."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, default_collate

from fomaug.data import MotionDataset, motion_collate
from fomaug.errors import ArgumentError


def with_names_and_threads(items):
    images, labels = default_collate(items)
    return {"image": images, "name": [f"{int(label)}" for label in labels], "threads": torch.get_num_threads()}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_collate_draws_the_same_in_workers_of_every_kind_with_one_thread_each(dataset, augment, images, method):
    collate = motion_collate(augment, with_names_and_threads, keys="name")
    loader = DataLoader(dataset, batch_size=3, collate_fn=collate, num_workers=2, multiprocessing_context=method)
    batches = list(loader)
    found = torch.cat([batch["image"] for batch in batches])
    expected = augment.apply(images, augment.draw([str(number) for number in range(7)])).image
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert {batch["threads"] for batch in batches} == {1}


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("where", ["dataset", "collate"])
def test_cuda_in_a_real_worker_names_the_class_to_use(dataset, augment, where, method):
    augment._resources._target = (torch.device("cuda:0"), torch.float32)  # as after .to("cuda"), where there is a GPU
    if where == "dataset":
        loader = DataLoader(MotionDataset(dataset, augment), num_workers=1, multiprocessing_context=method)
    else:
        collate = motion_collate(augment)
        loader = DataLoader(dataset, collate_fn=collate, num_workers=1, multiprocessing_context=method)
    with pytest.raises(ArgumentError, match=r"wrap the loader in fomaug\.data\.MotionLoader"):
        list(loader)
