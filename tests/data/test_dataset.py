from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from fomaug.data import MotionDataset, MotionLoader, motion_collate
from fomaug.errors import ArgumentError


def same(first, second) -> bool:
    return all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(first, second, strict=True))


def test_the_copies_of_an_item_are_neighbours(dataset, augment):
    motion = MotionDataset(dataset, augment, copies=3)
    assert len(motion) == 21
    for index in (0, 4, 20, -1):
        image, label = motion[index]
        number, number_of_copy = divmod(index % 21, 3)
        param = augment.draw([number], copies=3)[number_of_copy]
        assert label == number
        assert torch.equal(image, augment.apply(dataset[number][0][None], [param]).image[0])
        assert motion.params(index) == param


def test_originals_come_before_their_copies(dataset, augment):
    motion = MotionDataset(dataset, augment, copies=2, originals=True)
    plain = MotionDataset(dataset, augment, copies=2)
    assert len(motion) == 21
    for number in range(7):
        assert motion[3 * number][0] is not None
        assert torch.equal(motion[3 * number][0], dataset[number][0])
        assert motion.params(3 * number) is None
        for number_of_copy in range(2):
            assert torch.equal(motion[3 * number + 1 + number_of_copy][0], plain[2 * number + number_of_copy][0])


def test_a_skipped_item_is_the_item_itself(augment, images):
    items = list(images)
    augment.p = 0.0
    assert MotionDataset([{"image": image} for image in items], augment)[2]["image"] is items[2]


def test_evaluation_mode_changes_nothing(images, augment):
    augment.p = 1.0
    items = list(images)
    motion = MotionDataset(items, augment, copies=2, relabel=lambda item, params: None)
    assert motion[5] is None
    augment.eval()
    assert motion[5] is items[2]


def test_keys_name_the_items(dataset, augment):
    names = [f"{number}.jpg" for number in range(7)]
    motion = MotionDataset(dataset, augment, keys=names)
    assert motion.params(3) == augment.draw(["3.jpg"])[0]
    with pytest.raises(ArgumentError, match="2 keys for 7 items"):
        MotionDataset(dataset, augment, keys=["a", "b"])


def test_epochs_differ_and_come_back(dataset, augment):
    motion = MotionDataset(dataset, augment)
    first = [motion[index] for index in range(7)]
    motion.set_epoch(1)
    assert not same(first, [motion[index] for index in range(7)])
    motion.set_epoch(0)
    assert same(first, [motion[index] for index in range(7)])


def test_labels_may_come_from_the_clip(dataset, augment):
    motion = MotionDataset(dataset, augment, relabel=lambda item, param: (item[0], param.label))
    labels = {motion[index][1] for index in range(7) if not motion.params(index).skipped}
    assert labels <= {"nod", "shake", "smile"}
    assert labels


@pytest.mark.parametrize("kind", ["pil", "array"])
def test_pictures_of_other_kinds_give_the_same_pixels(augment, kind):
    array = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    augment.p = 1.0
    expected = MotionDataset([torch.from_numpy(array).permute(2, 0, 1)], augment)[0].permute(1, 2, 0)
    found = MotionDataset([Image.fromarray(array) if kind == "pil" else array], augment)[0]
    np.testing.assert_array_equal(np.asarray(found), expected.numpy())


def test_several_pictures_of_an_item_move_alike(augment, images):
    augment.p = 1.0
    item = {"left": images[0], "right": images[0].clone(), "other": images[1]}
    moved = MotionDataset([item], augment, which=["left", "right"])[0]
    assert torch.equal(moved["left"], moved["right"])
    assert not torch.equal(moved["left"], item["left"])
    assert moved["other"] is item["other"]


def test_an_index_outside_is_an_error(dataset, augment):
    with pytest.raises(IndexError, match="7 items, got index 7"):
        MotionDataset(dataset, augment)[7]
    assert sum(1 for _ in MotionDataset(dataset, augment)) == 7


def test_pickled_epoch_is_still_shared(dataset, augment):
    motion = MotionDataset(dataset, augment)
    motion.set_epoch(4)
    again = pickle.loads(pickle.dumps(motion))
    assert again.epoch == 4
    assert again._epoch.is_shared()


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_every_start_method_gives_the_same_items_and_sees_the_next_epoch(dataset, augment, method):
    motion = MotionDataset(dataset, augment)
    loader = DataLoader(motion, batch_size=3, num_workers=2, multiprocessing_context=method, persistent_workers=True)
    for epoch in (0, 5):
        motion.set_epoch(epoch)
        found = torch.cat([image for image, _ in loader])
        expected = torch.stack([motion[index][0] for index in range(7)])
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


class _Threads(MotionDataset):
    def __getitem__(self, index):
        return torch.get_num_threads()


def test_workers_use_one_thread(dataset, augment):
    loader = DataLoader(_Threads(dataset, augment), num_workers=2, multiprocessing_context="fork")
    assert {int(threads) for threads in loader} == {1}


def test_the_draw_of_a_copy_does_not_depend_on_how_many_there_are(dataset, augment):
    few, many = (MotionDataset(dataset, augment, copies=copies) for copies in (2, 5))
    assert [few.params(index) for index in range(2)] == [many.params(index) for index in range(2)]


def test_the_original_is_not_modified(dataset, augment, images):
    before = copy.deepcopy(images)
    motion = MotionDataset(dataset, augment)
    for index in range(7):
        _ = motion[index]
    assert torch.equal(before, images)


def test_indices_of_numpy_and_torch_are_accepted(dataset, augment):
    motion = MotionDataset(dataset, augment, copies=np.int64(2))
    for index in (np.int64(3), torch.tensor(3)):
        assert torch.equal(motion[index][0], motion[3][0])


@pytest.mark.parametrize("stream", [None, iter([]), DataLoader([1])])
def test_a_dataset_has_a_length_and_items(augment, stream):
    with pytest.raises(ArgumentError, match=r"dataset must have __len__ and __getitem__, got .* in MotionLoader"):
        MotionDataset(stream, augment)


def test_the_augmentation_is_checked_when_it_is_given(dataset):
    for make in (lambda: MotionDataset(dataset, None), lambda: MotionLoader([], None), lambda: motion_collate(None)):
        with pytest.raises(ArgumentError, match="augment must be a MotionAugment, got NoneType"):
            make()
