"""Degraded training pictures."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from fomaug.training.faces.augmentation import Degradation, compress, degrade, tint

NONE = Degradation(small_share=0, grey_share=0, jpeg_share=0)


@pytest.fixture
def pictures(generator: torch.Generator) -> torch.Tensor:
    """Draw eight pictures of shapes with sharp edges."""
    coarse = torch.rand(8, 3, 8, 8, generator=generator)
    return torch.nn.functional.interpolate(coarse, size=(64, 64), mode="nearest")


@pytest.mark.parametrize("degradation", [Degradation(1, (16, 32), 0, 0), Degradation(0, (16, 32), 0, 1)])
def test_both_pictures_of_a_pair_are_degraded_alike(
    pictures: torch.Tensor, generator: torch.Generator, degradation: Degradation
) -> None:
    first, second = degrade((pictures, pictures), generator, degradation)
    assert torch.equal(first, second)
    assert ((first - pictures).abs().mean((1, 2, 3)) > 0.001).all()
    assert first.min() >= 0 and first.max() <= 1


def test_a_share_of_zero_changes_nothing(pictures: torch.Tensor, generator: torch.Generator) -> None:
    assert torch.equal(degrade((pictures, pictures), generator, NONE)[0], pictures)


@pytest.mark.parametrize("degradation", [Degradation(0.5, (16, 17), 0, 0), Degradation(0, (16, 17), 0, 0.5)])
def test_a_share_of_the_pairs_is_degraded(generator: torch.Generator, degradation: Degradation) -> None:
    pictures = torch.rand(200, 3, 32, 32, generator=generator)
    changed = (degrade((pictures, pictures), generator, degradation)[0] != pictures).flatten(1).any(1)
    assert changed.float().mean() == pytest.approx(0.5, abs=0.12)


def test_small_pictures_keep_what_their_side_can_show(generator: torch.Generator) -> None:
    x = torch.linspace(0, 2 * torch.pi, 64)
    waves = [(0.5 + 0.4 * torch.sin(k * x)).expand(1, 3, 64, 64) for k in (2, 24)]
    small = Degradation(1, (16, 16), 0, 0)
    kept = [degrade((wave, wave), generator, small)[0].std() / wave.std() for wave in waves]
    assert kept[0] > 0.95 and kept[1] < 0.3


def test_the_given_share_of_the_pairs_loses_its_colours(generator: torch.Generator) -> None:
    pictures = torch.rand(200, 3, 8, 8, generator=generator)
    first, second = tint((pictures, pictures), generator, 0.3)
    grey = first.std(1).amax((1, 2)) < 1e-6
    assert grey.float().mean() == pytest.approx(0.3, abs=0.1)
    assert torch.equal(first, second)


def test_artefacts_are_about_those_of_jpeg_files() -> None:
    """The error is within a half and twice that of Pillow's files, and grows as the quality falls."""
    rng = np.random.default_rng(0)
    soft = Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).resize((64, 64), Image.Resampling.BICUBIC)
    picture = torch.from_numpy(np.array(soft)).permute(2, 0, 1)[None] / 255
    errors = []
    for quality in (20, 50, 80):
        file = io.BytesIO()
        soft.save(file, "JPEG", quality=quality, subsampling=0)
        true = torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)[None] / 255
        ours = compress(picture, torch.tensor([float(quality)]))
        errors.append((ours - picture).abs().mean())
        assert 0.5 < errors[-1] / (true - picture).abs().mean() < 2, quality
    assert errors[0] > errors[1] > errors[2]


def test_artefacts_keep_plain_colours(generator: torch.Generator) -> None:
    plain = torch.rand(4, 3, 1, 1, generator=generator).expand(4, 3, 16, 16)
    assert (compress(plain, torch.full((4,), 95.0)) - plain).abs().max() < 0.01
