"""Losses of the light networks."""

from __future__ import annotations

from pathlib import Path

import torch

from fomaug.faces.canonical import mean_mesh, mesh_keypoints
from fomaug.geometry import gaussian_heatmap
from fomaug.training.faces import FaceTrainConfig, TrainState
from fomaug.training.faces.losses import closeup_losses, detector_losses, generator_losses, heatmap_loss, structure
from fomaug.training.faces.store import StillStore
from fomaug.types import Keypoints


def test_true_keypoints_have_no_loss_and_a_shift_has() -> None:
    true = mesh_keypoints(mean_mesh().expand(2, -1, -1))
    assert all(loss == 0 for loss in detector_losses(true, true).values())
    assert all(loss == 0 for loss in closeup_losses(true, true).values())
    shifted = Keypoints(true.value + 0.1, true.jacobian)
    assert closeup_losses(shifted, true)["close gap"] < 1e-5 < closeup_losses(shifted, true)["close place"]
    losses = detector_losses(shifted, true)
    assert losses["place"] > 0.9
    assert losses["gap"] < 1e-5


def test_a_heatmap_in_the_right_cells_beats_a_wide_one_of_the_same_mean() -> None:
    true = mesh_keypoints(mean_mesh()[None])
    narrow, wide = (gaussian_heatmap(true.value, (64, 64), variance) for variance in (0.0015, 0.02))
    losses = [heatmap_loss(map_ / map_.sum((2, 3), keepdim=True), true)["heatmap"] for map_ in (narrow, wide)]
    assert losses[0] < 1e-3 < losses[1]


def test_structure_of_a_picture_with_itself_is_one() -> None:
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(structure(picture, picture), torch.ones(()), atol=1e-4)
    assert structure(picture, 1 - picture).mean() < 0


def test_a_perfect_prediction_leaves_no_picture_loss(packed: Path, tiny: FaceTrainConfig) -> None:
    pair = StillStore.open(packed).draw(1, torch.Generator().manual_seed(1))
    true = mesh_keypoints(pair.driving_mesh)
    state = TrainState(tiny)
    generator = state.generator_of(state.average)
    output, painted = generator.draw(pair.source, generator.encode(pair.source), mesh_keypoints(pair.source_mesh), true)
    assert output.blend is not None
    perfect = output._replace(
        prediction=pair.driving, deformed=pair.driving, deformation=pair.flow, blend=torch.ones_like(output.blend)
    )
    losses = generator_losses(perfect, pair.driving, pair, true)
    assert all(float(loss) < 1e-5 for name, loss in losses.items() if name != "blend")
    assert all(float(loss.detach()) > 0 for loss in generator_losses(output, painted, pair, true).values())


def test_the_blend_loss_prefers_the_better_picture(packed: Path, tiny: FaceTrainConfig) -> None:
    pair = StillStore.open(packed).draw(1, torch.Generator().manual_seed(1))
    true = mesh_keypoints(pair.driving_mesh)
    generator = TrainState(tiny).generator_of(TrainState(tiny).average)
    output = generator(pair.source, generator.encode(pair.source), mesh_keypoints(pair.source_mesh), true)
    wrong = 1 - pair.driving

    def loss(deformed: torch.Tensor, painted: torch.Tensor, blend: float) -> float:
        assert output.blend is not None
        made = output._replace(deformed=deformed, blend=torch.full_like(output.blend, blend))
        return float(generator_losses(made, painted, pair, true)["blend"])

    assert loss(pair.driving, wrong, 0.9) < loss(pair.driving, wrong, 0.1)
    assert loss(wrong, pair.driving, 0.1) < loss(wrong, pair.driving, 0.9)
