"""kornia's adapter, which draws from torch's generator, in real worker processes."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader

pytest.importorskip("kornia")
from fomaug.integrations.kornia import MotionAugment


class MovesOne:
    """A collate function for batches of one picture that worker processes can unpickle."""

    def __init__(self, transform):
        self.transform = transform

    def __call__(self, batch):
        return self.transform(batch[0])


def test_a_seeded_loader_draws_the_same_forked_or_spawned_and_never_twice(pool, exact, image):
    transform = MotionAugment(pool, exact, p=1.0)
    picture = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
    epochs = {}
    for method in ("fork", "spawn"):
        loader = DataLoader(
            [picture] * 4,
            num_workers=2,
            collate_fn=MovesOne(transform),
            multiprocessing_context=method,
            generator=torch.Generator().manual_seed(1),
        )
        passes = 2 if method == "fork" else 1
        epochs[method] = [[moved.numpy().tobytes() for moved in loader] for _ in range(passes)]
    assert epochs["fork"][0] == epochs["spawn"][0]
    assert len({*epochs["fork"][0], *epochs["fork"][1]}) == 8
