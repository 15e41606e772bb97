"""Measure the draws a second of `MotionAugment.draw`, for each selection, on one core. Prints JSON.

    python benchmarks/draws.py --pool builtin parametric "views yaw=-60:60:20 pitch=-25,0,25"

A turn draws parameters for 1,000 new keys. `first_seconds` is the time of the first turn, in which the tables of the
pool are computed; the rate is that of the median of the other turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from itertools import count

import torch
from timing import machine, portraits, take_turns

import fomaug
from fomaug.motion import begin_fit

KEYS = 1000
SELECTIONS = ("diverse", "uniform", "sequence")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", nargs="+", default=["builtin", "parametric"])
    parser.add_argument("--copies", nargs="+", type=int, default=[1, 16])
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure")
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = fomaug.load_model("lite-256", device="cpu")
    rows = [
        measure(fomaug.MotionAugment(pool, model, p=1.0, selection=selection), copies, args.seconds)
        for pool in args.pool
        for selection in SELECTIONS
        for copies in args.copies
    ]
    print(json.dumps({"machine": machine(torch.device("cpu")), "draws": rows}, indent=2))


def measure(augment: fomaug.MotionAugment, copies: int, seconds: float) -> dict[str, object]:
    """Time turns with new keys in processor seconds, on which other programs have little effect."""
    times: list[float] = []
    end = time.perf_counter() + seconds
    for turn in count():
        keys = [f"person {number}/{turn}.jpg" for number in range(KEYS)]
        start = time.process_time()
        augment.draw(keys, copies=copies)
        times.append(time.process_time() - start)
        if time.perf_counter() > end and turn > 1:
            break
    return {
        "pool": str(augment.to_dict()["driving"]),
        "selection": augment.selection,
        "copies": copies,
        "draws_per_second": round(KEYS * copies / statistics.median(times[1:])),
        "first_seconds": round(times[0], 3),
    }


@torch.no_grad()
def overhead(augment: fomaug.MotionAugment, batch: int, seconds: float) -> dict[str, float]:
    """Time the draw and the computation of the target keypoints beside the whole module, in ms for a picture."""
    images, model = portraits(batch), augment.model
    keypoints = model.detect(images.float() / 255)

    def draw_and_fit() -> None:
        begin_fit(augment.draw(range(batch)), keypoints, augment.driving, model.keypoint_names)

    turns = {"draw_and_targets": draw_and_fit, "module": lambda: augment(images)}
    times = take_turns(turns, augment.device, seconds=seconds, clock=time.process_time)
    return {name: round(1e3 * statistics.median(spent) / batch, 3) for name, spent in times.items()}


if __name__ == "__main__":
    main()
