from __future__ import annotations

from collections import OrderedDict, UserDict, namedtuple
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from fomaug.data.paths import get_at, image_path, set_at, tensors_in, to_device
from fomaug.errors import ArgumentError

Pair = namedtuple("Pair", "image label")


@dataclass
class Sample:
    image: object
    label: int = 0


CASES = [
    ((1, 2), 0, (9, 2)),
    ([1, 2], 1, [1, 9]),
    ((1, 2), -1, (1, 9)),
    ({"image": 1, "b": 2}, "image", {"image": 9, "b": 2}),
    (OrderedDict(a=1), "a", OrderedDict(a=9)),
    (Pair(1, 2), "image", Pair(9, 2)),
    (Pair(1, 2), 1, Pair(1, 9)),
    (Sample(1, 2), "image", Sample(9, 2)),
    ({"x": [Pair(1, 2), 3]}, ("x", 0, "label"), {"x": [Pair(1, 9), 3]}),
    (5, (), 9),
]


@pytest.mark.parametrize(("batch", "path", "expected"), CASES)
def test_sets_a_value_without_changing_the_original(batch, path, expected):
    before = repr(batch)
    changed = set_at(batch, path, 9)
    assert changed == expected
    assert type(changed) is type(batch)
    assert repr(batch) == before
    assert get_at(changed, path) == 9


def test_mappings_and_other_objects_keep_their_type():
    user = UserDict(a=1)
    assert set_at(user, "a", 2) == UserDict(a=2)
    assert user["a"] == 1
    space = SimpleNamespace(image=1)
    assert set_at(space, "image", 2) == SimpleNamespace(image=2)
    assert space.image == 1


@pytest.mark.parametrize(
    ("batch", "path"),
    [
        (torch.zeros(2), ()),
        ((1, 2), 0),
        ([1, 2], 0),
        ({"image": 1}, "image"),
        (Pair(1, 2), "image"),
        (namedtuple("Plain", "x y")(1, 2), 0),
        (Sample(1), "image"),
    ],
)
def test_guesses_the_path_of_the_image(batch, path):
    assert image_path(batch) == path


@pytest.mark.parametrize(
    ("batch", "path", "message"),
    [
        ({"image": 1}, "imgae", "nothing at 'imgae'; did you mean 'image'"),
        ((1, 2), 5, "nothing at 5"),
        (Sample(1), "img", "Sample has nothing at 'img'"),
        (torch.zeros(2), "image", "Tensor has nothing at 'image'"),
    ],
)
def test_an_error_about_a_wrong_path_lists_the_existing_keys(batch, path, message):
    with pytest.raises(ArgumentError, match=message):
        get_at(batch, path)


def test_finds_and_moves_every_tensor():
    batch = {"a": [torch.zeros(1), "x"], "b": Sample(torch.ones(1)), "c": Pair(torch.ones(1), None)}
    assert len(list(tensors_in(batch))) == 3
    moved = to_device(batch, torch.device("meta"))
    assert {tensor.device.type for tensor in tensors_in(moved)} == {"meta"}
    assert {tensor.device.type for tensor in tensors_in(batch)} == {"cpu"}
    assert (type(moved["b"]), type(moved["c"]), moved["a"][1]) == (Sample, Pair, "x")


def test_a_batch_on_the_device_is_not_rebuilt():
    batch = {"a": [torch.zeros(1)]}
    assert to_device(batch, torch.device("cpu")) is batch
