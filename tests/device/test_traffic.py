from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch

from fomaug import MotionAugment
from fomaug.augment.pixels import LateChecks, ValueCheck
from fomaug.device import Readback, constant, constants, forget_constants, pack, send, unpack
from fomaug.errors import ArgumentError
from fomaug.motion import MotionParams, MotionResult, PendingResult

CPU = torch.device("cpu")


def test_lists_of_all_types_are_restored() -> None:
    columns: list[Any] = [[3, -1, 2**40], [0.1, 2.0], [True, False, True], [[0.5], [1.5]], []]
    tensors = send(columns, CPU)
    for column, tensor, found in zip(columns, tensors, unpack(pack(tensors), tensors), strict=True):
        assert found.dtype == tensor.dtype
        assert torch.equal(found, torch.tensor(column))


def test_constants_are_made_once_and_outside_of_the_inference_mode() -> None:
    calls = []

    @constants
    def ones(device: torch.device) -> torch.Tensor:
        calls.append(device)
        return torch.ones(2, device=device)

    with torch.inference_mode():
        first = ones(CPU)
    assert ones(CPU) is first
    assert not first.is_inference()
    (torch.ones(2, requires_grad=True) * first).sum().backward()
    forget_constants()
    ones(CPU)
    assert calls == [CPU, CPU]


def test_constants_of_each_dtype_are_their_own() -> None:
    assert constant((1, 0), CPU).dtype == torch.int64
    assert constant((1.0, 0.0), CPU, torch.float32).dtype == torch.float32


def test_a_readback_holds_the_values_of_its_time() -> None:
    readback = Readback(torch.tensor([1.0, 2.0]))
    assert readback.ready
    assert readback.values() == [1.0, 2.0]


def test_a_pending_result_reads_its_parameters_once_on_first_access() -> None:
    drawn, reads = [MotionParams(key=0), MotionParams(key=1, skipped=True)], []

    def read() -> list[MotionParams]:
        reads.append(None)
        return [drawn[0].settle(4, 0.5), drawn[1]]

    picture = torch.zeros(2, 3, 4, 4)
    result = PendingResult(picture, picture, picture, drawn, read)
    assert isinstance(result, MotionResult)
    assert result.moving == [0]
    assert not reads
    assert result.params[0].reference == 4
    assert result.params is result.params
    assert len(reads) == 1
    assert pickle.loads(pickle.dumps(result)).params == result.params


def test_a_late_check_of_values_raises_the_same_error() -> None:
    with pytest.raises(ArgumentError, match="images go from 0 to 255"):
        ValueCheck(torch.tensor([0.0, 255.0]).view(1, 1, 1, 2), (0.0, 1.0)).finish()


def test_the_error_of_a_late_check_is_raised_with_the_next_batch() -> None:
    checks, wrong = LateChecks(), ValueCheck(torch.full((1, 3, 2, 2), 9.0), (0.0, 1.0))
    checks.follow(wrong)
    with pytest.raises(ArgumentError, match="images go from 9 to 9"):
        checks.follow(None)
    checks.follow(None)


def test_a_pending_result_checks_the_values_before_it_returns_parameters() -> None:
    wrong = ValueCheck(torch.full((1, 3, 2, 2), 9.0), (0.0, 1.0))
    picture = torch.zeros(1, 3, 2, 2)
    result = PendingResult(picture, picture, picture, [], list, wrong)
    with pytest.raises(ArgumentError, match="images go from 9 to 9"):
        _ = result.params


def test_a_module_with_a_late_check_can_be_copied(tiny_model: Any, tiny_pool: Any) -> None:
    augment = MotionAugment(tiny_pool, tiny_model)
    augment._late.follow(ValueCheck(torch.full((1, 3, 2, 2), 9.0), (0.0, 1.0)))
    copy.deepcopy(augment)._late.follow(None)
    pickle.loads(pickle.dumps(augment))._late.follow(None)
