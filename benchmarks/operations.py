"""Count the operations with which a GPU encodes, fits and animates a batch. Prints JSON; no GPU is needed.

    python benchmarks/operations.py --batch 64

A GPU waits for Python where a batch takes many small operations. They are counted on a fake device, whose tensors have
shapes and no values; views and allocations are not counted, because they start no kernel.
"""

from __future__ import annotations

import argparse
import json

import torch
from fake_device import CUDA, FakeCuda

import fomaug
from fomaug.motion import DrawSettings, begin_fit, draw
from fomaug.motion.fit import PoolFrames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    args = parser.parse_args()
    print(
        json.dumps({"settings": {"batch": args.batch, "dtype": "bfloat16"}, "operations": count(args.batch)}, indent=2)
    )


@torch.no_grad()
def count(batch: int = 64) -> dict[str, int]:
    """Count the operations of each stage, and of all together, for a batch of uint8-sized pictures in bfloat16."""
    model = fomaug.load_model(device="cpu")
    pool = fomaug.DrivingPool.builtin(model)
    params, frames = draw(pool, DrawSettings(p=1.0), range(batch)), PoolFrames(pool, torch.device("cpu"))
    with FakeCuda() as fake:
        animator = fake.animator(model, torch.bfloat16)
        fake.load(pool, frames)
        images = torch.zeros(batch, 3, 256, 256, device=CUDA)
        for _ in range(2):  # the first turn also makes the constants
            stages = [fake.watch()]
            source = animator.encode(images)
            stages.append(fake.watch())
            fitting = begin_fit(params, source.keypoints, pool, animator.keypoint_names)
            stages.append(fake.watch())
            animator.animate(source, fitting.target)
    encode, fit, animate = (stage.launches.total() for stage in stages)
    return {"encode": encode, "fit": fit, "animate": animate, "together": encode + fit + animate}


if __name__ == "__main__":
    main()
