"""Speed and memory of models, measured next to the official architecture in one run."""

from __future__ import annotations

import itertools
import platform
import statistics
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from fomaug.animator import Animator
from fomaug.errors import ArgumentError, did_you_mean
from fomaug.networks import OFFICIAL, build_networks, fold_batch_norms


class _StorageCounter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A counter of the bytes in storages that operations allocate, until these are freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, Tensor):
                self._known.add(_address(tensor))  # storages of weights and views are not allocated here
        result = func(*args, **kwargs)
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and _address(tensor) not in self._known:
                self._add(tensor)
        return result

    def _add(self, tensor: Tensor) -> None:
        storage, address = tensor.untyped_storage(), _address(tensor)
        size = storage.nbytes()
        self._known.add(address)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._drop, address, size)

    def _drop(self, address: int, size: int) -> None:
        self._known.discard(address)
        self.now -= size


def _address(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def peak_bytes(run: Callable[[], object]) -> int:
    """Measure the peak of the bytes in tensors that `run` allocates; scratch space inside operations is not counted.

    >>> def run():
    ...     for _ in range(3):
    ...         torch.zeros(256) + 1
    >>> peak_bytes(run)
    2048
    """
    counter = _StorageCounter()
    with torch.no_grad(), counter:
        run()
    return counter.peak


@dataclass(frozen=True)
class Timing:
    """Measurements of one stage of one model.

    Attributes:
        stage: "detect" for a driving frame, "encode" for a source, "animate" for both, or "frame": detect, transfer and
            animate, which is the delay of `Animator.stream`.
        gflop: floating point operations for one image, in billions; a multiply-add counts as two.
        ms: median of the milliseconds for one image.
        spread_ms: first and third quartile of the milliseconds.
        per_second: images a second, by the median.
        peak_mb: peak of the megabytes in tensors of the whole batch, without weights, on one thread.
    """

    stage: str
    gflop: float
    ms: float
    spread_ms: tuple[float, float]
    per_second: float
    peak_mb: float


@dataclass(frozen=True)
class Bench:
    """Measurements of several models in one run.

    Attributes:
        machine: processor, threads and versions.
        models: timings of the stages by the model's name.
        weights_mb: megabytes of the weights by the model's name.
        ratio: frames a second of the first model over those of the last.
    """

    machine: dict[str, Any]
    models: dict[str, list[Timing]]
    weights_mb: dict[str, float]
    ratio: float

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain JSON values."""
        return asdict(self)


def official_animator(name: str = "vox-256") -> Animator:
    """Build an official architecture with random weights, which do not change its speed.

    Raises:
        ArgumentError: the name is unknown.
    """
    if name not in OFFICIAL:
        raise ArgumentError(
            f"the official architecture must be one of {', '.join(OFFICIAL)}, got {name!r}"
            f"{did_you_mean(name, OFFICIAL)}"
        )
    config = OFFICIAL[name]
    detector, generator = build_networks(config)
    animator = Animator(config, detector, generator, name=f"{name} (random weights)", hash="random")
    fold_batch_norms(animator)
    return animator.requires_grad_(False)  # noqa: FBT003 (torch's signature)


def bench(
    animators: list[Animator],
    *,
    batch_size: int = 1,
    rounds: int = 10,
    threads: int | None = None,
    progress: Any = None,
) -> Bench:
    """Time the stages of all models in turn, so that a slower phase of the machine affects all of them.

    Args:
        animators: models; the ratio is of the first to the last.
        batch_size: number of images in a batch.
        rounds: number of measurements of every stage; an unmeasured run before each of them fills the caches.
        threads: number of CPU threads; None for torch's own choice.
        progress: function that is called after each round.
    """
    stages = [(animator, stage, run) for animator in animators for stage, run in _stages(animator, batch_size)]
    with _threads(1):  # the counters count only the operations of this thread
        gflops = [_gflop(run) / batch_size for _, _, run in stages]
        peaks = [peak_bytes(run) / 2**20 for _, _, run in stages]
    with _threads(threads):
        times: list[list[float]] = [[] for _ in stages]
        for _ in range(rounds):
            for row, (animator, _, run) in enumerate(stages):
                _time(animator.device, run)
                times[row].append(1000 * _time(animator.device, run) / batch_size)
            if progress is not None:
                progress()
        machine = _machine(animators[0], batch_size)
    models: dict[str, list[Timing]] = {animator.name: [] for animator in animators}
    for (animator, stage, _), gflop, peak, found in zip(stages, gflops, peaks, times, strict=True):
        models[animator.name].append(_timing(stage, gflop, peak, found))
    weights = {animator.name: _weights_mb(animator) for animator in animators}
    first, last = models[animators[0].name][-1], models[animators[-1].name][-1]
    return Bench(machine, models, weights, round(first.per_second / last.per_second, 2))


def _stages(animator: Animator, batch_size: int) -> list[tuple[str, Callable[[], object]]]:
    pictures = torch.rand(batch_size, 3, animator.size, animator.size, device=animator.device)
    source, driving = animator.encode(pictures), animator.detect(pictures.flip(3))
    stream = animator.stream(animator.encode(pictures[:1]), itertools.repeat(pictures), reference=driving[0])
    return [
        ("encode", lambda: animator.encode(pictures)),
        ("detect", lambda: animator.detect(pictures)),
        ("animate", lambda: animator.animate(source, driving)),
        ("frame", lambda: next(stream)),
    ]


def _timing(stage: str, gflop: float, peak_mb: float, times: list[float]) -> Timing:
    median = statistics.median(times)
    low, _, high = statistics.quantiles(times, n=4, method="inclusive") if len(times) > 1 else (median, median, median)
    return Timing(
        stage,
        round(gflop, 3),
        round(median, 2),
        (round(low, 2), round(high, 2)),
        round(1000 / median, 2),
        round(peak_mb, 1),
    )


def _weights_mb(animator: Animator) -> float:
    return round(sum(p.numel() * p.element_size() for p in animator.parameters()) / 2**20, 1)


def _gflop(run: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        run()
    return float(counter.get_total_flops()) / 1e9


def _time(device: torch.device, run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    try:
        if count is not None:
            torch.set_num_threads(count)
        yield
    finally:
        torch.set_num_threads(before)


def _machine(animator: Animator, batch_size: int) -> dict[str, Any]:
    return {
        "device": torch.cuda.get_device_name() if animator.device.type == "cuda" else _processor(),
        "threads": torch.get_num_threads(),
        "dtype": str(animator.dtype).removeprefix("torch."),
        "batch_size": batch_size,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _processor() -> str:
    return platform.processor() or platform.machine()
