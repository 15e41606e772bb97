"""Convolutions of the official architecture's bottleneck on a CPU, and its share of a frame. Prints JSON.

    python benchmarks/convolutions.py --seconds 5

The 3 x 3 convolutions of a picture are computed by fomaug's method, by plain convolutions with channels innermost, and
by plain ones without. `share_of_animate` is the time of the whole bottleneck over that of `Animator.animate`. All
candidates take turns on one thread, in processor time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import official
import torch
import torch.nn.functional as F
from timing import machine, portraits, take_turns

from fomaug.networks.convolutions import convolve_positive, transform_kernels

CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each candidate")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(json.dumps({"machine": machine(CPU), "convolutions": report(args.seconds)}, indent=2))


@torch.no_grad()
def report(seconds: float, *, turns: int = 3) -> dict[str, Any]:
    """Time all candidates in turns, in ms."""
    animator = official.animators(CPU)[1]
    bottleneck: Any = animator.generator.bottleneck
    weight, bias = next(module for module in bottleneck.modules() if isinstance(module, torch.nn.Conv2d)).parameters()
    side = animator.size // 4
    maps = torch.rand(1, weight.shape[1], side, side)
    innermost, kernels = maps.contiguous(memory_format=torch.channels_last), transform_kernels(weight)
    rows = weight.contiguous(memory_format=torch.channels_last)
    pictures = portraits(2, animator.size).float() / 255
    source, driving = animator.encode(pictures[:1]), animator.detect(pictures[1:])
    times = take_turns(
        {
            "fomaug": lambda: convolve_positive(innermost, kernels, bias),
            "plain, channels innermost": lambda: F.conv2d(F.relu(innermost), rows, bias, padding=1),
            "plain": lambda: F.conv2d(F.relu(maps), weight.contiguous(), bias, padding=1),
            "bottleneck": lambda: bottleneck(innermost),
            "animate": lambda: animator.animate(source, driving),
        },
        CPU,
        seconds=seconds,
        least=turns,
        clock=time.process_time,
    )
    ms = {name: round(1e3 * statistics.median(spent), 2) for name, spent in times.items()}
    shares = (a / b for a, b in zip(times["bottleneck"], times["animate"], strict=True))
    return {"ms": ms, "share_of_animate": round(statistics.median(shares), 3)}


if __name__ == "__main__":
    main()
