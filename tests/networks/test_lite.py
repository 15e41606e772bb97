"""The light networks against plain implementations and identities."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import fomaug
from fomaug._types import Keypoints
from fomaug.geometry import gaussian_heatmap, identity_grid
from fomaug.networks import fold_batch_norms
from fomaug.networks.lite_detector import LiteDetector, LiteDetectorConfig
from fomaug.networks.lite_generator import LiteGenerator, LiteGeneratorConfig
from fomaug.networks.lite_motion import _spots, carried_grids, local_affine_maps, mixed_motion


@pytest.fixture
def random() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _keypoints(count: int, random: torch.Generator, k: int = 28) -> Keypoints:
    value = 0.5 * torch.randn(count, k, 2, generator=random)
    jacobian = torch.eye(2) + 0.1 * torch.randn(count, k, 2, 2, generator=random)
    return Keypoints(value, jacobian)


def _generator() -> LiteGenerator:
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        return LiteGenerator(LiteGeneratorConfig()).eval()


def test_carried_grids_are_every_cell_mapped_on_its_own(random: torch.Generator) -> None:
    source, driving = _keypoints(1, random, 3), _keypoints(1, random, 3)
    grids = carried_grids(*local_affine_maps(source, driving), (4, 5))
    for k in range(3):
        for row, col in ((0, 0), (3, 4), (2, 1)):
            z = identity_grid((4, 5))[row, col]
            affine = source.jacobian[0, k] @ torch.linalg.inv(driving.jacobian[0, k])
            expected = source.value[0, k] + affine @ (z - driving.value[0, k])
            assert torch.allclose(grids[0, k, row, col], expected, atol=1e-5)


def test_mixing_maps_is_mixing_grids(random: torch.Generator) -> None:
    maps = local_affine_maps(_keypoints(2, random, 5), _keypoints(2, random, 5))
    mask = torch.randn(2, 6, 8, 7, generator=random).softmax(1)
    grids = torch.cat([identity_grid((8, 7)).expand(2, 1, 8, 7, 2), carried_grids(*maps, (8, 7))], 1)
    assert torch.allclose(mixed_motion(mask, *maps), (grids * mask[..., None]).sum(1), atol=1e-5)


def test_spots_are_gaussian_heatmaps(random: torch.Generator) -> None:
    value = torch.randn(2, 4, 2, generator=random)
    assert torch.allclose(_spots(value, (9, 6), 0.01), gaussian_heatmap(value, (9, 6), 0.01), atol=1e-6)


def test_an_untrained_generator_leaves_a_picture_that_shall_not_move(random: torch.Generator) -> None:
    generator, picture, keypoints = _generator(), torch.rand(1, 3, 256, 256, generator=random), _keypoints(1, random)
    output = generator(picture, generator.encode(picture), keypoints, keypoints)
    assert torch.allclose(output.deformation, identity_grid((64, 64))[None], atol=1e-4)
    assert torch.allclose(output.deformed, picture, atol=1e-2)


def test_prediction_is_the_blend_of_warped_source_and_paint(random: torch.Generator) -> None:
    generator, picture = _generator(), torch.rand(1, 3, 256, 256, generator=random)
    output, painted = generator.draw(picture, generator.encode(picture), _keypoints(1, random), _keypoints(1, random))
    assert output.blend is not None
    expected = output.blend * output.deformed + (1 - output.blend) * painted
    assert torch.allclose(output.prediction, expected, atol=1e-5)
    assert torch.allclose(output.mask.sum(1), torch.ones(1, 64, 64), atol=1e-5)


def test_a_batch_equals_its_singles(random: torch.Generator) -> None:
    generator, pictures = _generator(), torch.rand(2, 3, 256, 256, generator=random)
    source, driving = _keypoints(2, random), _keypoints(2, random)
    both = generator(pictures, generator.encode(pictures), source, driving).prediction
    for row in range(2):
        one = pictures[row : row + 1]
        single = generator(one, generator.encode(one), source[row], driving[row]).prediction
        assert torch.allclose(both[row : row + 1], single, atol=1e-4)


def test_detector_reads_places_within_the_picture_and_starts_with_upright_jacobians(random: torch.Generator) -> None:
    detector = LiteDetector(LiteDetectorConfig()).eval()
    found, heatmap = detector.observe(torch.rand(2, 3, 256, 256, generator=random))
    assert found.value.shape == (2, 28, 2) and found.value.abs().max() <= 1
    assert torch.allclose(heatmap.sum((2, 3)), torch.ones(2, 28), atol=1e-4)
    assert torch.allclose(found.jacobian, torch.eye(2).expand(2, 28, 2, 2), atol=1e-4)


def test_places_keep_their_precision_under_autocast(random: torch.Generator) -> None:
    source, driving = _keypoints(1, random), _keypoints(1, random)
    mask = torch.randn(1, 29, 8, 8, generator=random).softmax(1)
    plain = mixed_motion(mask, *local_affine_maps(source, driving))
    with torch.autocast("cpu", torch.bfloat16):
        under = mixed_motion(mask, *local_affine_maps(source, driving))
    assert torch.equal(plain, under)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_shipped_model_works_in_half_precision(dtype: str, random: torch.Generator) -> None:
    plain, half = (fomaug.load_model("lite-256", device="cpu", dtype=name) for name in ("float32", dtype))
    coarse = torch.rand(2, 3, 16, 16, generator=random)
    pictures = torch.nn.functional.interpolate(coarse, (256, 256), mode="bilinear")
    keypoints = plain.detect(pictures.flip(3))
    expected, found = (model.animate(model.encode(pictures), keypoints) for model in (plain, half))
    assert found.image.dtype == found.flow.dtype == torch.float32
    assert (found.image - expected.image).abs().mean() < 0.005
    assert (found.flow - expected.flow).abs().mean() < 0.5 / 128, "half a pixel"


def test_folded_networks_give_the_same_picture(random: torch.Generator) -> None:
    generator, picture = _generator(), torch.rand(1, 3, 256, 256, generator=random)
    source, driving = _keypoints(1, random), _keypoints(1, random)
    before = generator(picture, generator.encode(picture), source, driving).prediction
    fold_batch_norms(generator)
    after = generator(picture, generator.encode(picture), source, driving).prediction
    assert torch.allclose(before, after, atol=1e-4)


def test_a_frame_costs_less_than_four_billion_operations(random: torch.Generator) -> None:
    generator, detector = _generator(), LiteDetector(LiteDetectorConfig()).eval()
    picture, keypoints = torch.rand(1, 3, 256, 256, generator=random), _keypoints(1, random)
    features = generator.encode(picture)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        detector(picture)
        generator(picture, features, keypoints, keypoints)
    assert counter.get_total_flops() < 4e9
