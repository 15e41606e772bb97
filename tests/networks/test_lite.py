"""The light networks against plain implementations and identities."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import fomaug
from fomaug.errors import ArgumentError
from fomaug.faces.canonical import mean_mesh, mesh_keypoints
from fomaug.geometry import gaussian_heatmap, identity_grid, resize_flow
from fomaug.geometry.eye import EyePoints, read_eyes
from fomaug.networks import LiteConfig, fold_batch_norms
from fomaug.networks.blocks import add_doubled, sum_of_views
from fomaug.networks.lite_detector import Closeup, LiteDetector, LiteDetectorConfig
from fomaug.networks.lite_generator import LiteGenerator, LiteGeneratorConfig
from fomaug.networks.lite_motion import _spots, carried_grids, flow_with_eyes, local_affine_maps, mixed_motion
from fomaug.types import Keypoints

EYES = ((0, 1, 4, 5, 8), (3, 2, 6, 7, 9))
MOUTH = (16, 17, 18, 19, 20, 21)
NOSE = (12, 13, 10, 11, 15, 14)
MIRROR = torch.tensor([-1.0, 1.0])


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
        return LiteGenerator(LiteGeneratorConfig(eyes=EYES)).eval()


def _detector() -> LiteDetector:
    with torch.random.fork_rng():
        torch.random.manual_seed(0)
        return LiteDetector(LiteDetectorConfig(eyes=EYES, mouth=MOUTH, nose=NOSE)).eval()


def _example(person: str) -> torch.Tensor:
    with Image.open(Path(__file__).parents[2] / "examples" / "faces" / person / "front.jpg") as picture:
        rgb = np.array(picture.convert("RGB").resize((256, 256)))
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255


def _faces(count: int, random: torch.Generator) -> Keypoints:
    """Make keypoints of mean faces with a little noise on the points."""
    return mesh_keypoints(mean_mesh() + 0.01 * torch.randn(count, 478, 3, generator=random))


def test_carried_grids_equal_the_map_of_each_cell(random: torch.Generator) -> None:
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


def test_separable_gaussians_equal_gaussian_heatmaps(random: torch.Generator) -> None:
    value = torch.randn(2, 4, 2, generator=random)
    assert torch.allclose(_spots(value, (9, 6), 0.01), gaussian_heatmap(value, (9, 6), 0.01), atol=1e-6)


def test_an_untrained_generator_reproduces_a_picture_without_motion(random: torch.Generator) -> None:
    generator, picture, keypoints = _generator(), torch.rand(1, 3, 256, 256, generator=random), _keypoints(1, random)
    output = generator(picture, generator.encode(picture), keypoints, keypoints)
    assert torch.allclose(output.deformation, identity_grid((256, 256))[None], atol=1e-4)
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


def test_an_untrained_detector_gives_points_in_the_picture_and_identity_jacobians(random: torch.Generator) -> None:
    found, coarse, heatmap = _detector().observe(torch.rand(2, 3, 256, 256, generator=random))
    assert found.value.shape == (2, 28, 2) and coarse.value.abs().max() <= 1
    assert torch.allclose(heatmap.sum((2, 3)), torch.ones(2, 28), atol=1e-4)
    assert torch.allclose(found.jacobian, torch.eye(2).expand(2, 28, 2, 2), atol=1e-4)


def test_coordinates_keep_their_precision_under_autocast(random: torch.Generator) -> None:
    source, driving = _keypoints(1, random), _keypoints(1, random)
    mask = torch.randn(1, 29, 8, 8, generator=random).softmax(1)
    plain = mixed_motion(mask, *local_affine_maps(source, driving))
    with torch.autocast("cpu", torch.bfloat16):
        under = mixed_motion(mask, *local_affine_maps(source, driving))
    assert torch.equal(plain, under)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_shipped_model_works_in_half_precision(dtype: str) -> None:
    plain, half = (fomaug.load_model("lite-256", device="cpu", dtype=name) for name in ("float32", dtype))
    pictures = torch.cat([_example("person_a"), _example("person_d")])
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
    generator, detector = _generator(), _detector()
    picture, keypoints = torch.rand(1, 3, 256, 256, generator=random), _keypoints(1, random)
    features = generator.encode(picture)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        detector(picture)
        generator(picture, features, keypoints, keypoints)
    assert counter.get_total_flops() < 4e9


def test_only_eyes_mouth_brows_and_nose_have_close_ups(random: torch.Generator) -> None:
    found, coarse, _ = _detector().observe(torch.rand(2, 3, 256, 256, generator=random))
    close = sorted({*EYES[0], *EYES[1], *MOUTH, *NOSE})
    others = [k for k in range(28) if k not in close]
    assert torch.equal(found.value[:, others], coarse.value[:, others])
    assert (found.value[:, close] != coarse.value[:, close]).any(-1).all()
    assert torch.equal(found.jacobian, coarse.jacobian)


def test_a_close_up_of_a_mirrored_eye_is_mirrored(random: torch.Generator) -> None:
    closeup = _detector().eye
    picture, face = torch.rand(2, 3, 256, 256, generator=random), _faces(2, random)
    flipped = Keypoints(face.value * MIRROR, face.jacobian * torch.outer(MIRROR, MIRROR))
    found = closeup(picture, face, EYES[:1], 15)
    mirrored = closeup(picture.flip(3), flipped, EYES[:1], 15)
    assert torch.allclose(found, mirrored * MIRROR, atol=1e-4)


def test_a_close_up_moves_with_its_frame(random: torch.Generator) -> None:
    """A picture of one colour has no content, so the result in the part's frame does not depend on its position."""
    closeup: Closeup = _detector().mouth
    grey, face = torch.full((1, 3, 256, 256), 0.4), _faces(1, random)
    shifted = Keypoints(face.value + 0.1, face.jacobian)
    moved = closeup(grey, shifted, (MOUTH,), 15) - closeup(grey, face, (MOUTH,), 15)
    assert torch.allclose(moved, torch.full_like(moved, 0.1), atol=1e-5)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_sum_with_doubled_maps_needs_no_doubled_maps(random: torch.Generator, layout: torch.memory_format) -> None:
    small = torch.randn(2, 5, 7, 6, generator=random)
    large = torch.randn(2, 5, 14, 12, generator=random).contiguous(memory_format=layout)
    assert torch.equal(sum_of_views(small, large), add_doubled(small, large))


def test_the_fast_flow_of_eyes_equals_the_plain_one(random: torch.Generator) -> None:
    source, driving = _faces(2, random), _faces(2, random)
    flow = identity_grid((64, 64)) + 0.02 * torch.randn(2, 1, 1, 2, generator=random)
    old, new = (read_eyes(face, EyePoints(EYES, 15)) for face in (source, driving))
    plain = flow_with_eyes(flow, old, new, 256)
    with torch.no_grad():
        quick = flow_with_eyes(flow, old, new, 256)
    assert torch.allclose(plain.flow, quick.flow, atol=1e-5)
    part = plain.maps[:, :, quick.rows, quick.columns].clone()
    assert torch.allclose(part, quick.maps, atol=1e-5)
    plain.maps[:, :, quick.rows, quick.columns] = 0
    assert plain.maps.abs().max() == 0, "the maps are 0 outside"
    assert part.max() > 0.5
    assert part[0, 0].numel() < plain.maps[0, 0].numel() / 2, "a short cut"
    assert (plain.flow - resize_flow(flow, (256, 256))).abs().max() > 0.01, "something moved"


def test_eyes_out_of_the_picture_are_no_error(random: torch.Generator) -> None:
    generator, picture, face = _generator(), torch.rand(1, 3, 256, 256, generator=random), _faces(1, random)
    nn.init.ones_(generator.eye_hint.weight)
    for shift in (-5.0, 5.0, 1.2):
        away = Keypoints(face.value + shift, face.jacobian)
        outputs = []
        for gradient in (True, False):
            with torch.set_grad_enabled(gradient):
                outputs.append(generator(picture, generator.encode(picture), face, away).prediction.detach())
        assert torch.allclose(*outputs, atol=1e-4)


def test_maps_of_the_eyes_change_the_painted_picture(random: torch.Generator) -> None:
    generator, picture = _generator(), torch.rand(1, 3, 256, 256, generator=random)
    source, driving = _faces(1, random), _faces(1, random)
    generator(picture, generator.encode(picture), source, driving).prediction.sum().backward()
    assert generator.eye_hint.weight.grad.abs().sum() > 0


def test_configurations_with_eyes_survive_json() -> None:
    config = LiteConfig(LiteDetectorConfig(eyes=EYES, mouth=MOUTH, nose=NOSE), LiteGeneratorConfig(eyes=EYES))
    assert LiteConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_a_configuration_without_parts_of_the_face_is_written_as_before_there_were_any() -> None:
    written = LiteConfig().to_dict()
    assert sorted(written["detector"]) == ["input_size", "jacobian_level", "num_keypoints", "temperature", "widths"]
    assert sorted(written["generator"]) == ["decoder_blocks", "encoder_blocks", "motion", "num_keypoints", "widths"]
    assert LiteConfig.from_dict(json.loads(json.dumps(written))) == LiteConfig()
    few = LiteConfig(LiteDetectorConfig(num_keypoints=10), LiteGeneratorConfig(num_keypoints=10))
    assert LiteConfig.from_dict(few.to_dict()) == few


@pytest.mark.parametrize(
    "part",
    [
        {"eyes": 5},
        {"eyes": [0, 1, 4, 5, 8]},
        {"eyes": [[0, 1, 2, 3]]},
        {"nose": [0, 80]},
        {"mouth": 3},
        {"mouth": ["a"]},
    ],
)
def test_parts_with_unknown_keypoints_are_refused(part: dict[str, object]) -> None:
    with pytest.raises(ArgumentError, match="lists of five"):
        LiteConfig.from_dict({"detector": part})


NOT_A_MODEL: list[tuple[dict[str, object], str]] = [
    ({"detector": []}, "detector must hold keys and values, got"),
    ({"generator": 3}, "generator must hold keys and values, got 3"),
    ({"generator": {"motion": [1]}}, "generator.motion must hold keys and values, got"),
    ({"detector": {"widths": 5}}, "detector.widths must be whole numbers from 1 to 4096, got 5"),
    ({"detector": {"widths": "x"}}, "detector.widths must be whole numbers"),
    ({"detector": {"widths": [24, [], 8]}}, "detector.widths must be whole numbers"),
    ({"detector": {"widths": [24, 1.5, 8]}}, "detector.widths must be whole numbers"),
    ({"detector": {"widths": [24, True, 8]}}, "detector.widths must be whole numbers"),
    ({"detector": {"widths": [24, -1, 8]}}, "detector.widths must be whole numbers"),
    ({"detector": {"widths": [24, 8, 10**9]}}, "detector.widths must be whole numbers"),
    ({"detector": {"widths": []}}, "detector.widths must be 3 to 10 numbers, got 0"),
    ({"detector": {"jacobian_level": 9}}, "detector.widths must be 10 numbers, got 5"),
    ({"detector": {"jacobian_level": -1}}, "detector.jacobian_level must be from 0 to 4096, got -1"),
    ({"detector": {"num_keypoints": 10**9}}, "detector.num_keypoints must be from 1 to 4096, got 1000000000"),
    ({"generator": {"widths": [20, 40]}}, "generator.widths must be 3 numbers, got 2"),
    ({"generator": {"widths": [20, 40, 64, 80]}}, "generator.widths must be 3 numbers, got 4"),
    ({"generator": {"motion": {"widths": [20]}}}, "generator.motion.widths must be 2 to 10 numbers, got 1"),
    ({"generator": {"encoder_blocks": 10**9}}, "generator.encoder_blocks must be a whole number from 0 to 64"),
    ({"size": 0}, "size must be a whole number from 1 to 1024, got 0"),
    ({"size": "x"}, "size must be a whole number from 1 to 1024, got 'x'"),
    ({"keypoint_names": 5}, "keypoint_names must be strings, got 5"),
    ({"keypoint_names": [1]}, "keypoint_names must be strings"),
]


@pytest.mark.parametrize(("values", "message"), NOT_A_MODEL)
def test_numbers_that_no_network_can_have_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        LiteConfig.from_dict(values)
