from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, default_collate

from fomaug.data import motion_collate


def with_names(items):
    images, labels = default_collate(items)
    return {"image": images, "name": [f"{int(label)}" for label in labels]}


def test_collates_then_moves(dataset, augment, images):
    loader = DataLoader(dataset, batch_size=3, collate_fn=motion_collate(augment))
    found = torch.cat([batch for batch, _ in loader])
    augment.set_epoch(0)
    torch.testing.assert_close(found, augment(images), atol=1e-5, rtol=0)


@pytest.mark.parametrize("workers", [0, 2])
def test_keyed_draws_do_not_depend_on_workers(dataset, augment, images, workers):
    collate = motion_collate(augment, with_names, keys="name")
    options = {"multiprocessing_context": "fork"} if workers else {}
    loader = DataLoader(dataset, batch_size=3, collate_fn=collate, num_workers=workers, **options)
    found = torch.cat([batch["image"] for batch in loader])
    expected = augment.apply(images, augment.draw([str(number) for number in range(7)])).image
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_counted_draws_repeat_neither_another_workers_nor_the_last_epochs(dataset, augment, images):
    same = torch.utils.data.TensorDataset(images[:1].expand(8, -1, -1, -1))
    augment.p = 1.0
    loader = DataLoader(
        same, batch_size=2, collate_fn=motion_collate(augment), num_workers=2, multiprocessing_context="fork"
    )
    moved = torch.cat([batch for _ in range(2) for (batch,) in loader])
    assert len(torch.unique(moved.flatten(1), dim=0)) == 16


def test_evaluation_mode_only_collates(dataset, augment):
    ((images, _),) = DataLoader(dataset, batch_size=7, collate_fn=motion_collate(augment.eval()))
    assert torch.equal(images, dataset.tensors[0])
