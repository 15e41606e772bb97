from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fomaug.augment import apply
from fomaug.errors import ArgumentError, PoolError
from fomaug.geometry import identity_grid, transfer
from fomaug.motion import DrawSettings, MotionParams, draw

ALWAYS = DrawSettings(p=1.0, strength_range=(0.5, 1.5))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def params(tiny_pool) -> list[MotionParams]:
    return draw(tiny_pool, ALWAYS, range(4), copies=3)


def close(first, second):
    torch.testing.assert_close(first, second, atol=1e-5, rtol=0)


def test_equals_the_plain_steps_one_by_one(tiny_model, tiny_pool, images, params):
    result = apply(tiny_model, tiny_pool, images, params)
    for row, param in enumerate(result.params):
        source = tiny_model.encode(images[[row // 3]])
        track = tiny_pool[param.clip].keypoints
        target = transfer(source.keypoints, track[param.frame], track[param.reference], strength=param.strength)
        alone = tiny_model.animate(source, target)
        close(result.image[[row]], alone.image)
        close(result.flow[[row]], alone.flow)
        close(result.occlusion[[row]], alone.occlusion)


def test_modes_mix_in_a_batch(tiny_model, tiny_pool, images, params):
    modes = [{}, {"relative": False}, {"relative_jacobian": False}, {"adapt_scale": False}]
    mixed = [replace(param, **modes[row % 4]) for row, param in enumerate(params)]
    together = apply(tiny_model, tiny_pool, images, mixed)
    for row, param in enumerate(mixed):
        alone = apply(tiny_model, tiny_pool, images[[row // 3]], [param])
        close(together.image[[row]], alone.image)


def test_every_image_is_encoded_once_however_many_copies(tiny_model, tiny_pool, images, params, monkeypatch):
    seen = []
    encode = tiny_model.encode
    monkeypatch.setattr(tiny_model, "encode", lambda x, **kw: (seen.append(len(x)), encode(x, **kw))[1])
    apply(tiny_model, tiny_pool, images, params)
    assert seen == [4]


def test_batch_size_bounds_every_pass_and_changes_nothing(tiny_model, tiny_pool, images, params, monkeypatch):
    whole = apply(tiny_model, tiny_pool, images, params)
    passes = []
    animate = tiny_model.animate
    monkeypatch.setattr(tiny_model, "animate", lambda s, k, **kw: (passes.append(len(k)), animate(s, k, **kw))[1])
    parts = apply(tiny_model, tiny_pool, images, params, batch_size=2)
    assert max(passes) <= 2
    assert parts.params == whole.params
    close(parts.image, whole.image)


def test_skipped_rows_are_unchanged_with_the_identity_flow(tiny_model, tiny_pool, images):
    params = draw(tiny_pool, replace(ALWAYS, p=0.5), range(4), copies=4)
    skipped = [row for row, param in enumerate(params) if param.skipped]
    assert 0 < len(skipped) < 16
    result = apply(tiny_model, tiny_pool, images, params)
    grid = identity_grid(tuple(result.flow.shape[1:3]))
    for row, param in enumerate(params):
        assert torch.equal(result.image[row], images[row // 4]) == param.skipped
        assert torch.equal(result.flow[row], grid) == param.skipped
        assert not param.skipped or bool((result.occlusion[row] == 1).all())


def test_all_skipped_is_the_input_itself(tiny_model, tiny_pool, images):
    params = draw(tiny_pool, replace(ALWAYS, p=0.0), range(4))
    result = apply(tiny_model, tiny_pool, images, params)
    assert result.image is images
    assert result.flow.shape[0] == result.occlusion.shape[0] == 4
    assert result.params == params


def test_strength_zero_of_relative_motion_targets_the_source_keypoints(tiny_model, tiny_pool, images, params):
    still = [replace(param, strength=0.0) for param in params[::3]]
    result = apply(tiny_model, tiny_pool, images, still)
    source = tiny_model.encode(images)
    close(result.image, tiny_model.animate(source, source.keypoints).image)


def test_settled_references_replay_the_same_pixels(tiny_model, tiny_pool, images, params):
    first = apply(tiny_model, tiny_pool, images, params)
    assert all(isinstance(param.reference, int) for param in first.params)
    again = apply(tiny_model, tiny_pool, images, [MotionParams.from_dict(param.to_dict()) for param in first.params])
    assert torch.equal(first.image, again.image)


def test_motions_that_show_hidden_sides_are_reduced_and_the_share_is_recorded(
    tiny_model, tiny_pool, images, params, monkeypatch
):
    plain = apply(tiny_model, tiny_pool, images, params)
    monkeypatch.setattr(
        "fomaug.geometry.target.showable_share", lambda source, moved, names: torch.full((len(moved),), 0.25)
    )
    less = apply(tiny_model, tiny_pool, images, params)
    assert [param.strength for param in less.params] == pytest.approx([0.25 * param.strength for param in params])
    again = apply(tiny_model, tiny_pool, images, [MotionParams.from_dict(param.to_dict()) for param in less.params])
    assert torch.equal(less.image, again.image)
    assert again.params == less.params
    assert not torch.equal(less.image, plain.image)


@pytest.mark.parametrize("change", [{"relative": False}, {"reference": 0}])
def test_a_motion_with_a_fixed_reference_is_not_reduced(tiny_model, tiny_pool, images, params, monkeypatch, change):
    drawn = [replace(param, **change) for param in params]
    plain = apply(tiny_model, tiny_pool, images, drawn)
    monkeypatch.setattr(
        "fomaug.geometry.target.showable_share", lambda source, moved, names: torch.full((len(moved),), 0.25)
    )
    assert torch.equal(apply(tiny_model, tiny_pool, images, drawn).image, plain.image)


def test_grey_pictures_remain_grey(tiny_model, tiny_pool, images, params):
    grey = images[:, :1]
    result = apply(tiny_model, tiny_pool, grey, params)
    assert result.image.shape == (12, 1, 64, 64)
    close(result.image, apply(tiny_model, tiny_pool, grey.expand(-1, 3, -1, -1), params).image.mean(1, keepdim=True))


@pytest.mark.parametrize("size", [(64, 64), (80, 48), (40, 100)])
def test_the_size_of_pictures_is_kept(tiny_model, tiny_pool, size, params):
    images = torch.rand(4, 3, *size)
    assert apply(tiny_model, tiny_pool, images, params).image.shape == (12, 3, *size)


def test_a_surrounding_autocast_changes_nothing(tiny_model, tiny_pool, images, params):
    plain = apply(tiny_model, tiny_pool, images, params)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = apply(tiny_model, tiny_pool, images, params)
    assert torch.equal(plain.image, inside.image)


def test_gradients_flow_on_request_only(tiny_model, tiny_pool, images, params):
    images.requires_grad_()
    assert not apply(tiny_model, tiny_pool, images, params).image.requires_grad
    half = [*params[:6], *(replace(param, skipped=True) for param in params[6:])]
    result = apply(tiny_model, tiny_pool, images, half, differentiable=True)
    result.image.sum().backward()
    assert bool((images.grad[:2] != 0).any())
    assert bool((images.grad[2:] == 3).all())  # three untouched copies each


def test_gradients_do_not_flow_through_bytes(tiny_model, tiny_pool, params):
    with pytest.raises(ArgumentError, match="needs float images"):
        apply(tiny_model, tiny_pool, torch.zeros(4, 3, 64, 64, dtype=torch.uint8), params, differentiable=True)


def test_number_of_parameters_must_fit(tiny_model, tiny_pool, images, params):
    for wrong in (params[:7], []):
        with pytest.raises(ArgumentError, match=f"{len(wrong)} motion parameters for 4 images"):
            apply(tiny_model, tiny_pool, images, wrong)


def test_parameters_of_another_model_are_refused(tiny_model, tiny_pool, images, params):
    with pytest.raises(PoolError, match="was drawn for model 'abc', not for 'tiny'"):
        apply(tiny_model, tiny_pool, images[:1], [replace(params[0], model_hash="abc")])


def test_a_region_needs_named_keypoints(tiny_model, tiny_pool, images, params):
    with pytest.raises(ArgumentError, match="region='mouth' needs"):
        apply(tiny_model, tiny_pool, images[:1], [replace(params[0], region="mouth")])
