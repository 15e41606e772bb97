"""Batches and items that say which images moved."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from fomaug import MotionAugment
from fomaug.data import MotionDataset, MotionLoader
from fomaug.errors import ArgumentError


@pytest.fixture
def half(augment: MotionAugment) -> MotionAugment:
    return MotionAugment(augment.driving, augment.model, p=0.5, seed=3)


@pytest.mark.parametrize("named", [False, True])
def test_a_loader_marks_the_images_that_moved(
    half: MotionAugment, dataset: TensorDataset, images: Tensor, named: bool
) -> None:
    items: Any = [{"image": image, "label": i} for i, image in enumerate(images)] if named else dataset
    batches = list(MotionLoader(DataLoader(items, batch_size=4), half, is_synthetic=True))
    marks = torch.cat([batch["is_synthetic"] if named else batch[2] for batch in batches])
    moved = torch.cat([batch["image"] if named else batch[0] for batch in batches])
    assert marks.dtype == torch.bool
    assert marks.tolist() == [not torch.equal(*pair) for pair in zip(moved, images, strict=True)]
    assert 0 < int(marks.sum()) < 7


def test_no_image_is_synthetic_in_evaluation(half: MotionAugment, dataset: TensorDataset) -> None:
    half.eval()
    for batch in MotionLoader(DataLoader(dataset, batch_size=4), half, is_synthetic=True):
        assert batch[2].tolist() == [False] * len(batch[0])
    assert MotionDataset(dataset, half, is_synthetic=True)[0][2] is False


def test_a_dataset_marks_copies_and_not_originals(half: MotionAugment, dataset: TensorDataset, images: Tensor) -> None:
    copies = MotionDataset(dataset, half, copies=3, originals=True, is_synthetic=True)
    marks = [mark for batch in DataLoader(copies, batch_size=4) for mark in batch[2].tolist()]
    assert marks == [not torch.equal(copies[i][0], images[i // 4]) for i in range(len(copies))]
    assert not any(marks[::4])
    assert any(marks)


def test_labels_are_changed_before_the_mark_is_added(half: MotionAugment, dataset: TensorDataset) -> None:
    marked = MotionDataset(dataset, half, relabel=lambda item, _: (item[0], -1), is_synthetic=True)
    assert all((label == -1) == mark for _, label, mark in (marked[i] for i in range(7)))


class Pair(NamedTuple):
    image: Tensor
    label: int


class Pairs(Dataset[Pair]):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Pair:
        return Pair(torch.zeros(3, 64, 64), index)


def test_a_batch_without_room_for_the_mark_is_an_error(half: MotionAugment) -> None:
    with pytest.raises(ArgumentError, match="a batch is Pair"):
        MotionDataset(Pairs(), half, is_synthetic=True)[0]
    with pytest.raises(ArgumentError, match="has it already"):
        MotionDataset([{"image": torch.zeros(3, 64, 64), "is_synthetic": 0}], half, is_synthetic=True)[0]
