"""Every tensor of the official code, within 1e-5 in float32, in batches and one by one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor

import fomaug
from fomaug.networks import KeypointDetector, ModelConfig, MultiScaleDiscriminator
from fomaug.types import Keypoints

pytestmark = pytest.mark.golden
CASES = ["tiny", "zero-order"]
TOLERANCE = {"atol": 1e-5, "rtol": 0}


class Golden:
    """One golden model with the tensors of the official code."""

    def __init__(self, folder: Path, name: str) -> None:
        with safe_open(folder / f"{name}-outputs.safetensors", framework="pt") as file:
            self.tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        self.config = ModelConfig.from_dict(json.loads(_config(folder, name)))
        self.checkpoint = torch.load(folder / f"{name}-cpk.pth.tar", weights_only=True)
        self.model = fomaug.load_model(folder / f"{name}-cpk.pth.tar", config=folder / f"{name}.yaml", device="cpu")

    def __getitem__(self, key: str) -> Tensor:
        return self.tensors[key]

    def keypoints(self, name: str) -> Keypoints:
        return Keypoints(self[f"{name}.value"], self.tensors.get(f"{name}.jacobian"))


def _config(folder: Path, name: str) -> str:
    with safe_open(folder / f"{name}-outputs.safetensors", framework="pt") as file:
        config: str = file.metadata()["config"]
    return config


@pytest.fixture(params=CASES)
def golden(request: pytest.FixtureRequest, shared: Path) -> Golden:
    return Golden(shared / "fomm-golden", request.param)


def assert_keypoints_close(found: Keypoints, expected: Keypoints) -> None:
    torch.testing.assert_close(found.value, expected.value, **TOLERANCE)
    assert (found.jacobian is None) == (expected.jacobian is None)
    if expected.jacobian is not None:
        torch.testing.assert_close(found.jacobian, expected.jacobian, **TOLERANCE)


@pytest.mark.parametrize("name", ["source", "driving"])
def test_keypoints_in_a_batch_and_one_by_one(golden: Golden, name: str) -> None:
    frames, expected = golden[name], golden.keypoints(f"kp_{name}")
    assert_keypoints_close(golden.model.detect(frames), expected)
    singles = [golden.model.detect(frames[i : i + 1]) for i in range(len(frames))]
    assert_keypoints_close(Keypoints.cat(singles), expected)


def test_generator_and_all_its_intermediates(golden: Golden) -> None:
    generator = golden.model.generator
    source, driving = golden.keypoints("kp_source"), golden.keypoints("kp_driving")[:2]
    with torch.no_grad():
        out = generator(golden["source"], generator.encode(golden["source"]), source, driving)
    found = {
        "generator.prediction": out.prediction,
        "generator.mask": out.mask,
        "generator.sparse_deformed": out.sparse_deformed,
        "generator.occlusion_map": out.occlusion,
        "generator.deformed": out.deformed,
        "dense_motion.deformation": out.deformation,
    }
    for name, tensor in found.items():
        key = f"align_true.{name}"
        if key in golden.tensors:
            torch.testing.assert_close(tensor, golden[key], **TOLERANCE, msg=lambda m, name=name: f"{name}: {m}")
        else:
            assert tensor is None


@pytest.mark.parametrize("relative", [0, 1])
@pytest.mark.parametrize("relative_jacobian", [0, 1])
@pytest.mark.parametrize("adapt_scale", [0, 1])
def test_animation_in_every_mode(golden: Golden, relative: int, relative_jacobian: int, adapt_scale: int) -> None:
    mode = f"align_true.animate.relative_{relative}.relative_jacobian_{relative_jacobian}.adapt_scale_{adapt_scale}"
    if f"{mode}.prediction" not in golden.tensors:
        pytest.skip("the official code has no such mode")
    source, driving = golden.keypoints("kp_source")[0], golden.keypoints("kp_driving")
    moved = fomaug.transfer(
        source,
        driving,
        driving[0],
        relative=bool(relative),
        relative_jacobian=bool(relative_jacobian),
        adapt_scale=bool(adapt_scale),
    )
    assert_keypoints_close(moved, golden.keypoints(f"{mode}.kp"))
    encoded = golden.model.encode(golden["source"][:1])
    together = golden.model.animate(encoded, moved).image
    one_by_one = torch.cat([golden.model.animate(encoded, moved[i]).image for i in range(len(moved))])
    torch.testing.assert_close(together, golden[f"{mode}.prediction"], **TOLERANCE)
    torch.testing.assert_close(one_by_one, golden[f"{mode}.prediction"], **TOLERANCE)


def test_discriminator_features(golden: Golden) -> None:
    assert golden.config.discriminator is not None
    discriminator = MultiScaleDiscriminator(golden.config.common, golden.config.discriminator)
    discriminator.load_state_dict(golden.checkpoint["discriminator"], strict=True)
    discriminator.eval()
    picture = golden["discriminator.input.prediction_1"]
    with torch.no_grad():
        judged = discriminator({1: picture}, golden.keypoints("kp_source").value)[1]
    assert_close_in_scale(judged.prediction_map, golden["discriminator.prediction_map_1"])
    for i, features in enumerate(judged.feature_maps):
        assert_close_in_scale(features, golden[f"discriminator.feature_maps_1.{i}"])


def assert_close_in_scale(found: Tensor, expected: Tensor) -> None:
    """Compare within 1e-5 of the largest value: maps reach 40, and golden ones differ from float64 values by 2e-5."""
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.abs().max().clamp(min=1)), rtol=0)


def test_official_configurations_have_the_published_names_and_shapes(shared: Path) -> None:
    published = json.loads((shared / "fomm-golden" / "official-configs.json").read_text())
    for name, params in published["configs"].items():
        shapes = {part: published["state_dict_shapes"][key] for part, key in params.pop("_shapes").items()}
        config = ModelConfig.from_dict({**params, "size": 256})
        assert config == fomaug.networks.OFFICIAL[name]
        with torch.device("meta"):
            built = {
                "kp_detector": KeypointDetector(config.common, config.kp_detector),
                "generator": fomaug.networks.Generator(config.common, config.generator),
                "discriminator": MultiScaleDiscriminator(config.common, config.discriminator),
            }
        for part, network in built.items():
            found = {key: list(tensor.shape) for key, tensor in network.state_dict().items()}
            assert found == shapes[part], f"{name}: {part}"
