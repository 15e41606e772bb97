from __future__ import annotations

import gc
import multiprocessing
import os
import threading
import time
import traceback

import pytest
import torch

from fomaug.data.ahead import _Worker, work_ahead

CPU = torch.device("cpu")


def threads() -> int:
    """How many threads are at work."""
    return sum(thread.name == "fomaug" for thread in threading.enumerate()) - len(_Worker.resting)


def wait_for(condition) -> None:
    limit = time.monotonic() + 10
    while not condition() and time.monotonic() < limit:
        time.sleep(0.001)
    assert condition()


def test_yields_every_batch_in_order():
    assert list(work_ahead(iter(range(20)), lambda x: x * 2, CPU)) == list(range(0, 40, 2))
    assert threads() == 0


def test_is_one_batch_ahead_and_no_more():
    started = []
    batches = work_ahead(iter(range(9)), lambda x: started.append(x) or x, CPU)
    for taken in range(4):
        assert next(batches) == taken
        wait_for(lambda taken=taken: started == list(range(taken + 2)))
        time.sleep(0.02)
        assert started == list(range(taken + 2))
    batches.close()


def test_works_in_a_separate_thread():
    (name,) = work_ahead(iter([0]), lambda _: threading.current_thread().name, CPU)
    assert name == "fomaug"


def test_idle_threads_are_reused_and_two_passes_at_once_have_two():
    def name_of(_: int) -> threading.Thread:
        return threading.current_thread()

    (first,), (again,) = (work_ahead(iter([0]), name_of, CPU) for _ in range(2))
    assert first is again
    pair = [work_ahead(iter(range(2)), name_of, CPU) for _ in range(2)]
    assert len({next(batches) for batches in pair}) == 2
    for batches in pair:
        batches.close()


def test_a_pass_that_is_collected_in_its_own_thread_is_over():
    collected = threading.Event()

    def collect(number: int) -> int:
        if number:
            abandoned.clear()
            gc.collect()
            collected.set()
        return number

    abandoned = [work_ahead(iter(range(9)), collect, CPU)]
    next(abandoned[0])
    assert collected.wait(10)
    wait_for(lambda: threads() == 0)


def test_a_reused_thread_has_the_number_of_threads_of_its_caller():
    before = torch.get_num_threads()
    try:
        for number in (2, 1, 2):
            torch.set_num_threads(number)
            assert list(work_ahead(iter([0]), lambda _: torch.get_num_threads(), CPU)) == [number]
    finally:
        torch.set_num_threads(before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_can_drop_a_pass_that_it_did_not_start():
    batches = work_ahead(iter(range(100)), lambda x: x, CPU)
    next(batches)
    child = multiprocessing.get_context("fork").Process(target=batches.close)
    child.start()
    child.join(10)
    assert child.exitcode == 0
    assert next(batches) == 1
    batches.close()


def test_leaving_early_stops_the_thread():
    for batch in work_ahead(iter(range(100)), lambda x: x, CPU):
        if batch == 3:
            break
    assert threads() == 0


def test_an_error_in_the_work_has_its_traceback():
    def divide(number: int) -> float:
        return 1 / (2 - number)

    batches = work_ahead(iter(range(5)), divide, CPU)
    assert [next(batches), next(batches)] == [0.5, 1.0]
    with pytest.raises(ZeroDivisionError) as caught:
        next(batches)
    assert "divide" in [frame.name for frame in traceback.extract_tb(caught.tb)]
    assert threads() == 0


def test_an_error_in_the_loader_is_raised_too():
    def broken():
        yield 1
        raise OSError("disk")

    batches = work_ahead(broken(), lambda x: x, CPU)
    assert next(batches) == 1
    with pytest.raises(OSError, match="disk"):
        next(batches)


def test_nothing_starts_before_the_first_batch_is_requested():
    batches = work_ahead(iter(range(3)), lambda x: x, CPU)
    assert threads() == 0
    batches.close()
