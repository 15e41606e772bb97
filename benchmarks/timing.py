"""Shared parts of the measuring scripts: candidates that take turns, test pictures, and the machine's name."""

from __future__ import annotations

import importlib.metadata
import math
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import fomaug

Turn = Callable[[], object]
Clock = Callable[[], float]

LIBRARIES = ("torch", "albumentations", "opencv-python-headless", "kornia")


Times = dict[str, list[float]]


class OutOfTime(Exception):
    """The time of a measurement was over before every candidate had a turn."""


def take_turns(
    turns: dict[str, Turn],
    device: torch.device,
    *,
    seconds: float,
    least: int = 3,
    end: float = math.inf,
    clock: Clock = time.perf_counter,
) -> Times:
    """Run all candidates in turns; return the seconds of every turn, whose n-th of all candidates are neighbours.

    Args:
        turns: turn of each candidate, by name.
        device: device of the candidates.
        seconds: approximate time for each candidate.
        least: smallest number of turns of each candidate.
        end: time of `time.perf_counter` after which no turn starts, even if candidates had fewer than `least`.
        clock: clock of the turns; with `time.process_time`, other programs have little effect.

    Raises:
        OutOfTime: not every candidate had a turn before the end.
    """
    _time_round(turns, device, end, clock)  # the first turn loads, picks kernels and allocates
    rounds: list[list[float]] = []
    enough = time.perf_counter() + seconds * len(turns)
    try:
        while time.perf_counter() < enough or len(rounds) < least:
            rounds.append(_time_round(turns, device, end, clock))
    except OutOfTime:
        if not rounds:
            raise
    columns = zip(*rounds, strict=True)
    return {name: list(spent) for name, spent in zip(turns, columns, strict=True)}


def _time_round(turns: dict[str, Turn], device: torch.device, end: float, clock: Clock) -> list[float]:
    spent = []
    for turn in turns.values():
        if time.perf_counter() >= end:
            raise OutOfTime("the time was over before every candidate had a turn")
        spent.append(timed(turn, device, clock))
    return spent


def rates(times: Times, count: int) -> dict[str, float]:
    """Compute the images a second of each candidate's median turn of `count` images."""
    return {name: round(count / statistics.median(spent), 2) for name, spent in times.items()}


def times_slower(times: Times, than: str) -> dict[str, float]:
    """Compute the ratio of each candidate's time to that of another: the median over neighbouring turns.

    So a machine that slows down or speeds up during the run counts less than in a ratio of `rates`.
    """
    return {
        name: round(statistics.median(a / b for a, b in zip(spent, times[than], strict=True)), 3)
        for name, spent in times.items()
    }


def timed(turn: Turn, device: torch.device, clock: Clock = time.perf_counter) -> float:
    """Time one turn in seconds, until the device has finished it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = clock()
    turn()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - start


def machine(device: torch.device) -> dict[str, Any]:
    """Describe the machine; `load` is that of other programs, 0 for an idle machine."""
    card = {"card": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    threads = {"threads": torch.get_num_threads(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}
    return {"device": device.type, **card, "cpu": cpu_name(), **threads, "versions": versions()}


def cpu_name() -> str:
    """Return the name and the family of the processor, since a name may not tell the generation."""
    info = Path("/proc/cpuinfo")
    rows = (line.partition(":") for line in info.read_text().splitlines()) if info.exists() else ()
    found = {name.strip(): value.strip() for name, _, value in rows}
    name = found.get("model name") or platform.processor() or platform.machine()
    family = [f"{word} {found[key]}" for word, key in (("family", "cpu family"), ("model", "model")) if key in found]
    return f"{name} ({', '.join(family)})" if family else name


def versions() -> dict[str, str]:
    """Return the versions of the installed libraries."""
    found = {"python": platform.python_version(), "fomaug": fomaug.__version__}
    for name in LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def portraits(count: int, side: int = 256) -> Tensor:
    """Return (count, 3, side, side) uint8 pictures, smooth as photographs are."""
    rng = np.random.default_rng(0)
    small = torch.from_numpy(rng.random((count, 3, 16, 16), dtype=np.float32))
    large = nn.functional.interpolate(small, (side, side), mode="bicubic", align_corners=True)
    return (large.clamp(0, 1) * 255).byte()
