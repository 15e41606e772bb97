"""Shared parts of the measuring scripts: candidates that take turns, test pictures, and the machine's name."""

from __future__ import annotations

import importlib.metadata
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

LIBRARIES = ("torch", "albumentations", "opencv-python-headless", "kornia")


Times = dict[str, list[float]]


def take_turns(turns: dict[str, Turn], device: torch.device, *, seconds: float, least: int = 3) -> Times:
    """Let all candidates take turns; return the seconds of every turn, the n-th of all candidates taken side by side.

    Args:
        turns: the candidates.
        device: where they work.
        seconds: for each candidate, roughly.
        least: turns of each candidate, however long they take.
    """
    for turn in turns.values():
        timed(turn, device)  # the first turn loads, picks kernels and allocates
    times: Times = {name: [] for name in turns}
    end = time.perf_counter() + seconds * len(turns)
    while time.perf_counter() < end or min(map(len, times.values())) < least:
        for name, turn in turns.items():
            times[name].append(timed(turn, device))
    return times


def rates(times: Times, count: int) -> dict[str, float]:
    """Images a second of each candidate's median turn of `count` images."""
    return {name: round(count / statistics.median(spent), 2) for name, spent in times.items()}


def times_slower(times: Times, than: str) -> dict[str, float]:
    """How many times the other's time each candidate takes: the median over turns that were taken side by side.

    So a machine that slows down or speeds up during the run counts less than in a ratio of `rates`.
    """
    return {
        name: round(statistics.median(a / b for a, b in zip(spent, times[than], strict=True)), 3)
        for name, spent in times.items()
    }


def timed(turn: Turn, device: torch.device) -> float:
    """Seconds of one turn, until the device is done with it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    turn()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def machine(device: torch.device) -> dict[str, Any]:
    """Name what the numbers depend on; `load` is what else the machine does, 0 for nothing."""
    card = {"card": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
    threads = {"threads": torch.get_num_threads(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}
    return {"device": device.type, **card, "cpu": cpu_name(), **threads, "versions": versions()}


def cpu_name() -> str:
    """The processor's name, as far as the system tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    named = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def versions() -> dict[str, str]:
    """Versions of the libraries that are here."""
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
