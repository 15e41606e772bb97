"""Real DataLoader workers: the transform must not repeat the draws of forked generators."""

from __future__ import annotations

import albumentations as A
import numpy as np
import pytest
import torch
from exact_animator import Pictures
from torch.utils.data import DataLoader

from fomaug.integrations.albumentations import MotionAugment


def _epochs(transform, image, start, count=2, workers=2, seed=None, **options):
    """Run passes over eight copies of one picture; returns (count, 8) pictures as bytes."""
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    context = start if workers else None
    loader = DataLoader(
        Pictures(image, transform, 8),
        batch_size=2,
        num_workers=workers,
        multiprocessing_context=context,
        generator=generator,
        **options,
    )
    return [[picture.numpy().tobytes() for batch in loader for picture in batch] for _ in range(count)]


@pytest.mark.parametrize("compose_seed", [None, 7])
def test_no_forked_worker_repeats_another_or_the_last_epoch(pool, exact, image, compose_seed):
    pipeline = A.Compose([MotionAugment(pool, exact, p=1.0)], seed=compose_seed)
    epochs = _epochs(pipeline, image, "fork")
    assert len(set(epochs[0]) | set(epochs[1])) == 16


def test_workers_that_persist_do_not_repeat_themselves(pool, exact, image):
    pipeline = A.Compose([MotionAugment(pool, exact, p=1.0)], seed=7)
    epochs = _epochs(pipeline, image, "fork", persistent_workers=True)
    assert len(set(epochs[0]) | set(epochs[1])) == 16


def test_a_seeded_compose_in_a_seeded_loader_repeats_its_run_forked_or_spawned(pool, exact, image):
    forked, spawned = (
        _epochs(A.Compose([MotionAugment(pool, exact, p=1.0)], seed=7), image, start, count=1, seed=1)
        for start in ("fork", "spawn")
    )
    assert forked == spawned and len(set(spawned[0])) == 8


def test_without_workers_a_seeded_compose_repeats_its_run_and_not_its_epochs(pool, exact, image):
    runs = [_epochs(A.Compose([MotionAugment(pool, exact, p=1.0)], seed=7), image, "fork", workers=0) for _ in range(2)]
    assert runs[0] == runs[1] and len(set(runs[0][0]) | set(runs[0][1])) == 16


def test_whether_a_picture_moves_is_not_repeated_either(pool, exact, image):
    pipeline = A.Compose([MotionAugment(pool, exact, p=0.5)], seed=7)
    still = np.ascontiguousarray(image).tobytes()
    patterns = [[picture == still for picture in epoch] for epoch in _epochs(pipeline, image, "fork", count=5)]
    # Each worker's four pictures of each epoch: ten patterns of sixteen possible ones, one if forks repeat.
    workers = {tuple(epoch[i] for i in rows) for epoch in patterns for rows in ((0, 1, 4, 5), (2, 3, 6, 7))}
    assert len(workers) >= 3
