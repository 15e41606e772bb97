from __future__ import annotations

import pytest

from fomaug import Animator
from fomaug.errors import ArgumentError
from fomaug.evaluation import bench, official_animator


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
