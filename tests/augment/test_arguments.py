"""The probability of a move, by epoch."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from fomaug import Animator, DrivingPool, MotionAugment
from fomaug.data import MotionDataset, MotionLoader
from fomaug.errors import ArgumentError


def ramp(epoch: int) -> float:
    return min(1.0, epoch / 4)


def moved(augment: MotionAugment, epoch: int) -> list[bool]:
    return [not param.skipped for param in augment.draw(range(40), epoch=epoch)]


@pytest.mark.parametrize("p", [[(0, 0.0), (2, 0.25), (5, 1.0)], lambda epoch: 0.0 if epoch < 2 else ramp(epoch - 1)])
def test_each_epoch_draws_as_its_own_probability_does(tiny_model: Animator, tiny_pool: DrivingPool, p: Any) -> None:
    scheduled = MotionAugment(tiny_pool, tiny_model, p=p, seed=3)
    for epoch, expected in ((0, 0.0), (1, 0.0), (2, 0.25), (5, 1.0), (9, 1.0)):
        assert moved(scheduled, epoch) == moved(MotionAugment(tiny_pool, tiny_model, p=expected, seed=3), epoch)


def test_the_module_follows_its_epoch_and_a_resumed_one_continues(tiny_model: Animator, tiny_pool: DrivingPool) -> None:
    images = torch.rand(4, 3, 64, 64)
    augment = MotionAugment(tiny_pool, tiny_model, p=[(0, 0.0), (1, 1.0)])
    assert torch.equal(augment(images), images)
    augment.set_epoch(1)
    assert augment.settings.p == 1.0
    again = MotionAugment(tiny_pool, tiny_model, p=[(0, 0.0), (1, 1.0)])
    again.load_state_dict(augment.state_dict())
    expected = augment(images)
    assert not torch.equal(expected, images)
    assert torch.equal(again(images), expected)


def test_loader_and_dataset_follow_the_epoch(tiny_model: Animator, tiny_pool: DrivingPool) -> None:
    images = torch.rand(4, 3, 64, 64)
    augment = MotionAugment(tiny_pool, tiny_model, p=[(0, 0.0), (3, 1.0)])
    data = TensorDataset(images, torch.arange(4))
    loader = MotionLoader(DataLoader(data, batch_size=4), augment, is_synthetic=True)
    dataset = MotionDataset(data, augment, is_synthetic=True)
    for epoch, expected in ((2, False), (3, True)):
        loader.set_epoch(epoch)
        dataset.set_epoch(epoch)
        assert next(iter(loader))[2].tolist() == [expected] * 4
        assert [dataset[i][2] for i in range(4)] == [expected] * 4


def test_a_schedule_pickles_and_survives_json(tiny_model: Animator, tiny_pool: DrivingPool) -> None:
    augment = MotionAugment(tiny_pool, tiny_model, p=ramp)
    assert moved(pickle.loads(pickle.dumps(augment)), 2) == moved(augment, 2)
    pairs = MotionAugment(tiny_pool, tiny_model, p=[(0, 0.25), (2, 0.5)])
    again = MotionAugment.from_dict(pairs.to_dict(), driving=tiny_pool, model=tiny_model)
    assert pairs.to_dict()["p"] == [[0, 0.25], [2, 0.5]]
    assert again.to_dict() == pairs.to_dict()
    assert moved(again, 2) == moved(pairs, 2)


def test_a_function_has_no_json(tiny_model: Animator, tiny_pool: DrivingPool) -> None:
    with pytest.raises(ArgumentError, match="give pairs"):
        MotionAugment(tiny_pool, tiny_model, p=ramp).to_dict()


@pytest.mark.parametrize(
    ("p", "message"),
    [
        ([], "growing epochs from 0"),
        ([(1, 0.5)], "growing epochs from 0"),
        ([(0, 0.5), (0, 0.7)], "growing epochs from 0"),
        ([(0, 0.5), (4, 0.7), (2, 0.1)], "growing epochs from 0"),
        ([0, 1], "growing epochs from 0"),
        ([(0, 0.5, 1)], "growing epochs from 0"),
        ([(0, "a")], "growing epochs from 0"),
        ([(0, 0.5), (3, 1.5)], "probability in"),
        (lambda epoch: 2.0, "probability in"),
        ("half", "probability in"),
    ],
)
def test_a_wrong_schedule_is_an_error_at_once(
    tiny_model: Animator, tiny_pool: DrivingPool, p: Any, message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        MotionAugment(tiny_pool, tiny_model, p=p)


@pytest.mark.parametrize(
    "p", [np.array([[0, 0.25], [2, 1.0]]), [(np.int64(0), np.float32(0.25)), (np.int64(2), torch.tensor(1.0))]]
)
def test_a_schedule_may_have_numbers_of_numpy_and_torch(tiny_model: Animator, tiny_pool: DrivingPool, p: Any) -> None:
    augment = MotionAugment(tiny_pool, tiny_model, p=p)
    assert [moved(augment, epoch) for epoch in (1, 2)] == [
        moved(MotionAugment(tiny_pool, tiny_model, p=expected), epoch) for epoch, expected in ((1, 0.25), (2, 1.0))
    ]
    assert json.loads(json.dumps(augment.to_dict()))["p"] == [[0, 0.25], [2, 1.0]]


def test_arguments_of_numpy_are_written_as_json(tiny_model: Animator, tiny_pool: DrivingPool) -> None:
    given = {"p": np.float64(0.5), "seed": np.int64(3), "reference": np.int64(1), "batch_size": np.int64(2)}
    intervals = {"strength_range": np.array([0.25, 0.5]), "value_range": (np.float32(0), np.float32(1))}
    augment = MotionAugment(tiny_pool, tiny_model, **given, **intervals)  # type: ignore[arg-type]
    values = json.loads(json.dumps(augment.to_dict()))
    again = MotionAugment.from_dict(values, driving=tiny_pool, model=tiny_model)
    assert again.draw(["a"]) == augment.draw(["a"])
    assert (values["strength_range"], values["value_range"]) == ([0.25, 0.5], [0.0, 1.0])


@pytest.mark.parametrize("epoch", ["1", 1.5, None])
def test_an_epoch_that_is_not_whole_is_an_error_at_once(
    tiny_model: Animator, tiny_pool: DrivingPool, epoch: Any
) -> None:
    augment = MotionAugment(tiny_pool, tiny_model)
    data = TensorDataset(torch.rand(4, 3, 64, 64))
    for holder in (augment, MotionDataset(data, augment), MotionLoader(DataLoader(data), augment)):
        with pytest.raises(ArgumentError, match=f"epoch must be a whole number, got {epoch!r}"):
            holder.set_epoch(epoch)
