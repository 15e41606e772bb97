"""Losses of the light networks."""

from __future__ import annotations

from pathlib import Path

import torch

from fomaug.faces.canonical import mean_mesh, mesh_keypoints
from fomaug.geometry import gaussian_heatmap, identity_grid
from fomaug.networks import GeneratorOutput
from fomaug.training.faces import FaceTrainConfig, TrainState
from fomaug.training.faces.losses import (
    closeup_losses,
    detector_losses,
    fold_loss,
    from_outside,
    generator_losses,
    heatmap_loss,
    structure,
    turned_away,
)
from fomaug.training.faces.pairs import Pair
from fomaug.training.faces.store import StillStore
from fomaug.types import Keypoints


def test_true_keypoints_have_no_loss_and_a_shift_has() -> None:
    true = mesh_keypoints(mean_mesh().expand(2, -1, -1))
    assert all(loss == 0 for loss in detector_losses(true, true).values())
    assert all(loss == 0 for loss in closeup_losses(true, true).values())
    shifted = Keypoints(true.value + 0.1, true.jacobian)
    assert closeup_losses(shifted, true)["close gap"] < 1e-5 < closeup_losses(shifted, true)["close position"]
    losses = detector_losses(shifted, true)
    assert losses["position"] > 0.9
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


def pair_of(flow: torch.Tensor, known: torch.Tensor | None = None) -> Pair:
    picture, mesh = torch.zeros(1, 3, 256, 256), mean_mesh()[None]
    return Pair(picture, picture, mesh, mesh, flow, torch.ones(1, 1, 64, 64) if known is None else known)


def folded() -> torch.Tensor:
    """A flow (1, 64, 64, 2) that runs backwards in its columns 20 to 39."""
    step = torch.ones(64)
    step[20:40] = -1
    flow = identity_grid((64, 64)).clone()[None]
    flow[..., 0] = step.cumsum(0) / 32 - 1
    return flow


def test_pixels_from_outside_the_source_are_marked_where_the_flow_is_known() -> None:
    flow = identity_grid((64, 64))[None] + torch.tensor([0.5, 0.0])
    marked = from_outside(pair_of(flow))[0, 0]
    assert marked[:, -14:].all() and not marked[:, :-16].any()
    assert not from_outside(pair_of(flow, torch.zeros(1, 1, 64, 64))).any()
    assert not from_outside(pair_of(identity_grid((64, 64))[None] * 1.0001)).any(), "rounding at the border is no shift"


def test_folds_mark_the_side_that_is_turned_away() -> None:
    marked = turned_away(pair_of(folded()))[0, 0]
    assert marked[:, 20:38].all() and not marked[:, :18].any() and not marked[:, 41:].any()
    known = torch.ones(1, 1, 64, 64)
    known[..., 30:] = 0
    assert not turned_away(pair_of(folded(), known))[..., 29:].any()


def test_only_folds_and_vanishing_cells_have_a_fold_loss() -> None:
    smooth = identity_grid((64, 64))[None]
    assert fold_loss(smooth) == 0 and fold_loss(0.5 * smooth) == 0
    assert fold_loss(0 * smooth) > 0.05
    assert 0.2 < fold_loss(folded()) < 0.4, "20 of 63 columns, at most 1 each"


def test_the_flow_loss_excludes_surfaces_that_are_turned_away(packed: Path, tiny: FaceTrainConfig) -> None:
    pair, output = drawn(packed, tiny, folded())
    hidden = (turned_away(pair)[0, 0] > 0)[..., None]
    true = mesh_keypoints(pair.driving_mesh)
    changed = [
        generator_losses(output._replace(deformation=flow), pair.driving, pair, true)["flow"]
        for flow in (torch.where(where, pair.flow + 0.1, pair.flow) for where in (hidden, ~hidden))
    ]
    assert changed[0] < 1e-5 < changed[1]


def test_paint_that_is_a_little_worse_wins_only_where_the_source_shows_nothing(
    packed: Path, tiny: FaceTrainConfig
) -> None:
    wins = []
    for flow in (folded(), identity_grid((64, 64))[None]):
        pair, output = drawn(packed, tiny, flow)
        assert output.blend is not None
        blend = (turned_away(drawn(packed, tiny, folded())[0]) == 0).float()
        blend = torch.nn.functional.interpolate(0.1 + 0.8 * blend, size=output.blend.shape[2:])
        right = output._replace(deformed=pair.driving)
        painted, true = (pair.driving - 0.02).clamp(0, 1), mesh_keypoints(pair.driving_mesh)
        some, none = (
            generator_losses(right._replace(blend=choice), painted, pair, true)["blend"]
            for choice in (blend, torch.full_like(blend, 0.9))
        )
        wins.append(bool(some < none))
    assert wins == [True, False]


def drawn(packed: Path, tiny: FaceTrainConfig, flow: torch.Tensor) -> tuple[Pair, GeneratorOutput]:
    pair = StillStore.open(packed).draw(1, torch.Generator().manual_seed(1))
    pair = pair._replace(flow=flow, known=torch.ones(1, 1, 64, 64))
    generator = TrainState(tiny).generator_of(TrainState(tiny).average)
    meshes = mesh_keypoints(pair.source_mesh), mesh_keypoints(pair.driving_mesh)
    return pair, generator(pair.source, generator.encode(pair.source), *meshes)
