"""Measure the time from the arrival of a frame to its animated frame.

    python benchmarks/stream_latency.py --threads 1 --frames 200

`Animator.stream` animates frames of noise one by one, as from a camera. The time is measured from the moment when a
frame is passed until its animated picture is in main memory as uint8. The first frames are not counted, since they
include loading and allocation. Prints JSON, one line for each size of the source picture.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator

import numpy as np
import torch

import fomaug

WARM_UP = 10


def main() -> None:
    """Measure every size and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="lite-256")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--camera", type=int, default=256, help="side of the square around the driving face")
    parser.add_argument("--sources", type=int, nargs="+", default=[256, 1024], help="sides of the source pictures")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = fomaug.load_model(options.model, device=options.device, dtype=options.dtype)
    for side in options.sources:
        delays = measure(model, side, options.camera, options.frames + WARM_UP)[WARM_UP:] * 1000
        shown = {f"p{share}": round(float(np.percentile(delays, share)), 1) for share in (50, 95, 99)}
        head = {"model": model.name, "device": options.device, "threads": options.threads, "source": side}
        print(json.dumps({**head, "frames": options.frames, "unit": "ms", **shown}))


def measure(model: fomaug.Animator, side: int, camera: int, count: int) -> np.ndarray:
    """Measure the delays, in seconds, of `count` frames for a source of `side` x `side` pixels."""
    rng = np.random.default_rng(0)
    source = model.encode(torch.from_numpy(rng.random((1, 3, side, side), np.float32)))
    pictures = [rng.integers(0, 256, (camera, camera, 3), np.uint8) for _ in range(16)]
    started: list[float] = []

    def frames() -> Iterator[torch.Tensor]:
        for i in range(count):
            started.append(time.perf_counter())
            picture = torch.from_numpy(pictures[i % len(pictures)]).to(model.device)
            yield picture.permute(2, 0, 1)[None].float() / 255

    done = []
    for animated in model.stream(source, frames()):
        (animated.image[0].permute(1, 2, 0) * 255).round().to(torch.uint8).cpu().numpy()
        done.append(time.perf_counter())
    return np.subtract(done, started)


if __name__ == "__main__":
    main()
