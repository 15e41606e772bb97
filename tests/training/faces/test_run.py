"""A tiny training run: packing, steps, resuming, exporting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fomaug import load_model
from fomaug.errors import ArgumentError, WeightsError
from fomaug.faces.canonical import mean_mesh, mesh_keypoints
from fomaug.geometry import gaussian_heatmap
from fomaug.networks.lite_motion import LiteMotionConfig
from fomaug.training.faces import FaceTrainConfig, TrainState, export_model, pack_clips, pack_stills, train_faces
from fomaug.training.faces.losses import closeup_losses, detector_losses, generator_losses, heatmap_loss, structure
from fomaug.training.faces.pairs import Pair
from fomaug.training.faces.store import ClipStore, StillStore
from fomaug.types import Keypoints

TINY = FaceTrainConfig(
    steps=4,
    stills=2,
    clips=1,
    still_views=1,
    clip_views=1,
    joint_from=0.5,
    precision="fp32",
    detector=replace(FaceTrainConfig().detector, widths=(4, 4, 4, 4, 4)),
    generator=replace(FaceTrainConfig().generator, widths=(4, 4, 4), motion=LiteMotionConfig(widths=(4, 4, 4, 4, 4))),
)


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three portraits and two clips of noise, with the mean face for a mesh."""
    folder = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    mesh = (mean_mesh().numpy() * 0.8 + [1, 1, 0]) * 127.5
    _write_pictures(folder / "stills" / "images", {f"{i}.png": (256, 256) for i in range(3)}, rng)
    np.savez(folder / "stills" / "landmarks.npz", files=["0.png", "1.png", "2.png"], landmarks=np.stack([mesh] * 3))
    _write_pictures(folder / "clips" / "set", {"a.png": (256, 768), "b.png": (256, 768)}, rng)
    flow = np.zeros((3, 64, 64, 2), np.int16)
    np.savez(folder / "clips" / "set" / "a.npz", flow=flow, mask=np.ones((3, 64, 64), bool))
    np.savez(folder / "clips" / "mesh.npz", files=["a.png", "b.png"], landmarks=np.stack([[mesh] * 3] * 2))
    out = folder / "packed"
    assert pack_stills(folder / "stills", out) == 3
    assert pack_clips(folder / "clips", out) == 2
    return out


def _write_pictures(folder: Path, sizes: dict[str, tuple[int, int]], rng: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    for name, size in sizes.items():
        coarse = rng.integers(0, 255, (size[0] // 32, size[1] // 32, 3), np.uint8)
        Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC).save(folder / name)


def test_packed_meshes_are_normalised(packed: Path) -> None:
    meshes = np.load(packed / "stills_mesh.npy")
    expected = (mean_mesh().numpy() * 0.8 * 127.5 + [127.0, 127.0, 0]) / 127.5 - [1, 1, 0]
    assert np.allclose(meshes[0], expected, atol=1e-3)


def test_mattes_are_packed_and_where_there_is_none_all_is_the_person(packed: Path, tmp_path: Path) -> None:
    folder = packed.parent / "stills"
    (folder / "mattes").mkdir(exist_ok=True)
    shade = np.linspace(0, 255, 256).astype(np.uint8)[None].repeat(256, 0)
    Image.fromarray(shade).save(folder / "mattes" / "1.png")
    pack_stills(folder, tmp_path)
    mattes = np.load(tmp_path / "stills_matte.npy")
    assert np.array_equal(mattes[1], shade)
    assert (mattes[[0, 2]] == 255).all()


def test_frames_of_a_strip_come_in_order(packed: Path) -> None:
    strip = np.asarray(Image.open(packed.parent / "clips" / "set" / "a.png"))
    assert np.array_equal(np.load(packed / "clips.npy")[0, 1], strip[:, 256:512])


def test_pairs_are_the_same_for_the_same_seed(packed: Path) -> None:
    for store in (StillStore.open(packed), ClipStore.open(packed)):
        first, again = (store.draw(2, torch.Generator().manual_seed(4)) for _ in range(2))
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_an_interrupted_run_ends_where_an_unbroken_one_does(packed: Path, tmp_path: Path) -> None:
    whole = train_faces(TINY, packed, tmp_path / "whole")
    steps = iter([False, True])
    train_faces(TINY, packed, tmp_path / "broken", stop=lambda: next(steps))
    broken = train_faces(TINY, packed, tmp_path / "broken")
    assert broken.step == whole.step == 4
    expected = whole.average.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in broken.average.state_dict().items())


def test_averages_follow_the_networks_and_count_the_same_batches() -> None:
    state = TrainState(TINY)
    state.step = 5
    before = {name: value.clone() for name, value in state.average.state_dict().items()}
    new = state.networks.state_dict()
    for value in new.values():
        value.add_(1)
    state.follow()
    for name, value in state.average.state_dict().items():
        expected = torch.lerp(before[name], new[name], 1 - 6 / 15) if value.is_floating_point() else new[name]
        assert torch.allclose(value, expected), name


def test_an_exported_model_loads_and_starts_another_run(packed: Path, tmp_path: Path) -> None:
    state = train_faces(TINY, packed, tmp_path / "run")
    path = export_model(state, tmp_path / "tiny.safetensors", facts={"licence": "MIT"})
    model = load_model(path)
    assert (model.num_keypoints, model.facts["licence"], model.facts["steps"]) == (28, "MIT", 4)
    fresh = TrainState(TINY)
    fresh.start_from(path)
    weight = "detector.heatmap.weight"
    assert torch.allclose(fresh.networks.state_dict()[weight], state.average.state_dict()[weight], atol=1e-3)


def test_weights_of_another_build_are_refused(packed: Path, tmp_path: Path) -> None:
    path = export_model(TrainState(TINY), tmp_path / "tiny.safetensors")
    with pytest.raises(WeightsError, match="configuration expects"):
        TrainState(FaceTrainConfig()).start_from(path)


def test_missing_landmarks_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=r"landmarks\.npz is missing"):
        pack_stills(tmp_path, tmp_path / "out")


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


def test_a_perfect_prediction_leaves_no_picture_loss(packed: Path) -> None:
    pair = StillStore.open(packed).draw(1, torch.Generator().manual_seed(1))
    true = mesh_keypoints(pair.driving_mesh)
    state = TrainState(TINY)
    generator = state.generator_of(state.average)
    output, painted = generator.draw(pair.source, generator.encode(pair.source), mesh_keypoints(pair.source_mesh), true)
    assert output.blend is not None
    perfect = output._replace(
        prediction=pair.driving, deformed=pair.driving, deformation=pair.flow, blend=torch.ones_like(output.blend)
    )
    losses = generator_losses(perfect, pair.driving, pair, true)
    assert all(float(loss) < 1e-5 for name, loss in losses.items() if name != "blend")
    assert all(float(loss.detach()) > 0 for loss in generator_losses(output, painted, pair, true).values())


def test_the_blend_is_told_to_take_what_is_right(packed: Path) -> None:
    pair = StillStore.open(packed).draw(1, torch.Generator().manual_seed(1))
    true = mesh_keypoints(pair.driving_mesh)
    generator = TrainState(TINY).generator_of(TrainState(TINY).average)
    output = generator(pair.source, generator.encode(pair.source), mesh_keypoints(pair.source_mesh), true)
    wrong = 1 - pair.driving

    def loss(deformed: torch.Tensor, painted: torch.Tensor, blend: float) -> float:
        assert output.blend is not None
        made = output._replace(deformed=deformed, blend=torch.full_like(output.blend, blend))
        return float(generator_losses(made, painted, pair, true)["blend"])

    assert loss(pair.driving, wrong, 0.9) < loss(pair.driving, wrong, 0.1)
    assert loss(wrong, pair.driving, 0.1) < loss(wrong, pair.driving, 0.9)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_run_begun_on_a_gpu_ends_on_the_cpu(packed: Path, tmp_path: Path) -> None:
    steps = iter([False, True])
    begun = train_faces(replace(TINY, precision="bf16"), packed, tmp_path, device="cuda", stop=lambda: next(steps))
    assert begun.step == 2 and all(value.is_cuda for value in begun.networks.state_dict().values())
    ended = train_faces(TINY, packed, tmp_path)
    assert ended.step == 4 and all(value.isfinite().all() for value in ended.average.state_dict().values())
    assert load_model(tmp_path / "model.safetensors").num_keypoints == 28


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_losses_are_the_same_on_both_devices(packed: Path) -> None:
    pair = Pair.cat(
        [store.draw(2, torch.Generator().manual_seed(4)) for store in (StillStore.open(packed), ClipStore.open(packed))]
    )
    found = []
    for device in ("cpu", "cuda"):
        state = TrainState(TINY, torch.device(device))
        there = Pair(*(field.to(device) for field in pair))
        true = [mesh_keypoints(mesh) for mesh in (there.source_mesh, there.driving_mesh)]
        network = state.generator_of(state.networks)
        output, painted = network.draw(there.source, network.encode(there.source), *true)
        found.append({name: loss.item() for name, loss in generator_losses(output, painted, there, true[1]).items()})
    assert found[1] == pytest.approx(found[0], rel=2e-3)
