"""What the measuring scripts share: candidates that take turns, pictures to work on, the machine's name."""

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


def rates(
    turns: dict[str, Turn], count: int, device: torch.device, *, seconds: float, least: int = 3
) -> dict[str, float]:
    """Let all candidates take turns; return the images a second of each one's median turn.

    Args:
        turns: the candidates.
        count: images that each handles in a turn.
        device: where they work.
        seconds: for each candidate, roughly.
        least: turns of each candidate, however long they take.
    """
    for turn in turns.values():
        timed(turn, device)  # the first turn loads, picks kernels and allocates
    times: dict[str, list[float]] = {name: [] for name in turns}
    end = time.perf_counter() + seconds * len(turns)
    while time.perf_counter() < end or min(map(len, times.values())) < least:
        for name, turn in turns.items():
            times[name].append(timed(turn, device))
    return {name: round(count / statistics.median(spent), 2) for name, spent in times.items()}


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
