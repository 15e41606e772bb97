from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import platform
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import torch

from fomaug import Animator, animator, device
from fomaug.device import _executor, side_by_side


@pytest.fixture
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    _executor.cache_clear()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 8, 9, 16, 17, 63])
@pytest.mark.usefixtures("three_threads")
def test_every_row_is_processed_once_and_in_order(count: int) -> None:
    parts = side_by_side(lambda rows: list(range(count))[rows], count)
    assert list(itertools.chain(*parts)) == list(range(count))
    assert max(map(len, parts)) <= 8
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@torch.no_grad()
def test_parts_of_a_large_generator_are_half_as_large(tiny_model: Animator, monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    source, target = tiny_model.encode(images), tiny_model.detect(images.flip(3))
    expected = tiny_model.animate(source, target)
    rows: list[int] = []
    tiny_model.generator.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    monkeypatch.setattr(device, "_LARGE", 1)
    try:
        found = tiny_model.animate(source, target)
    finally:
        tiny_model.generator._forward_pre_hooks.clear()
    assert rows == [4, 4]
    torch.testing.assert_close(found.image, expected.image, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("three_threads")
def test_parts_are_worked_on_at_the_same_time_and_share_the_threads() -> None:
    together = threading.Barrier(3, timeout=30)

    def work(_: slice) -> int:
        together.wait()
        return torch.get_num_threads()

    assert side_by_side(work, 24) == [1, 1, 1]
    assert torch.get_num_threads() == 3


@pytest.mark.usefixtures("three_threads")
def test_new_threads_have_the_earlier_number_of_torch_threads() -> None:
    side_by_side(lambda _: None, 24)
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert found == [3]


@pytest.mark.usefixtures("three_threads")
def test_an_error_in_a_part_is_raised() -> None:
    def work(rows: slice) -> None:
        if rows.start == 8:
            raise ValueError("the second part")

    with pytest.raises(ValueError, match="the second part"):
        side_by_side(work, 24)
    assert torch.get_num_threads() == 3


def test_results_do_not_depend_on_the_number_of_threads(tiny_model: Animator) -> None:
    images = torch.rand(17, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3, 7):
            torch.set_num_threads(threads)
            source = tiny_model.encode(images)
            animated = tiny_model.animate(source, tiny_model.detect(images.flip(3)))
            assert not animated.image.requires_grad
            results.append((animated.image, animated.flow, animated.occlusion, source.keypoints.value))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert all(torch.equal(one, other) for one, other in zip(results[0], result, strict=True))


@pytest.mark.usefixtures("three_threads")
def test_a_large_batch_has_gradients_and_equals_its_parts(tiny_model: Animator) -> None:
    images = torch.rand(10, 3, 64, 64, requires_grad=True)
    whole = tiny_model.animate(
        tiny_model.encode(images, differentiable=True), tiny_model.detect(images.flip(3)), differentiable=True
    )
    whole.image.sum().backward()
    assert images.grad is not None
    assert (images.grad.abs().amax((1, 2, 3)) > 0).all()
    plain = tiny_model.animate(tiny_model.encode(images), tiny_model.detect(images.flip(3)))
    torch.testing.assert_close(plain.image, whole.image.detach(), atol=1e-5, rtol=0)


@pytest.mark.usefixtures("three_threads")
def test_autocast_applies_to_a_large_batch(tiny_model: Animator) -> None:
    images = torch.rand(10, 3, 64, 64)
    with torch.autocast("cpu", torch.bfloat16):
        together, alone = tiny_model.detect(images), tiny_model.detect(images[:8])
    assert not torch.equal(together.value, tiny_model.detect(images).value)
    torch.testing.assert_close(together.value[:8], alone.value, atol=1e-2, rtol=0)


@pytest.mark.filterwarnings("ignore")  # tracing warns about values that it treats as constants
@pytest.mark.usefixtures("three_threads")
def test_a_trace_follows_its_input(tiny_model: Animator) -> None:
    one, other = torch.rand(2, 10, 3, 64, 64)
    with torch.no_grad():
        traced = torch.jit.trace(lambda frames: tiny_model.detect(frames).value, one, check_trace=False)
    torch.testing.assert_close(traced(other), tiny_model.detect(other).value, atol=1e-5, rtol=0)


def test_a_large_batch_can_run_at_interpreter_shutdown() -> None:
    code = (
        "import atexit, torch; from fomaug.device import side_by_side; torch.set_num_threads(2); "
        "atexit.register(lambda: print(sum(side_by_side(lambda rows: rows.stop - rows.start, 24))))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "24\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.usefixtures("three_threads")
def test_a_forked_process_makes_its_own_threads() -> None:
    side_by_side(lambda _: None, 24)
    process = multiprocessing.get_context("fork").Process(target=side_by_side, args=(_nothing, 24))
    process.start()
    process.join(30)
    assert process.exitcode == 0


def _nothing(_: slice) -> None:
    pass


FAULTS = """
import resource, torch, fomaug
torch.set_num_threads(1)
model = fomaug.load_model("lite-256", device="cpu")
source = model.encode(torch.rand(4, 3, 256, 256))
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        model.animate(source, source.keypoints)
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 4)
"""


FAULTS_OF_BATCHES = """
import resource, torch, fomaug
torch.set_num_threads(1)
augment = fomaug.MotionAugment(p=1.0, batch_size=16)
faces, kept = torch.randint(0, 256, (1, 3, 112, 92), dtype=torch.uint8), []
for number in range(8):
    if number == 4:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for count in (16, 12):
        kept = [*kept[-3:], augment.apply(faces, augment.draw([f"{number} {count}"], copies=count))]
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 4)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators have other habits")
@pytest.mark.parametrize("code", [FAULTS, FAULTS_OF_BATCHES], ids=["passes", "batches"])
def test_later_passes_cause_almost_no_page_faults(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 500, "thousands where malloc gives everything back"


def test_an_unpickled_model_prepares_the_allocator(tiny_model: Animator, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(animator, "keep_freed_memory", lambda: calls.append(1))
    pickle.loads(pickle.dumps(tiny_model))
    assert calls == [1]
