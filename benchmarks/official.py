"""Compare the speed of fomaug and of the public procedure with the official architecture on a CPU. Prints JSON.

    python benchmarks/official.py --sources 2 --frames 4 --threads 1

B sources are animated by T frames of one clip. The public procedure processes one source and one frame at a time: it
finds the keypoints of the frame, transfers the motion, and runs the whole generator, which encodes the source again.
fomaug finds the keypoints of the clip once, encodes each source once, folds batch norms and processes batches. Both
have the same random weights, and their pixels are compared. Both take turns. With one thread, the processor time is
measured, on which other programs have little effect; with several, it is the time of the clock.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import statistics
import time
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import torch
from timing import machine, portraits, timed
from torch import Tensor, nn

import fomaug
from fomaug.animator import Animator
from fomaug.networks import OFFICIAL, build_networks, fold_batch_norms

NAME = "vox-256"


class Material(NamedTuple):
    """Sources (B, 3, S, S) and frames (T, 3, S, S), float in [0, 1]."""

    sources: Tensor
    frames: Tensor


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=2)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(json.dumps(report(args.sources, args.frames, args.turns, torch.device(args.device)), indent=2))


@torch.no_grad()
def report(
    sources: int,
    frames: int,
    turns: int,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    *,
    end: float = math.inf,
) -> dict[str, Any]:
    """Run both in turns, and compare their pixels; fomaug works in `dtype`, the public procedure in float32.

    After `end`, a time of `time.perf_counter`, no further turn starts.
    """
    plain, quick = animators(device)
    if quick.dtype != dtype:
        quick = copy.deepcopy(quick).to(dtype)
    size = plain.size
    pictures = (portraits(sources + frames, size).float() / 255).to(device)
    material = Material(pictures[:sources], pictures[sources:])
    runs: dict[str, Callable[[], Tensor]] = {
        "public procedure": lambda: public(plain, material),
        "fomaug": lambda: together(quick, material),
    }
    images = {name: run() for name, run in runs.items()}  # the first turn loads and allocates
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(turns):
        if turn and time.perf_counter() >= end:
            break
        for name, run in runs.items():
            times[name].append(timed(run, device, clock))
    count, (first, second) = sources * frames, times.values()
    difference = (images["fomaug"] - images["public procedure"]).abs().max()
    return {
        "machine": machine(device),
        "settings": {"architecture": NAME, "sources": sources, "frames": frames, "size": size, "dtype": str(dtype)},
        "clock": clock.__name__,
        "frames_a_second": {name: round(count / statistics.median(spent), 3) for name, spent in times.items()},
        "times_as_fast": round(statistics.median(a / b for a, b in zip(first, second, strict=True)), 3),
        "largest_difference": float(difference),
    }


@cache
def animators(device: torch.device) -> tuple[Animator, Animator]:
    """Build the architecture with random weights by which faces move: as it is, and with folded batch norms."""
    generator = torch.Generator().manual_seed(0)
    networks = build_networks(OFFICIAL[NAME])
    for name, weight in (pair for network in networks for pair in network.named_parameters()):
        if name == "jacobian.weight":
            nn.init.normal_(weight, std=0.002, generator=generator)  # larger ones would be singular
        elif weight.ndim == 4:
            nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
        elif name.endswith("bias") and not name.startswith("jacobian"):
            nn.init.zeros_(weight)
    plain = Animator(OFFICIAL[NAME], *networks, name=NAME, hash="random")
    folded = build_networks(OFFICIAL[NAME])
    for network, twin in zip(networks, folded, strict=True):
        twin.load_state_dict(network.state_dict())
    quick = Animator(OFFICIAL[NAME], *folded, name=NAME, hash="random")
    fold_batch_norms(quick)
    return plain.to(device), quick.to(device)


def public(model: Animator, material: Material) -> Tensor:
    """Animate as the public demo does: every source alone, frame by frame."""
    detector, generator = model.detector, model.generator
    made = []
    for source in material.sources.split(1):
        own, first = detector(source), detector(material.frames[:1])
        for frame in material.frames.split(1):
            target = fomaug.transfer(own, detector(frame), first)
            made.append(generator(source, generator.encode(source), own, target).prediction)
    return torch.cat(made)


def together(model: Animator, material: Material) -> Tensor:
    """Animate as fomaug does: what depends on a source or a frame alone is computed once."""
    source, driving = model.encode(material.sources), model.detect(material.frames)
    made = []
    for row in range(len(source)):
        own = source[row]
        made.append(model.animate(own, fomaug.transfer(own.keypoints, driving, driving[0])).image)
    return torch.cat(made)


if __name__ == "__main__":
    main()
