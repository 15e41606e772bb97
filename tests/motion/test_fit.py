"""Fitting is deterministic, row by row, and chooses nothing for settled parameters."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fomaug.driving import closest_frame
from fomaug.geometry import confine, transfer
from fomaug.motion import DrawSettings, draw, fit
from fomaug.types import Keypoints


@pytest.fixture
def params(tiny_pool):
    drawn = draw(tiny_pool, DrawSettings(p=1.0, selection="uniform"), range(6))
    return [replace(drawn[0], relative=False), replace(drawn[1], adapt_scale=False), *drawn[2:]]


@pytest.fixture
def faces():
    generator = torch.Generator().manual_seed(3)
    jacobian = torch.eye(2) + 0.05 * torch.randn(6, 4, 2, 2, generator=generator)
    return Keypoints(torch.rand(6, 4, 2, generator=generator) - 0.5, jacobian)


def test_a_row_is_transferred_from_its_own_reference_frame(params, faces, tiny_pool):
    target, settled = fit(params, faces, tiny_pool, ())
    for row, param in enumerate(params):
        track = tiny_pool[param.clip]
        reference = int(closest_frame(track, faces[row])[0])
        expected = transfer(
            faces[row],
            track.keypoints[param.frame],
            track.keypoints[reference],
            relative=param.relative,
            adapt_scale=param.adapt_scale,
            strength=param.strength,
        )
        assert settled[row] == param.settle(reference, param.strength)
        torch.testing.assert_close(target.value[row], expected.value[0])
        torch.testing.assert_close(target.jacobian[row], expected.jacobian[0])


def test_a_batch_equals_its_singles(params, faces, tiny_pool):
    together = fit(params, faces, tiny_pool, ())
    for row, param in enumerate(params):
        alone = fit([param], faces[row], tiny_pool, ())
        assert alone.params == [together.params[row]]
        assert torch.equal(alone.target.value[0], together.target.value[row])


def test_settled_parameters_are_fitted_as_they_are(params, faces, tiny_pool):
    first = fit(params, faces, tiny_pool, ())
    again = fit(first.params, faces, tiny_pool, ())
    assert again.params == first.params
    assert torch.equal(again.target.value, first.target.value)
    elsewhere = fit(first.params, Keypoints(faces.value.flip(0), faces.jacobian.flip(0)), tiny_pool, ())
    assert elsewhere.params == first.params


def test_a_reduced_strength_is_recorded(params, faces, tiny_pool, monkeypatch):
    monkeypatch.setattr(
        "fomaug.geometry.target.showable_share", lambda source, moved, names: torch.full((len(moved),), 0.25)
    )
    target, settled = fit(params, faces, tiny_pool, ())
    assert settled[0].strength == params[0].strength, "an absolute motion is not bounded"
    assert [one.strength for one in settled[1:]] == pytest.approx([0.25 * one.strength for one in params[1:]])
    again = fit(settled, faces, tiny_pool, ())
    assert again.params == settled
    torch.testing.assert_close(again.target.value, target.value)


def test_a_region_confines_the_target(faces, tiny_pool):
    names = ("nose", "jaw", "mouth corner", "eye outer")
    param = draw(tiny_pool, DrawSettings(p=1.0, region="mouth"), ["key"])[0]
    target, (settled,) = fit([param], faces[0], tiny_pool, names)
    track = tiny_pool[param.clip].keypoints
    whole = transfer(faces[0], track[param.frame], track[settled.reference], strength=param.strength)
    expected = confine(faces[0], whole, "mouth", names)
    torch.testing.assert_close(target.value, expected.value)
    assert torch.equal(target.value[0, [0, 1, 3]], faces.value[0, [0, 1, 3]])
