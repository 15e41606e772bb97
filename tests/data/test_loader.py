from __future__ import annotations

import json
import pickle
import threading
import traceback
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    TensorDataset,
    default_collate,
    get_worker_info,
)

from fomaug import MotionParams
from fomaug.data import MotionDataset, MotionLoader
from fomaug.data.ahead import _Worker
from fomaug.errors import ArgumentError


def gather(loader) -> dict[int, torch.Tensor]:
    """The moved pictures by their label, which is their dataset index."""
    return {int(label): image for images, labels in loader for image, label in zip(images, labels, strict=True)}


def assert_same(first, second):
    assert first.keys() == second.keys()
    for index in first:
        torch.testing.assert_close(first[index], second[index], atol=1e-5, rtol=0)


@pytest.fixture
def expected(augment, images):
    def moved(epoch: int = 0) -> dict[int, torch.Tensor]:
        result = augment.apply(images, augment.draw(range(7), epoch=epoch))
        return dict(enumerate(result.image))

    return moved


@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 7},
        {"batch_size": 2},
        {"batch_size": 3, "shuffle": True},
        {"batch_size": 3, "num_workers": 2, "multiprocessing_context": "fork"},
        {"sampler": [6, 5, 4, 3, 2, 1, 0], "batch_size": 4},
    ],
    ids=["one batch", "many", "shuffled", "workers", "backwards"],
)
def test_draws_depend_on_the_dataset_index_alone(dataset, augment, expected, options):
    assert_same(gather(MotionLoader(DataLoader(dataset, **options), augment)), expected())


def test_every_pass_is_a_new_epoch_until_set(dataset, augment, expected):
    loader = MotionLoader(DataLoader(dataset, batch_size=4), augment)
    assert_same(gather(loader), expected(0))
    assert_same(gather(loader), expected(1))
    loader.set_epoch(0)
    assert_same(gather(loader), expected(0))


def test_has_the_length_and_the_parts_of_the_loader(dataset, augment):
    plain = DataLoader(dataset, batch_size=4)
    loader = MotionLoader(plain, augment)
    assert len(loader) == 2
    assert loader.dataset is dataset
    assert loader.batch_size == 4
    assert loader.sampler is plain.sampler
    with pytest.raises(AttributeError, match="bacth_size"):
        loader.bacth_size  # noqa: B018


@dataclass
class Batch:
    image: torch.Tensor
    name: list[str]


def collate_dataclass(items):
    return Batch(torch.stack([image for image, _ in items]), [f"{int(label)}" for _, label in items])


def collate_dict(items):
    images, labels = default_collate(items)
    return {"image": images, "extra": {"labels": labels}, "list": [images, 3]}


def test_the_structure_is_kept(dataset, augment, expected):
    (batch,) = MotionLoader(DataLoader(dataset, batch_size=7, collate_fn=collate_dict), augment)
    torch.testing.assert_close(batch["image"], torch.stack(list(expected().values())))
    assert torch.equal(batch["list"][0], dataset.tensors[0])
    assert batch["extra"]["labels"].tolist() == list(range(7))

    (batch,) = MotionLoader(DataLoader(dataset, batch_size=7, collate_fn=collate_dataclass), augment)
    assert isinstance(batch, Batch)
    torch.testing.assert_close(batch.image, torch.stack(list(expected().values())))
    assert batch.name == [str(number) for number in range(7)]

    (batch,) = DataLoader(TensorDataset(dataset.tensors[0]), batch_size=7)
    (found,) = MotionLoader(DataLoader(TensorDataset(dataset.tensors[0]), batch_size=7), augment)
    assert type(found) is type(batch)


def test_which_selects_the_image(dataset, augment, expected):
    loader = MotionLoader(DataLoader(dataset, batch_size=7, collate_fn=collate_dict), augment, which=("list", 0))
    (batch,) = loader
    assert torch.equal(batch["image"], dataset.tensors[0])
    torch.testing.assert_close(batch["list"][0], torch.stack(list(expected().values())))


def test_keys_in_the_batch_name_the_images(dataset, augment, images):
    loader = MotionLoader(DataLoader(dataset, batch_size=7, collate_fn=collate_dataclass), augment, keys="name")
    (batch,) = loader
    names = [str(number) for number in range(7)]
    assert torch.equal(batch.image, augment.apply(images, augment.draw(names)).image)


class Stream(IterableDataset):
    def __init__(self, images):
        self.images = images

    def __iter__(self):
        return iter(self.images)


def test_images_of_a_stream_are_counted(augment, images, expected):
    for batch_size in (7, 3):
        loader = MotionLoader(DataLoader(Stream(images), batch_size=batch_size), augment)
        found = torch.cat(list(loader))
        torch.testing.assert_close(found, torch.stack(list(expected().values())), atol=1e-5, rtol=0)


def test_any_iterable_is_accepted(augment, images, expected):
    loader = MotionLoader([images[:4], images[4:]], augment)
    torch.testing.assert_close(torch.cat(list(loader)), torch.stack(list(expected().values())), atol=1e-5, rtol=0)
    assert len(loader) == 2


def test_a_collate_that_drops_items_needs_keys(dataset, augment):
    loader = MotionLoader(
        DataLoader(dataset, batch_size=4, collate_fn=lambda items: default_collate(items[1:])), augment
    )
    with pytest.raises(ArgumentError, match="3 images was made from 4 items; set keys="):
        list(loader)


def test_ranks_divide_the_images_and_their_draws(dataset, augment, expected):
    parts = {}
    for rank in (0, 1):
        sampler = DistributedSampler(dataset, num_replicas=2, rank=rank, drop_last=True)
        loader = MotionLoader(DataLoader(dataset, batch_size=2, sampler=sampler), augment)
        loader.set_epoch(3)
        assert sampler.epoch == 3
        part = gather(loader)
        assert not part.keys() & parts.keys()
        parts |= part
    wanted = expected(3)
    assert_same(parts, {index: wanted[index] for index in parts})


def test_evaluation_mode_changes_nothing(dataset, augment):
    augment.eval()
    ((images, _),) = MotionLoader(DataLoader(dataset, batch_size=7), augment)
    assert torch.equal(images, dataset.tensors[0])


def test_log_replays_to_the_same_pixels(dataset, augment, images):
    logged = []
    loader = MotionLoader(DataLoader(dataset, batch_size=3), augment, log=logged.append)
    moved = [batch for batch, _ in loader]
    assert [len(params) for params in logged] == [3, 3, 1]
    for batch, params in zip(moved, logged, strict=True):
        rows = [param.key for param in params]
        assert torch.equal(augment.apply(images[rows], params).image, batch)


def test_labels_may_come_from_the_clips(dataset, augment):
    loader = MotionLoader(
        DataLoader(dataset, batch_size=7),
        augment,
        relabel=lambda batch, params: (batch[0], [param.label for param in params]),
    )
    ((_, labels),) = loader
    assert labels == [param.label for param in augment.draw(range(7))]


class Fetching(TensorDataset):
    """A dataset that fetches whole batches, as some do to read faster."""

    def __init__(self, *tensors):
        super().__init__(*tensors)
        self.fetched = []

    def __getitems__(self, indices):
        self.fetched.append(list(indices))
        return [self[index] for index in indices]


def test_datasets_that_fetch_batches_still_do(dataset, augment, expected):
    fetching = Fetching(*dataset.tensors)
    assert_same(gather(MotionLoader(DataLoader(fetching, batch_size=4), augment)), expected())
    assert fetching.fetched == [[0, 1, 2, 3], [4, 5, 6]]


class Whole(TensorDataset):
    """A dataset that gives a batch as one value, for a `collate_fn` that has nothing to do."""

    def __getitems__(self, indices):
        return [tensor[indices] for tensor in self.tensors]


def as_it_is(batch):
    return batch


def test_datasets_that_return_whole_batches_still_do(dataset, augment, expected):
    loader = DataLoader(Whole(*dataset.tensors), batch_size=4, collate_fn=as_it_is)
    assert_same(gather(MotionLoader(loader, augment)), expected())


# Repeats ------------------------------------------------------------------------------------------------------------

OFTEN = [2, 2, 5, 2, 0, 5, 2]  # as a sampler with replacement draws


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 7}, {"batch_size": 2}, {"batch_size": 3, "num_workers": 2, "multiprocessing_context": "fork"}],
    ids=["one batch", "many", "workers"],
)
def test_a_repeated_index_in_a_pass_draws_its_next_copy(dataset, augment, options):
    log = []
    loader = MotionLoader(DataLoader(dataset, sampler=OFTEN, **options), augment, log=log.extend)
    for epoch in range(2):
        log.clear()
        images = torch.cat([images for images, _ in loader])
        drawn = {index: augment.draw([index], copies=4, epoch=epoch) for index in OFTEN}
        wanted = [drawn[index][OFTEN[:position].count(index)] for position, index in enumerate(OFTEN)]
        moved = augment.apply(dataset.tensors[0][OFTEN], wanted)
        assert log == moved.params
        torch.testing.assert_close(images, moved.image, atol=1e-5, rtol=0)


def test_a_picture_drawn_many_times_is_not_the_same_picture_many_times(dataset, augment):
    augment.p = 1.0
    ((images, _),) = MotionLoader(DataLoader(dataset, sampler=[4] * 8, batch_size=8), augment)
    assert len(images.unique(dim=0)) == 8


def test_a_repeat_replays_to_the_same_pixels(dataset, augment, images):
    log = []
    loader = MotionLoader(DataLoader(dataset, sampler=OFTEN, batch_size=7), augment, log=log.extend)
    ((moved, _),) = loader
    params = [MotionParams.from_dict(json.loads(json.dumps(param.to_dict()))) for param in log]
    torch.testing.assert_close(augment.apply(images[OFTEN], params).image, moved)


def test_a_repeated_name_draws_its_next_copy(augment, images):
    log = []
    batch = {"image": images[[1, 2, 1]], "name": ["b", "c", "b"]}
    list(MotionLoader([batch, batch], augment, keys="name", log=log.extend))
    assert [(param.key, param.copy) for param in log] == [("b", 0), ("c", 0), ("b", 1), ("b", 2), ("c", 1), ("b", 3)]


# What the wrapped loader sees ---------------------------------------------------------------------------------------


class Opened(TensorDataset):
    """A dataset whose workers open a file of their own, as those over HDF5 and LMDB do."""

    def __getitem__(self, index):
        image, label = super().__getitem__(index)
        return image, label + self.offset


def open_in_worker(_worker):
    dataset = get_worker_info().dataset
    assert type(dataset) is Opened
    assert len(dataset) == 7
    dataset.offset = 10


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_init_fn_finds_the_dataset_itself(dataset, augment, expected, method):
    loader = DataLoader(
        Opened(*dataset.tensors),
        batch_size=3,
        num_workers=2,
        multiprocessing_context=method,
        persistent_workers=True,
        worker_init_fn=open_in_worker,
    )
    motion = MotionLoader(loader, augment)
    for epoch in range(2):
        assert_same({label - 10: image for label, image in gather(motion).items()}, expected(epoch))


class Sized(Dataset):
    """A dataset whose index says a size, too, as samplers for several sizes have it."""

    def __init__(self, images):
        self.images = images

    def __getitem__(self, index):
        number, size = index
        return self.images[number, :, :size, :size]


def test_indices_may_be_tuples(augment, images):
    log = []
    batches = [[(1, 64), (2, 64)], [(np.int64(1), 32), (1, 32)]]
    found = list(MotionLoader(DataLoader(Sized(images), batch_sampler=batches), augment, log=log.extend))
    assert [len(batch) for batch in found] == [2, 2]
    drawn = [("(1, 64)", 0), ("(2, 64)", 0), ("(1, 32)", 0), ("(1, 32)", 1)]
    assert [(param.key, param.copy) for param in log] == drawn


def test_leaving_early_stops_the_thread_and_the_next_pass_works(dataset, augment, expected):
    loader = MotionLoader(DataLoader(dataset, batch_size=2), augment)
    for _ in loader:
        break
    assert len([thread for thread in threading.enumerate() if thread.name == "fomaug"]) == len(_Worker.resting)
    assert_same(gather(loader), expected(1))


class Broken(TensorDataset):
    def __getitem__(self, index):
        if index == 5:
            raise OSError("picture 5 cannot be read")
        return super().__getitem__(index)


def test_errors_have_their_traceback(dataset, augment):
    batches = iter(MotionLoader(DataLoader(Broken(*dataset.tensors), batch_size=3), augment))
    next(batches)
    with pytest.raises(OSError, match="picture 5") as caught:
        list(batches)
    assert "__getitem__" in [frame.name for frame in traceback.extract_tb(caught.tb)]


def test_sets_the_epoch_of_a_wrapped_dataset(dataset, augment):
    motion = MotionDataset(dataset, augment)
    MotionLoader(DataLoader(motion, batch_size=7), augment).set_epoch(4)
    assert motion.epoch == 4


def test_pickles(dataset, augment, expected):
    loader = pickle.loads(pickle.dumps(MotionLoader(DataLoader(dataset, batch_size=4), augment)))
    assert_same(gather(loader), expected())


def test_batches_arrive_on_the_requested_device(dataset, augment):
    ((images, labels),) = MotionLoader(DataLoader(dataset, batch_size=7), augment, device="meta")
    assert (images.device.type, labels.device.type) == ("meta", "meta")


def test_other_values_than_images_are_named(augment):
    with pytest.raises(ArgumentError, match="the value at 0 is not a tensor of images but list; set which="):
        list(MotionLoader([([1, 2], 3)], augment))


def test_wrong_arguments_are_errors_before_the_first_batch(dataset, augment):
    with pytest.raises(ArgumentError, match="loader must be an iterable of batches, got MotionAugment"):
        MotionLoader(augment, DataLoader(dataset))
    with pytest.raises(ArgumentError, match=r"log must be a function of parameters, such as \[\]\.extend, got list"):
        MotionLoader(DataLoader(dataset), augment, log=[])
