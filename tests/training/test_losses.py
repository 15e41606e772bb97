from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fomaug import Keypoints
from fomaug.errors import ShapeError
from fomaug.networks.discriminator import Judgement
from fomaug.training import TrainConfig
from fomaug.training.model import (
    Batch,
    ImagePyramid,
    ThinPlateSpline,
    TrainedNetworks,
    discriminator_gan,
    equivariance,
    feature_matching,
    generator_gan,
    perceptual,
    pixels,
)

REACHED = {
    "perceptual": {"generator", "kp_detector"},
    "generator_gan": {"generator", "kp_detector", "discriminator"},
    "feature_matching": {"generator", "kp_detector", "discriminator"},
    "equivariance_value": {"kp_detector"},
    "equivariance_jacobian": {"kp_detector"},
}


@pytest.mark.golden
def test_the_official_equivariance_losses(shared: Path) -> None:
    golden = load_file(shared / "fomm-golden" / "tiny-outputs.safetensors")
    import fomaug

    folder = shared / "fomm-golden"
    model = fomaug.load_model(folder / "tiny-cpk.pth.tar", config=folder / "tiny.yaml", device="cpu")
    spline = ThinPlateSpline(golden["equivariance.theta"], golden["equivariance.control_params"])
    plain = Keypoints(golden["kp_driving.value"], golden["kp_driving.jacobian"])
    deformed = model.detect(spline.image(golden["driving"]))
    torch.testing.assert_close(deformed.value, golden["equivariance.transformed_kp.value"], atol=1e-5, rtol=0)
    value, jacobian = equivariance(plain, deformed, spline)
    torch.testing.assert_close(value[None], golden["equivariance.loss_value"], atol=1e-5, rtol=0)
    assert jacobian is not None
    torch.testing.assert_close(jacobian[None], golden["equivariance.loss_jacobian"], atol=1e-5, rtol=0)


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(2, 4, 3, 64, 64, generator=generator)
    return Batch(frames[0], frames[1], ThinPlateSpline.draw(4, rng=np.random.default_rng(0)))


@pytest.mark.parametrize("name", REACHED)
def test_each_loss_reaches_the_networks_it_should_and_no_other(
    tiny_train: TrainConfig, batch: Batch, name: str
) -> None:
    networks = TrainedNetworks(tiny_train, pixels).train()
    losses, _ = networks(batch)
    assert set(losses) == set(REACHED)
    losses[name].backward()
    touched = {
        part
        for part in ("generator", "kp_detector", "discriminator")
        if any(p.grad is not None and p.grad.abs().sum() > 0 for p in getattr(networks, part).parameters())
    }
    assert touched == REACHED[name]


def test_the_discriminators_loss_reaches_the_discriminator_alone(tiny_train: TrainConfig, batch: Batch) -> None:
    networks = TrainedNetworks(tiny_train, pixels).train()
    _, prediction = networks(batch)
    losses, _ = networks(batch, prediction)
    losses["discriminator_gan"].backward()
    assert all(p.grad is None for part in (networks.generator, networks.kp_detector) for p in part.parameters())
    assert all(p.grad is not None for p in networks.discriminator.parameters())


def judged(maps: list[float], predictions: float) -> Judgement:
    return Judgement([torch.full((2, 3, 4, 4), value) for value in maps], torch.full((2, 1, 4, 4), predictions))


def test_the_adversarial_losses_by_hand() -> None:
    real = {1: judged([0.5, 2.0], 0.75), 0.5: judged([1.0, 1.0], 0.5)}
    fake = {1: judged([0.25, 3.0], 0.25), 0.5: judged([1.5, 0.0], -1.0)}
    assert float(generator_gan(fake)) == pytest.approx(0.75**2 + 2**2)
    assert float(discriminator_gan(real, fake)) == pytest.approx(0.25**2 + 0.25**2 + 0.5**2 + 1.0)
    assert float(feature_matching(real, fake, (10, 100))) == pytest.approx(10 * (0.25 + 0.5) + 100 * (1 + 1))


def test_discriminators_at_several_scales_all_learn(tiny_train: TrainConfig, batch: Batch) -> None:
    assert tiny_train.model.discriminator is not None
    scales = replace(tiny_train.model.discriminator, scales=(1, 0.5), num_blocks=2)
    networks = TrainedNetworks(replace(tiny_train, model=replace(tiny_train.model, discriminator=scales)), pixels)
    losses, prediction = networks(batch)
    assert all(torch.isfinite(loss) for loss in losses.values())
    networks(batch, prediction)[0]["discriminator_gan"].backward()
    assert len(networks.discriminator.discs) == 2
    assert all(p.grad is not None and p.grad.any() for p in networks.discriminator.parameters())


def test_losses_of_weight_zero_are_not_computed(tiny_train: TrainConfig, batch: Batch) -> None:
    weights = replace(tiny_train.weights, generator_gan=0, equivariance_value=0, equivariance_jacobian=0)
    losses, _ = TrainedNetworks(replace(tiny_train, weights=weights), pixels)(batch)
    assert set(losses) == {"perceptual"}


def test_without_features_the_perceptual_loss_is_an_l1_pyramid() -> None:
    pyramid = ImagePyramid((1, 0.5))
    real, fake = pyramid(torch.rand(2, 3, 32, 32)), pyramid(torch.rand(2, 3, 32, 32))
    expected = 10 * sum((real[scale] - fake[scale]).abs().mean() for scale in real)
    torch.testing.assert_close(perceptual(pixels, real, fake, (10, 99)), expected)


def test_features_are_weighted_map_by_map() -> None:
    def extract(image: torch.Tensor) -> list[torch.Tensor]:
        return [image.mean(1), image.square()]

    real, fake = {1: torch.rand(2, 3, 8, 8)}, {1: torch.rand(2, 3, 8, 8)}
    expected = (
        2 * (real[1].mean(1) - fake[1].mean(1)).abs().mean() + 3 * (real[1].square() - fake[1].square()).abs().mean()
    )
    torch.testing.assert_close(perceptual(extract, real, fake, (2, 3)), expected)


@pytest.mark.parametrize(
    ("result", "kind"), [(torch.rand(2, 3, 8, 8), "'Tensor'"), (None, "'NoneType'"), ([1, 2], r"\['int', 'int'\]")]
)
def test_extractors_must_return_lists_of_maps(result: object, kind: str) -> None:
    with pytest.raises(ShapeError, match=rf"must return a list of maps \(B, C, h, w\), got {kind}"):
        perceptual(lambda _: result, {1: torch.rand(2, 3, 8, 8)}, {1: torch.rand(2, 3, 8, 8)}, (2, 3))
