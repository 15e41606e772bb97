"""The goals for a GPU, and the measurements that they need; `gpu.py` runs these within its time."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NamedTuple

import official
import throughput
import torch
from timing import Times, Turn, portraits, rates, take_turns, timed, times_slower
from torch import Tensor

import fomaug

GRAPHS: Final = " with graphs"
PASSES: Final = 20  # of the module, for the share of the time in which the GPU is busy


class Run(NamedTuple):
    """Conditions of a measurement.

    Attributes:
        device: device of the model.
        dtype: dtype of the model.
        batch: number of pictures in a batch.
        seconds: approximate time for each candidate.
        turns: smallest number of turns of each candidate, if the time allows.
        end: time of `time.perf_counter` after which nothing starts.
    """

    device: torch.device
    dtype: str
    batch: int
    seconds: float
    turns: int
    end: float = math.inf

    def take_turns(self, turns: dict[str, Turn]) -> Times:
        return take_turns(turns, self.device, seconds=self.seconds, least=self.turns, end=self.end)

    def animator(self, *, graphs: bool, dtype: str | None = None) -> fomaug.Animator:
        animator = fomaug.load_model("lite-256", device=str(self.device), dtype=dtype or self.dtype)
        return animator.use_graphs() if graphs else animator

    def augment(self, *, graphs: bool) -> fomaug.MotionAugment:
        return fomaug.MotionAugment("builtin", model=self.animator(graphs=graphs), p=1.0)

    def images(self) -> Tensor:
        return portraits(self.batch).to(self.device)


class Measurement(NamedTuple):
    """A measurement: its method in words, its share of the time, and its function."""

    method: str
    share: float
    measure: Callable[[Run], dict[str, Any]]


def measurements() -> dict[str, Measurement]:
    """List the measurements in their order: those of the goals by default, the same with graphs, and the rest."""
    twice = {
        "network": Measurement("encode and animate batches, beside a product of large matrices", 2, _network),
        "loading": Measurement("passes over batches: plain, network alone, module, MotionLoader", 3, _loading),
        "busy": Measurement(f"time of kernels in {PASSES} calls of the module over the time of these calls", 2, busy),
        "training": Measurement("steps of a ResNet-18 at 224, without and with moved faces", 4, _training),
        "single": Measurement("a single frame in float32: detect, transfer and animate", 1, single),
        "waits": Measurement(
            "calls of the module in which torch refuses operations for which the host waits", 1, waits
        ),
    }
    return {
        **{name: part._replace(measure=partial(part.measure, graphs=False)) for name, part in twice.items()},
        "official": Measurement("the official architecture beside the public procedure", 3, _official),
        **{name + GRAPHS: part._replace(measure=partial(part.measure, graphs=True)) for name, part in twice.items()},
        "graphs": Measurement(
            "the module by default and with graphs, in turns, and the difference of pixels", 2, graphs
        ),
    }


class Goal(NamedTuple):
    """A goal, which is a lower limit if `at_least`, otherwise an upper one.

    Attributes:
        text: goal in words.
        bar: limit.
        at_least: whether the limit is a lower one.
        part: measurement that has the value.
        value: function from the values of this measurement to that of the goal.
    """

    text: str
    bar: float
    at_least: bool
    part: str
    value: Callable[[dict[str, Any]], float]


def _over_network(values: dict[str, Any], name: str) -> float:
    per_second = values["images_per_second"]
    return round(per_second[name] / per_second["network alone"], 3)


GOALS: Final = {
    "network": Goal(
        "frames a second of encode and animate, batch 64, bfloat16",
        8000.0,
        True,
        "network",
        lambda values: values["frames_per_second"],
    ),
    "module": Goal(
        "rate of MotionAugment over that of the network", 0.8, True, "loading", partial(_over_network, name="module")
    ),
    "loader": Goal(
        "rate of MotionLoader over that of the network",
        0.8,
        True,
        "loading",
        partial(_over_network, name="MotionLoader"),
    ),
    "busy": Goal(
        "share of a module's time in which the GPU computes", 0.8, True, "busy", lambda values: values["share"]
    ),
    "training": Goal(
        "times that MotionLoader at p = 0.5 slows steps of a ResNet-18 at 224",
        1.3,
        False,
        "training",
        lambda values: values["times_slower"]["MotionLoader, p=0.5"],
    ),
    "single": Goal(
        "milliseconds for a single frame: detect, transfer, animate, float32",
        4.0,
        False,
        "single",
        lambda values: values["ms"],
    ),
    "official": Goal(
        "official architecture over the public procedure, frames a second",
        15.0,
        True,
        "official",
        lambda values: values["times_as_fast"],
    ),
    "waits": Goal(
        "calls of the module in which the host waits for the GPU", 0.0, False, "waits", lambda values: values["waited"]
    ),
}


def judge(goal: Goal, parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Compare a goal with what was measured, by default and with graphs; it is met if one of both meets it."""
    measured = {"default": parts.get(goal.part), "with graphs": parts.get(goal.part + GRAPHS)}
    found = {name: goal.value(values) for name, values in measured.items() if values is not None}
    met = any(value >= goal.bar if goal.at_least else value <= goal.bar for value in found.values())
    row = {"goal": goal.text, "at_least" if goal.at_least else "at_most": goal.bar, "found": found, "met": met}
    return row if found else row | {"not_measured": True}


def _network(run: Run, *, graphs: bool) -> dict[str, Any]:
    return throughput.network(run.augment(graphs=graphs), run.images(), run.take_turns)


def _loading(run: Run, *, graphs: bool) -> dict[str, Any]:
    return throughput.loading(run.augment(graphs=graphs), portraits(run.batch), run.take_turns)


def _training(run: Run, *, graphs: bool) -> dict[str, Any]:
    return throughput.training(run.augment(graphs=graphs), portraits(run.batch), run.take_turns)


def _official(run: Run) -> dict[str, Any]:
    dtype = getattr(torch, run.dtype)
    return official.report(1, run.batch, run.turns, run.device, dtype, end=run.end)


def busy(run: Run, *, graphs: bool) -> dict[str, Any]:
    """Measure the share of the time in which the device computes while the module works on batch after batch.

    The time that kernels take comes from a profile, and the time of a pass from a run without one: the profiler slows
    the host, but not the kernels.
    """
    augment, images = run.augment(graphs=graphs), run.images()

    def passes() -> None:
        for _ in range(PASSES):
            augment(images)

    times = run.take_turns({"passes": passes})["passes"]
    seconds = statistics.median(times)
    with torch.profiler.profile() as profile:
        timed(passes, run.device)
    kind = run.device.type.upper()
    on_device = [event for event in profile.events() if event.device_type.name == kind]
    kernels = union((event.time_range.start, event.time_range.end) for event in on_device) / 1e6
    return {
        "share": round(kernels / seconds, 3),
        "kernel_seconds": round(kernels, 4),
        "seconds": round(seconds, 4),
        "events_for_a_batch": round(len(on_device) / PASSES, 1),
    }


def union(intervals: Iterable[tuple[float, float]]) -> float:
    """Measure the time that intervals cover together."""
    covered, last = 0.0, float("-inf")
    for start, end in sorted(intervals):
        covered += max(0.0, end - max(start, last))
        last = max(last, end)
    return covered


def single(run: Run, *, graphs: bool) -> dict[str, Any]:
    """Measure the latency of a stream of single frames in float32."""
    animator = run.animator(graphs=graphs, dtype="float32")
    frames = (portraits(2, animator.size).float() / 255).to(run.device).split(1)
    stream = animator.stream(animator.encode(frames[0]), itertools.cycle(frames))
    (spent,) = run.take_turns({"frame": lambda: next(stream)}).values()
    return {"ms": round(1e3 * statistics.median(spent), 3), "frames": len(spent)}


def waits(run: Run, *, graphs: bool) -> dict[str, Any]:
    """Count the calls of the module in which the host waits for the device, and name their first operation."""
    augment, images = run.augment(graphs=graphs), run.images()
    calls = {f"p={p}": _draws(augment, run.batch, p) for p in (1.0, 0.5)}
    errors = {}
    for name, params in calls.items():
        augment.apply(images, params)  # constants are sent, and graphs recorded
        try:
            with no_waits(run.device):
                augment.apply(images, params)
        except RuntimeError as error:
            errors[name] = str(error)
    return {"calls": len(calls), "waited": len(errors), "errors": errors}


def _draws(augment: fomaug.MotionAugment, batch: int, p: float) -> list[fomaug.MotionParams]:
    return fomaug.MotionAugment(augment.driving, augment.model, p=p).draw(range(batch))


@contextmanager
def no_waits(device: torch.device) -> Iterator[None]:
    """Let torch raise an error for every operation on CUDA for which the host waits."""
    if device.type != "cuda":
        yield
        return
    torch.cuda.synchronize(device)
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def graphs(run: Run) -> dict[str, Any]:
    """Compare the module with one that replays CUDA graphs, in turns: rates, ratio and largest difference of pixels."""
    images = run.images()
    plain, recorded = run.augment(graphs=False), run.augment(graphs=True)
    params = plain.draw(range(run.batch))
    before, after = (augment.apply(images, params).image.float() for augment in (plain, recorded))
    times = run.take_turns(
        {"without": lambda: plain.apply(images, params), "with": lambda: recorded.apply(images, params)}
    )
    return {
        "images_per_second": rates(times, run.batch),
        "times_as_fast": times_slower(times, "with")["without"],
        "recordings": len(recorded.model.graphs or ()),
        "largest_difference_of_255": float((before - after).abs().max()),
    }
