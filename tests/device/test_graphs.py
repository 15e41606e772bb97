"""Recorded passes: a stand-in that repeats the work on a CPU shows what is recorded, padded, copied and refused.

The tests marked `gpu` are for CUDA graphs themselves.
"""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import warnings
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from fomaug import Animator, MotionAugment
from fomaug.data import MotionLoader
from fomaug.data.ahead import work_ahead
from fomaug.device import constant, forget_constants
from fomaug.graphs import CudaBackend, Graphs, Tensors, padded_size


class Repeater:
    """A backend whose recordings run the work again, in memory that never changes its place."""

    device_type = "cpu"

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.error: RuntimeError | None = None
        self.lane: Callable[[], Hashable] = lambda: 0
        self.before: Callable[[], None] = lambda: None
        self.others_record = False
        self.forgotten = 0

    def queue(self, device: torch.device) -> Hashable:
        return self.lane()

    def is_recording(self) -> bool:
        return self.others_record

    def forget(self) -> None:
        self.forgotten += 1

    def record(self, work: Callable[[], Tensors], device: torch.device) -> tuple[Callable[[], None], Tensors]:
        self.before()
        if self.error is not None:
            raise self.error
        outputs = tuple(part.clone() for part in work())
        self.sizes.append(len(outputs[0]))

        def replay() -> None:
            for output, part in zip(outputs, work(), strict=True):
                output.copy_(part)

        return replay, outputs


@pytest.fixture
def repeater() -> Repeater:
    return Repeater()


@pytest.fixture
def graphs(repeater: Repeater) -> Graphs:
    return Graphs(backend=repeater)


def double(given: Tensors) -> Tensors:
    return (2 * given[0], given[0] + given[1])


def pair(count: int) -> Tensors:
    return torch.arange(count * 3.0).view(count, 3), torch.ones(count, 3)


@torch.no_grad()
def test_results_are_those_of_the_work_for_every_size_of_batch(graphs: Graphs, repeater: Repeater) -> None:
    for count in [*range(1, 20), 130, 5]:
        expected = double(pair(count))
        for found, part in zip(graphs.run("double", double, pair(count)), expected, strict=True):
            assert torch.equal(found, part)
    assert repeater.sizes == [1, 2, 4, 8, 16, 24, 192]
    assert len(graphs) == 7


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9, 17, 33, 49, 65, 1000])
def test_batches_grow_by_a_half_or_by_64_at_most(count: int) -> None:
    size = padded_size(count)
    assert count <= size <= max(1.5 * count + 1, count + 63)
    assert padded_size(size) == size


@torch.no_grad()
def test_batches_are_padded_by_their_last_row(graphs: Graphs) -> None:
    seen = []

    def work(given: Tensors) -> Tensors:
        seen.append(given[0].clone())
        return given

    graphs.run("keep", work, (torch.tensor([[1.0], [2.0], [3.0]]),))
    assert torch.equal(seen[-1], torch.tensor([[1.0], [2.0], [3.0], [3.0]]))
    graphs.run("keep", work, (torch.tensor([[7.0], [8.0], [9.0], [6.0]]),))
    assert torch.equal(seen[-1], torch.tensor([[7.0], [8.0], [9.0], [6.0]]))


@torch.no_grad()
def test_results_stay_when_later_passes_reuse_the_memory(graphs: Graphs) -> None:
    first = graphs.run("double", double, pair(4))
    kept = [part.clone() for part in first]
    for _ in range(3):
        graphs.run("double", double, (torch.full((4, 3), 9.0), torch.ones(4, 3)))
    assert all(torch.equal(a, b) for a, b in zip(first, kept, strict=True))


@torch.no_grad()
def test_names_shapes_dtypes_and_queues_have_recordings_of_their_own(graphs: Graphs, repeater: Repeater) -> None:
    graphs.run("double", double, pair(2))
    graphs.run("twice", double, pair(2))
    graphs.run("double", double, (torch.ones(2, 5), torch.ones(2, 5)))
    graphs.run("double", double, tuple(part.double() for part in pair(2)))
    repeater.lane = lambda: 1
    graphs.run("double", double, pair(2))
    assert len(graphs) == 5


@torch.no_grad()
def test_beyond_the_limit_work_runs_as_it_is_with_one_warning(repeater: Repeater) -> None:
    graphs = Graphs(most=2, backend=repeater)
    for count in (1, 2):
        graphs.run("double", double, pair(count))
    with pytest.warns(RuntimeWarning, match="more than 2 sizes and shapes"):
        found = graphs.run("double", double, pair(7))
    assert torch.equal(found[0], double(pair(7))[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graphs.run("double", double, pair(9))
        graphs.run("double", double, pair(2))
    assert repeater.sizes == [1, 2]


@torch.no_grad()
def test_where_a_recording_fails_work_runs_as_it_is_with_one_warning(graphs: Graphs, repeater: Repeater) -> None:
    repeater.error = RuntimeError("capture is not permitted")
    with pytest.warns(RuntimeWarning, match="could not be recorded.*capture is not permitted"):
        found = graphs.run("double", double, pair(3))
    assert torch.equal(found[1], double(pair(3))[1])
    repeater.error = None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graphs.run("double", double, pair(3))
    assert repeater.sizes == []
    graphs.forget()
    graphs.run("double", double, pair(3))
    assert repeater.sizes == [4]


def test_gradients_autocast_other_devices_and_empty_batches_are_not_recorded(graphs: Graphs) -> None:
    batch = torch.ones(2, 3)
    assert not graphs.fit(batch)
    with torch.no_grad():
        assert graphs.fit(batch)
        assert not graphs.fit(batch[:0])
        assert not graphs.fit(batch.to("meta"))
        with torch.autocast("cpu", torch.bfloat16):
            assert not graphs.fit(batch)


@torch.no_grad()
def test_constants_of_a_recording_stay_in_memory(graphs: Graphs) -> None:
    def work(given: Tensors) -> Tensors:
        return (given[0] + constant((5.0,), given[0].device, torch.float32),)

    graphs.run("add", work, (torch.zeros(2, 1),))
    forget_constants()
    (recording,) = graphs._recordings.values()
    assert [part.tolist() for part in recording.kept] == [[5.0]]


@torch.no_grad()
def test_threads_of_one_queue_do_not_mix_their_batches(graphs: Graphs) -> None:
    wrong = []

    @torch.no_grad()
    def work(number: int) -> None:
        for _ in range(200):
            found = graphs.run("double", double, (torch.full((4, 3), float(number)), torch.ones(4, 3)))
            if not (found[0] == 2 * number).all():
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(graphs) == 1


def test_a_recording_of_the_inference_mode_can_be_used_outside_of_it(graphs: Graphs) -> None:
    with torch.inference_mode():
        graphs.run("double", double, pair(2))
    with torch.no_grad():
        found = graphs.run("double", double, (torch.full((2, 3), 4.0), torch.ones(2, 3)))
    assert torch.equal(found[0], torch.full((2, 3), 8.0))
    assert not found[0].is_inference()
    with torch.inference_mode():
        assert torch.equal(graphs.run("double", double, pair(2))[0], double(pair(2))[0])


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_maps_keep_their_layout_in_a_recording(graphs: Graphs, count: int, layout: torch.memory_format) -> None:
    seen = []

    def work(given: Tensors) -> Tensors:
        seen.append(given[0].is_contiguous(memory_format=layout))
        return given

    maps = torch.rand(count, 4, 6, 5).contiguous(memory_format=layout)
    (found,) = graphs.run("keep", work, (maps,))
    assert seen and all(seen)
    assert torch.equal(found, maps)


@torch.no_grad()
def test_a_thread_records_while_its_consumer_waits_and_not_while_it_works(graphs: Graphs, repeater: Repeater) -> None:
    consumer_works, wrong = threading.Event(), []
    repeater.before = lambda: wrong.append(1) if consumer_works.is_set() else None

    @torch.no_grad()
    def work(count: int) -> float:
        started.set()
        return float(graphs.run("double", double, pair(count))[0].sum())

    found = []
    started = threading.Event()
    for total in work_ahead(iter([1, 2, 4, 8]), work, torch.device("cpu")):
        consumer_works.set()
        started.wait(0.2)  # the thread begins the next batch, and may not record it yet
        threading.Event().wait(0.05)
        found.append(total)
        started.clear()
        consumer_works.clear()
    assert found == [float(double(pair(count))[0].sum()) for count in (1, 2, 4, 8)]
    assert repeater.sizes == [1, 2, 4, 8]
    assert wrong == []


@torch.no_grad()
def test_a_consumer_that_stops_early_does_not_wait_for_a_recording(graphs: Graphs, repeater: Repeater) -> None:
    def work(count: int) -> Tensors:
        with torch.no_grad():
            return graphs.run("double", double, pair(count))

    batches = work_ahead(iter([1, 2, 4]), work, torch.device("cpu"))
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert 1 in repeater.sizes


@torch.no_grad()
def test_models_record_one_at_a_time() -> None:
    inside, most = [0], [0]

    def enter() -> None:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        threading.Event().wait(0.02)
        inside[0] -= 1

    @torch.no_grad()
    def record() -> None:
        backend = Repeater()
        backend.before = enter
        for count in (1, 2, 4):
            Graphs(backend=backend).run("double", double, pair(count))

    threads = [threading.Thread(target=record) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1]


@torch.no_grad()
def test_what_the_program_records_itself_is_not_recorded_again(graphs: Graphs, repeater: Repeater) -> None:
    repeater.others_record = True
    assert not graphs.fit(torch.ones(2, 3))


@torch.no_grad()
def test_forgotten_recordings_share_nothing_with_later_ones(graphs: Graphs, repeater: Repeater) -> None:
    graphs.run("double", double, pair(2))
    graphs.forget()
    assert (len(graphs), repeater.forgotten) == (0, 1)


@pytest.fixture
def recorded(tiny_model: Animator, repeater: Repeater) -> Animator:
    model = copy.deepcopy(tiny_model).use_graphs()
    model.graphs = Graphs(backend=repeater)
    return model


def pictures(count: int) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_an_animator_gives_the_same_from_recordings(
    tiny_model: Animator, recorded: Animator, repeater: Repeater, size: tuple[int, int]
) -> None:
    images = torch.nn.functional.interpolate(pictures(3), size)
    for _ in range(2):
        expected, found = (model.encode(images) for model in (tiny_model, recorded))
        torch.testing.assert_close(found.features, expected.features)
        target = tiny_model.detect(images.flip(3))
        wanted, animated = tiny_model.animate(expected, target), recorded.animate(found, target)
        for name in ("image", "flow", "occlusion"):
            torch.testing.assert_close(getattr(animated, name), getattr(wanted, name))
    assert repeater.sizes == [4, 4], "one recording to encode, one to animate"
    one, many = recorded.animate(found[0], target), tiny_model.animate(expected[0], target)
    torch.testing.assert_close(one.image, many.image)


def test_what_is_differentiable_is_not_recorded(recorded: Animator, repeater: Repeater) -> None:
    images = pictures(2).requires_grad_()
    source = recorded.encode(images, differentiable=True)
    recorded.animate(source, recorded.detect(pictures(2)), differentiable=True).image.sum().backward()
    assert images.grad is not None
    assert repeater.sizes == []


def test_moved_weights_need_new_recordings_and_copies_have_none(recorded: Animator) -> None:
    recorded.encode(pictures(1))
    assert recorded.graphs is not None and len(recorded.graphs) == 1
    for copied in (copy.deepcopy(recorded), pickle.loads(pickle.dumps(recorded))):
        assert copied.graphs is not None and len(copied.graphs) == 0
    recorded.to(torch.float64)
    assert len(recorded.graphs) == 0


def test_recordings_are_off_unless_asked_for(tiny_model: Animator) -> None:
    assert tiny_model.graphs is None
    model = copy.deepcopy(tiny_model)
    assert model.use_graphs(3).graphs is not None and model.graphs is not None and model.graphs.most == 3
    assert model.use_graphs(0).graphs is None


def test_without_a_gpu_nothing_is_recorded(tiny_model: Animator) -> None:
    model = copy.deepcopy(tiny_model).use_graphs()
    found = model.encode(pictures(2))
    assert model.graphs is not None and len(model.graphs) == 0
    assert torch.equal(found.features[0], tiny_model.encode(pictures(2)).features[0])


class Stream:
    """A stream that notes which others it has waited for."""

    def __init__(self, name: str) -> None:
        self.cuda_stream = name
        self.waited: list[str] = []

    def wait_stream(self, other: Stream) -> None:
        self.waited.append(other.cuda_stream)


class Generator:
    """A generator whose state refuses numbers after a failed capture, as in torch."""

    def __init__(self) -> None:
        self.capturing = False

    def clone_state(self) -> Generator:
        return Generator()

    def graphsafe_set_state(self, other: Generator) -> None:
        self.capturing = other.capturing


class Cuda:
    """A stand-in for `torch.cuda`, whose capture leaves its stream as the current one if it fails, as torch does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.current = self.caller = Stream("caller")
        self.default_generators = (Generator(),)
        self.modes: list[str] = []
        self.fails = False
        for name in ("current_stream", "stream", "device", "Stream", "graph_pool_handle", "CUDAGraph", "graph"):
            monkeypatch.setattr(torch.cuda, name, getattr(self, name))
        monkeypatch.setattr(torch.cuda, "default_generators", self.default_generators)

    def current_stream(self, device: torch.device) -> Stream:
        return self.current

    @contextmanager
    def stream(self, stream: Stream) -> Iterator[None]:
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before

    @contextmanager
    def device(self, device: torch.device) -> Iterator[None]:
        yield

    def Stream(self, device: torch.device) -> Stream:
        return Stream("side")

    def graph_pool_handle(self) -> object:
        return object()

    class CUDAGraph:
        def replay(self) -> None:
            """Do nothing."""

    @contextmanager
    def graph(self, graph: Any, *, pool: object, stream: Stream, capture_error_mode: str) -> Iterator[None]:
        before, self.current = self.current, stream
        self.modes.append(capture_error_mode)
        self.default_generators[0].capturing = True
        yield
        if self.fails:
            raise RuntimeError("operation failed due to a previous error during capture")
        self.default_generators[0].capturing = False
        self.current = before


DEVICE = torch.device("cuda", 0)


def test_a_capture_follows_warm_ups_on_its_own_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, backend, places = Cuda(monkeypatch), CudaBackend(), []

    def work() -> Tensors:
        places.append((cuda.current.cuda_stream, gc.isenabled(), list(cuda.caller.waited)))
        return ()

    backend.record(work, DEVICE)
    # The caller's stream waits for the warm-ups, and the collector rests during the capture.
    assert places == [("side", True, [])] * 3 + [("side", False, ["side"])]
    assert gc.isenabled()
    assert cuda.modes == ["thread_local"]
    assert cuda.current is cuda.caller


def test_after_a_failed_capture_streams_and_random_numbers_are_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, backend = Cuda(monkeypatch), CudaBackend()
    cuda.fails = True
    with pytest.raises(RuntimeError, match="during capture"):
        backend.record(tuple, DEVICE)
    assert cuda.current is cuda.caller
    assert not cuda.default_generators[0].capturing
    assert gc.isenabled()


def test_graphs_of_a_queue_share_a_pool_until_they_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    Cuda(monkeypatch)
    backend = CudaBackend()
    first, again = backend._side(DEVICE), backend._side(DEVICE)
    backend.forget()
    assert first[1] is again[1]
    assert first[1] is not backend._side(DEVICE)[1]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("count", [1, 5, 64])
def test_cuda_graphs_give_what_passes_without_them_give(count: int) -> None:
    images = torch.rand(count, 3, 256, 256, device="cuda", generator=torch.Generator("cuda").manual_seed(0))
    plain, augment = MotionAugment(p=1.0).cuda(), MotionAugment(p=1.0).cuda()
    augment.model.use_graphs()
    for epoch in range(3):
        params = plain.draw(range(count), epoch=epoch)
        expected, found = plain.apply(images, params), augment.apply(images, params)
        torch.testing.assert_close(found.image, expected.image, atol=2e-2, rtol=0)
        torch.testing.assert_close(found.flow, expected.flow, atol=2e-2, rtol=0)
    assert augment.model.graphs is not None and len(augment.model.graphs) == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@torch.no_grad()
def test_results_go_round_in_few_buffers_and_those_that_are_held_stay() -> None:
    graphs, places = Graphs(), set()
    held = graphs.run("double", double, tuple(part.cuda() for part in pair(64)))
    expected = [part.clone() for part in held]
    for number in range(50):
        found = graphs.run("double", double, tuple(part.cuda() + number for part in pair(64)))
        places.add(found[0].data_ptr())
    assert len(places) <= 4
    assert held[0].data_ptr() not in places
    assert all(torch.equal(part, before) for part, before in zip(held, expected, strict=True))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_goes_on_after_a_failed_capture() -> None:
    graphs = Graphs()

    def work(given: Tensors) -> Tensors:
        return (given[0] * given[0].max().item(),)  # the host may not read during a capture

    images, stream = torch.ones(2, 3, device="cuda"), torch.cuda.current_stream()
    with torch.no_grad(), pytest.warns(RuntimeWarning, match="could not be recorded"):
        found = graphs.run("read", work, (images,))
    assert torch.cuda.current_stream() == stream
    assert torch.equal(found[0], images)
    assert torch.rand(4, device="cuda").shape == (4,)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_graphs_are_recorded_again_after_the_weights_moved() -> None:
    augment = MotionAugment(p=1.0).cuda()
    augment.model.use_graphs()
    images = torch.zeros(2, 3, 256, 256, dtype=torch.uint8, device="cuda")
    for _ in range(2):
        augment(images)
        augment.model.to(torch.bfloat16)
        augment(images)
        augment.model.to(torch.float32)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_graphs_of_a_loader_leave_random_numbers_to_the_training_step() -> None:
    augment = MotionAugment(p=0.5).cuda()
    augment.model.use_graphs()
    images = torch.zeros(64, 3, 256, 256, dtype=torch.uint8)
    loader = MotionLoader(DataLoader(TensorDataset(images), batch_size=16), augment)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            for (batch,) in loader:
                for _ in range(200):
                    torch.nn.functional.dropout(batch.float(), 0.5)
                torch.cuda.synchronize()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_graphs_are_recorded_while_another_thread_pins_memory() -> None:
    stop = threading.Event()

    def pin() -> None:
        while not stop.is_set():
            torch.zeros(1000).pin_memory().to("cuda", non_blocking=True)

    thread = threading.Thread(target=pin)
    thread.start()
    try:
        augment: Any = MotionAugment(p=1.0).cuda()
        augment.model.use_graphs()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for count in (1, 3, 20):
                augment(torch.zeros(count, 3, 256, 256, dtype=torch.uint8, device="cuda"))
        assert len(augment.model.graphs) == 6
    finally:
        stop.set()
        thread.join()
