"""A tiny training run: steps, resuming, exporting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fomaug import load_model
from fomaug.errors import WeightsError
from fomaug.faces.canonical import mesh_keypoints
from fomaug.training.faces import FaceTrainConfig, TrainState, export_model, train_faces
from fomaug.training.faces.losses import generator_losses
from fomaug.training.faces.pairs import Pair
from fomaug.training.faces.store import ClipStore, StillStore


def test_an_interrupted_run_ends_where_an_unbroken_one_does(
    packed: Path, tmp_path: Path, tiny: FaceTrainConfig
) -> None:
    whole = train_faces(tiny, packed, tmp_path / "whole")
    steps = iter([False, True])
    train_faces(tiny, packed, tmp_path / "broken", stop=lambda: next(steps))
    broken = train_faces(tiny, packed, tmp_path / "broken")
    assert broken.step == whole.step == 4
    expected = whole.average.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in broken.average.state_dict().items())


def test_averages_follow_the_networks_and_count_the_same_batches(tiny: FaceTrainConfig) -> None:
    state = TrainState(tiny)
    state.step = 5
    before = {name: value.clone() for name, value in state.average.state_dict().items()}
    new = state.networks.state_dict()
    for value in new.values():
        value.add_(1)
    state.follow()
    for name, value in state.average.state_dict().items():
        expected = torch.lerp(before[name], new[name], 1 - 6 / 15) if value.is_floating_point() else new[name]
        assert torch.allclose(value, expected), name


def test_an_exported_model_loads_and_starts_another_run(packed: Path, tmp_path: Path, tiny: FaceTrainConfig) -> None:
    state = train_faces(tiny, packed, tmp_path / "run")
    path = export_model(state, tmp_path / "tiny.safetensors", facts={"licence": "MIT"})
    model = load_model(path)
    assert (model.num_keypoints, model.facts["licence"], model.facts["steps"]) == (28, "MIT", 4)
    fresh = TrainState(tiny)
    fresh.start_from(path)
    weight = "detector.heatmap.weight"
    assert torch.allclose(fresh.networks.state_dict()[weight], state.average.state_dict()[weight], atol=1e-3)


def test_weights_of_another_build_are_refused(packed: Path, tmp_path: Path, tiny: FaceTrainConfig) -> None:
    path = export_model(TrainState(tiny), tmp_path / "tiny.safetensors")
    with pytest.raises(WeightsError, match="configuration expects"):
        TrainState(FaceTrainConfig()).start_from(path)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_run_begun_on_a_gpu_ends_on_the_cpu(packed: Path, tmp_path: Path, tiny: FaceTrainConfig) -> None:
    steps = iter([False, True])
    begun = train_faces(replace(tiny, precision="bf16"), packed, tmp_path, device="cuda", stop=lambda: next(steps))
    assert begun.step == 2 and all(value.is_cuda for value in begun.networks.state_dict().values())
    ended = train_faces(tiny, packed, tmp_path)
    assert ended.step == 4 and all(value.isfinite().all() for value in ended.average.state_dict().values())
    assert load_model(tmp_path / "model.safetensors").num_keypoints == 28


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_losses_are_the_same_on_both_devices(packed: Path, tiny: FaceTrainConfig) -> None:
    pair = Pair.cat(
        [store.draw(2, torch.Generator().manual_seed(4)) for store in (StillStore.open(packed), ClipStore.open(packed))]
    )
    found = []
    for device in ("cpu", "cuda"):
        state = TrainState(tiny, torch.device(device))
        there = Pair(*(field.to(device) for field in pair))
        true = [mesh_keypoints(mesh) for mesh in (there.source_mesh, there.driving_mesh)]
        network = state.generator_of(state.networks)
        output, painted = network.draw(there.source, network.encode(there.source), *true)
        found.append({name: loss.item() for name, loss in generator_losses(output, painted, there, true[1]).items()})
    assert found[1] == pytest.approx(found[0], rel=2e-3)
