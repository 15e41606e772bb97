from __future__ import annotations

import pytest
import torch

from fomaug import Animator
from fomaug.errors import ArgumentError
from fomaug.evaluation import bench, official_animator
from fomaug.evaluation.speed import peak_bytes


def test_every_stage_of_every_model_is_timed(tiny_model: Animator) -> None:
    calls: list[int] = []
    result = bench([tiny_model, tiny_model], rounds=2, batch_size=2, threads=1, progress=lambda: calls.append(1))
    timings = result.models["tiny"]
    assert [timing.stage for timing in timings[:4]] == ["encode", "detect", "animate", "frame"]
    assert all(timing.ms > 0 for timing in timings)
    assert all(0 < timing.spread_ms[0] <= timing.ms <= timing.spread_ms[1] for timing in timings)
    assert all(timing.peak_mb > 0 for timing in timings)
    assert result.weights_mb["tiny"] > 0
    assert result.machine["threads"] == 1
    assert len(calls) == 2


def test_operations_are_counted_by_picture_and_add_up(tiny_model: Animator) -> None:
    one, ten = (bench([tiny_model], rounds=1, batch_size=size, threads=2).models["tiny"] for size in (1, 10))
    gflop = {timing.stage: timing.gflop for timing in one}
    assert gflop["frame"] == pytest.approx(gflop["detect"] + gflop["animate"], abs=2e-3)
    assert [timing.gflop for timing in one] == pytest.approx([timing.gflop for timing in ten], abs=2e-3)


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(ArgumentError, match="did you mean 'vox-256'"):
        official_animator("vox256")


KB = torch.zeros(256)


def test_the_peak_includes_kept_memory_but_not_freed_memory() -> None:
    assert peak_bytes(lambda: [torch.zeros(256) is None for _ in range(5)]) == 1024
    assert peak_bytes(lambda: [torch.zeros(256) for _ in range(5)]) == 5 * 1024


def test_existing_tensors_and_their_views_do_not_count() -> None:
    assert peak_bytes(lambda: KB.view(16, 16)[1:].add_(1)) == 0
    assert peak_bytes(lambda: KB + 1) == 1024
