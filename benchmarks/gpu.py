"""Measure every goal for a GPU in one run of less than ten minutes. Prints JSON; exit code 1 if a goal is missed.

    python benchmarks/gpu.py --out gpu.json

Batches have 64 pictures in bfloat16; the single frame and the public procedure are in float32. Without a GPU, nothing
is measured, and the exit code is 2.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import official
import throughput
import torch
from timing import machine, portraits, rates, take_turns, timed, times_slower

import fomaug
from fomaug.evaluation import bench

PASSES: Final = 20  # of the module, for the share of the time in which the GPU is busy


class Goal(NamedTuple):
    """A goal, which is a lower limit if `at_least`, otherwise an upper one."""

    text: str
    bar: float
    at_least: bool


GOALS: Final = {
    "network": Goal("frames a second of encode and animate, batch 64, bfloat16", 8000.0, at_least=True),
    "module": Goal("rate of MotionAugment over that of the network", 0.8, at_least=True),
    "loader": Goal("rate of MotionLoader over that of the network", 0.8, at_least=True),
    "busy": Goal("share of a module's time in which the GPU computes", 0.8, at_least=True),
    "training": Goal("times that MotionLoader at p = 0.5 slows steps of a ResNet-18 at 224", 1.3, at_least=False),
    "single": Goal("milliseconds for a single frame: detect, transfer, animate, float32", 4.0, at_least=False),
    "official": Goal("official architecture over the public procedure, frames a second", 15.0, at_least=True),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each candidate")
    parser.add_argument("--out", type=Path, help="also write the JSON here")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        sys.stderr.write(
            "These goals are for a CUDA GPU, and torch finds none here, so nothing was measured. On a CPU, "
            "`python benchmarks/figures.py` measures what it can show.\n"
        )
        return 2
    report = measure(torch.device("cuda"), "bfloat16", 64, args.seconds)
    text = json.dumps(report, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")
    return 0 if all(goal["met"] for goal in report["goals"].values()) else 1


def measure(device: torch.device, dtype: str, batch: int, seconds: float) -> dict[str, Any]:
    """Measure all parts, and compare them with the goals."""
    parts = throughput.run(["network", "loading", "training"], device, dtype, batch, seconds)
    parts["busy"] = busy(device, dtype, batch)
    parts["graphs"] = graphs(device, dtype, batch, seconds)
    parts["single"] = bench([fomaug.load_model("lite-256", device=str(device))], rounds=30).to_dict()
    half = torch.bfloat16 if device.type == "cuda" else torch.float32
    parts["official"] = official.report(1, batch, 3, device, half)
    settings = {"dtype": dtype, "batch": batch, "size": 256, "seconds": seconds}
    return {"machine": machine(device), "settings": settings, "goals": compare(parts), "parts": parts}


def compare(parts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Find the number of each goal in the parts of a report."""
    rates = parts["loading"]["images_per_second"]
    (frame,) = (t["ms"] for times in parts["single"]["models"].values() for t in times if t["stage"] == "frame")
    found = {
        "network": parts["network"]["frames_per_second"],
        "module": round(rates["module"] / rates["network alone"], 3),
        "loader": round(rates["MotionLoader"] / rates["network alone"], 3),
        "busy": parts["busy"]["share"],
        "training": parts["training"]["times_slower"]["MotionLoader, p=0.5"],
        "single": frame,
        "official": parts["official"]["times_as_fast"],
    }
    return {name: _judge(goal, found[name]) for name, goal in GOALS.items()}


def _judge(goal: Goal, found: float) -> dict[str, Any]:
    met = found >= goal.bar if goal.at_least else found <= goal.bar
    return {"goal": goal.text, "at_least" if goal.at_least else "at_most": goal.bar, "found": found, "met": met}


def busy(device: torch.device, dtype: str, batch: int) -> dict[str, float]:
    """Measure the share of the time in which the GPU computes while the module works on batch after batch.

    The time that kernels take comes from a profile, and the time of a pass from a run without one: the profiler slows
    the host, but not the kernels.
    """
    augment = fomaug.MotionAugment(model=fomaug.load_model("lite-256", device=str(device), dtype=dtype), p=1.0)
    images = portraits(batch).to(device)

    def passes() -> None:
        for _ in range(PASSES):
            augment(images)

    passes()
    seconds = statistics.median(timed(passes, device) for _ in range(3))
    with torch.profiler.profile() as profile:
        timed(passes, device)
    on_device = [event for event in profile.events() if event.device_type.name == "CUDA"]
    kernels = union((event.time_range.start, event.time_range.end) for event in on_device) / 1e6
    return {"share": round(kernels / seconds, 3), "kernel_seconds": round(kernels, 4), "seconds": round(seconds, 4)}


def graphs(device: torch.device, dtype: str, batch: int, seconds: float) -> dict[str, Any]:
    """Compare the module with one that replays CUDA graphs, in turns: rates, ratio and largest difference of pixels."""
    images = portraits(batch).to(device)
    plain, recorded = (
        fomaug.MotionAugment(model=fomaug.load_model("lite-256", device=str(device), dtype=dtype), p=1.0) for _ in "ab"
    )
    recorded.model.use_graphs()
    params = plain.draw(range(batch))
    before, after = (augment.apply(images, params).image.float() for augment in (plain, recorded))
    turns = {"without": lambda: plain.apply(images, params), "with": lambda: recorded.apply(images, params)}
    times = take_turns(turns, device, seconds=seconds)
    return {
        "images_per_second": rates(times, batch),
        "times_as_fast": times_slower(times, "with")["without"],
        "recordings": len(recorded.model.graphs or ()),
        "largest_difference_of_255": float((before - after).abs().max()),
    }


def union(intervals: Iterable[tuple[float, float]]) -> float:
    """Measure the time that intervals cover together."""
    covered, last = 0.0, float("-inf")
    for start, end in sorted(intervals):
        covered += max(0.0, end - max(start, last))
        last = max(last, end)
    return covered


if __name__ == "__main__":
    sys.exit(main())
