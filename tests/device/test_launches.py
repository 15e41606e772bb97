"""A GPU waits for Python where a batch takes many small operations; this is their number."""

from __future__ import annotations

import torch
from fake_device import CUDA, FakeCuda

from fomaug import DrivingPool, load_model
from fomaug.motion import DrawSettings, begin_fit, draw
from fomaug.motion.fit import PoolFrames

MOST = {"encode": 134, "fit": 78, "animate": 236}


def test_a_batch_takes_few_operations(fake_cuda: FakeCuda) -> None:
    model = load_model(device="cpu")
    pool = DrivingPool.builtin(model)
    params, frames = draw(pool, DrawSettings(p=1.0), range(64)), PoolFrames(pool, torch.device("cpu"))
    found = {}
    with torch.no_grad(), fake_cuda:
        animator = fake_cuda.animator(model, torch.bfloat16)
        fake_cuda.load(pool, frames)
        images = torch.zeros(64, 3, 256, 256, device=CUDA)
        for _ in range(2):  # the first turn also makes the constants
            traffic = fake_cuda.watch()
            source = animator.encode(images)
            found["encode"] = traffic.launches.total()
            traffic = fake_cuda.watch()
            fitting = begin_fit(params, source.keypoints, pool, animator.keypoint_names)
            found["fit"] = traffic.launches.total()
            traffic = fake_cuda.watch()
            animator.animate(source, fitting.target)
            found["animate"] = traffic.launches.total()
    assert all(found[step] <= most for step, most in MOST.items()), found
