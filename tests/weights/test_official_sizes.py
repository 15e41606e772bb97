"""The eight official configurations at their real sizes, from files in the layouts they are found in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from fomaug import Keypoints, load_model
from fomaug.cli import main
from fomaug.networks import OFFICIAL, ModelConfig, MultiScaleDiscriminator, build_networks


@dataclass(frozen=True)
class Layout:
    """The file format and the content of a checkpoint."""

    file: str
    prefix: str = ""  # "module." of DataParallel
    discriminator: bool = True
    optimisers: bool = True
    reverse: bool = False
    zipped: bool = False  # the official files are older than torch's archives


LAYOUTS = {
    "vox-256": Layout("vox-cpk.pth.tar"),
    "vox-adv-256": Layout("vox-adv-cpk.pth.tar", optimisers=False),
    "taichi-256": Layout("taichi-cpk.pth.tar", prefix="module."),
    "taichi-adv-256": Layout("taichi-adv-cpk.pth.tar", zipped=True),
    "mgif-256": Layout("mgif-cpk.pth.tar", prefix="module.", reverse=True),
    "fashion-256": Layout("fashion.pth.tar", discriminator=False),
    "bair-256": Layout("bair-cpk.pth.tar", reverse=True, zipped=True),
    "nemo-256": Layout("nemo-256.pth.tar", discriminator=False, optimisers=False, prefix="module."),
}


def test_every_official_configuration_has_its_layout() -> None:
    assert LAYOUTS.keys() == OFFICIAL.keys()


@dataclass(frozen=True)
class Built:
    """A detector and a generator with random weights and batch statistics, and their outputs."""

    detector: nn.Module
    generator: nn.Module
    outputs: list[Tensor]


@cache
def build(config: ModelConfig) -> Built:
    """Build the large networks once for all configurations that share them; only the discriminators differ."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        detector, generator = build_networks(config)
        for network in (detector, generator):
            for part in network.modules():
                if isinstance(part, nn.BatchNorm2d):
                    nn.init.uniform_(part.running_mean, -0.1, 0.1)
                    nn.init.uniform_(part.running_var, 0.5, 1.5)
                    part.num_batches_tracked.fill_(100)
        nn.init.normal_(detector.kp.weight, std=0.05)
        nn.init.normal_(detector.jacobian.weight, std=0.01)
    return Built(detector, generator, passed(detector.eval(), generator.eval()))


def write(config: ModelConfig, layout: Layout, folder: Path) -> Path:
    networks = build(replace(config, discriminator=None))
    parts: dict[str, nn.Module] = {"generator": networks.generator, "kp_detector": networks.detector}
    discriminator = MultiScaleDiscriminator(config.common, config.discriminator)
    if layout.discriminator:
        parts["discriminator"] = discriminator
    content: dict[str, object] = {
        key: {layout.prefix + name: tensor for name, tensor in part.state_dict().items()} for key, part in parts.items()
    }
    if layout.optimisers:  # The states of Adam are as large as the weights, so only the smallest network has them.
        optimiser = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
        for parameter in discriminator.parameters():
            parameter.grad = torch.ones_like(parameter)
        optimiser.step()
        content |= {"optimizer_discriminator": optimiser.state_dict(), "epoch": 99}
    if layout.reverse:
        content = {
            key: dict(reversed(value.items())) if isinstance(value, dict) else value
            for key, value in reversed(content.items())
        }
    path = folder / layout.file
    torch.save(content, path, _use_new_zipfile_serialization=layout.zipped)
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder for imported models, and delete its files, a quarter of a gigabyte each, after the test."""
    monkeypatch.setenv("FOMAUG_HOME", str(tmp_path / "home"))
    yield tmp_path
    for path in [*tmp_path.glob("*.pth.tar"), *tmp_path.rglob("*.safetensors")]:
        path.unlink()


@pytest.mark.parametrize("name", OFFICIAL)
def test_an_official_checkpoint_is_imported_and_computes_what_it_did(
    name: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(OFFICIAL[name], LAYOUTS[name], home)
    assert main(["model", "import", str(path)]) == 0  # The configuration is found by the file's name.
    assert f"imported as {name}" in capsys.readouterr().out
    model = load_model(name, device="cpu")
    assert (model.size, model.num_keypoints, model.has_jacobian) == (256, 10, True)
    expected = build(replace(OFFICIAL[name], discriminator=None)).outputs
    for before, after in zip(expected, passed(model.detector, model.generator), strict=True):
        assert float(before.std()) > 1e-3  # something to compare
        torch.testing.assert_close(after, before, atol=1e-5, rtol=0)


@torch.no_grad()
def passed(detector: nn.Module, generator: nn.Module) -> list[Tensor]:
    """Return all outputs of the networks for a picture of half the side, which takes a quarter of the time."""
    source, driving = torch.rand(2, 1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    keypoints: list[Keypoints] = [detector(source), detector(driving)]
    out = generator(source, generator.encode(source), *keypoints)
    return [keypoints[1].value, keypoints[1].jacobian, out.prediction, out.deformation, out.occlusion, out.mask]
