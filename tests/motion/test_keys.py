from __future__ import annotations

import sys
from types import SimpleNamespace

import torch

from fomaug.augment import counted_keys


def test_keys_are_numbers_in_a_plain_process():
    assert counted_keys(7, 3) == [7, 8, 9]


def test_workers_have_different_keys(monkeypatch):
    names = []
    for seed in (11, 12):
        monkeypatch.setattr(
            sys.modules["fomaug.motion.draw"], "get_worker_info", lambda seed=seed: SimpleNamespace(seed=seed)
        )
        names += counted_keys(0, 3)
    assert len(set(names)) == 6


def test_ranks_have_different_keys(monkeypatch):
    names = []
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        names += counted_keys(0, 3)
    assert len(set(names)) == 6
