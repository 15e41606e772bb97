from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from exact_animator import DOTS, PAINTED, SHOWN, draw_dots, exact_model, find_dots, shifting_pool

K = pytest.importorskip("kornia.augmentation")

from fomaug.errors import ArgumentError  # noqa: E402
from fomaug.integrations.kornia import MotionAugment  # noqa: E402

KEYS = ["input", "mask", "bbox", "bbox_xyxy", "bbox_xywh", "keypoints", "label"]
BATCH = 4
MIXED = 1  # with this seed, half of a batch of four moves at p = 0.5


@pytest.fixture
def always(pool, exact):
    return MotionAugment(pool, exact, p=1.0)


@pytest.fixture
def images():
    return torch.from_numpy(draw_dots((48, 64))).permute(2, 0, 1).float().div(255).repeat(BATCH, 1, 1, 1)


@pytest.fixture
def labels(images):
    """Return a mask, boxes in three forms, points and classes, all at the dots."""
    first, last = DOTS - 3, DOTS + 3
    corners = torch.stack([torch.stack([x, y], -1) for x, y in _around(first, last)], -2)
    values = (
        (images > 0.25).float(),
        corners + torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]),  # kornia's corners count edges
        torch.cat([first, last + 1], -1),
        torch.cat([first, last + 1 - first], -1),
        DOTS,
    )
    mask, *rest = values
    return mask, *(value.expand(BATCH, *value.shape).clone() for value in rest), torch.arange(BATCH)


def _around(first, last):
    return ((first[:, 0], first[:, 1]), (last[:, 0], first[:, 1]), (last[:, 0], last[:, 1]), (first[:, 0], last[:, 1]))


def _found(images):
    return torch.stack([find_dots(image.permute(1, 2, 0)) for image in images]).float()


# What comes out -----------------------------------------------------------------------------------------------------


def test_p_0_moves_nothing(pool, exact, images):
    exact.calls = 0
    assert torch.equal(MotionAugment(pool, exact, p=0.0)(images), images)
    assert exact.calls == 0


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_dtype_shape_and_range_are_kept_and_the_input_is_not_modified(always, images, channels, dtype):
    given = images[:, :channels].to(dtype)
    before = given.clone()
    moved = always(given)
    assert (moved.shape, moved.dtype, moved.device) == (given.shape, given.dtype, given.device)
    assert torch.equal(given, before) and not torch.equal(moved, given)
    assert moved.min() >= 0 and moved.max() <= 1


@pytest.mark.parametrize("keepdim", [True, False])
def test_a_single_image_keeps_its_dimensions_if_asked_to(pool, exact, images, keepdim):
    moved = MotionAugment(pool, exact, p=1.0, keepdim=keepdim)(images[0])
    assert moved.shape == (images[0].shape if keepdim else images[:1].shape)


def test_an_empty_batch_stays_empty(always, images):
    assert always(images[:0]).shape == images[:0].shape


def test_gradients_flow_on_request(pool, exact, images):
    images.requires_grad_()
    MotionAugment(pool, exact, p=1.0, differentiable=True)(images).sum().backward()
    assert images.grad is not None and images.grad.abs().sum() > 0
    assert not MotionAugment(pool, exact, p=1.0)(images.detach()).requires_grad


# Labels agree with the picture --------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [1.0, 0.5])
def test_every_data_key_follows_its_picture(pool, exact, images, labels, p):
    torch.manual_seed(MIXED)
    augment = K.AugmentationSequential(MotionAugment(pool, exact, p=p), data_keys=KEYS)
    moved, mask, corners, xyxy, xywh, points, classes = augment(images, *labels)
    dots = _found(moved)
    assert torch.allclose(points, dots, atol=0.35)
    assert torch.allclose(_found(mask), dots, atol=0.6)
    assert torch.allclose((xyxy[..., :2] + xyxy[..., 2:] - 1) / 2, dots, atol=0.6)
    assert torch.allclose(xywh[..., :2] + (xywh[..., 2:] - 1) / 2, dots, atol=0.6)
    assert torch.allclose(corners.mean(-2) - 0.5, dots, atol=0.6)
    assert torch.equal(classes, labels[-1])
    still = (points == labels[-2]).flatten(1).all(1)
    assert still.sum() == {1.0: 0, 0.5: int((augment._params[0].data["batch_prob"] < 0.5).sum())}[p]
    if p < 1:
        assert 0 < still.sum() < BATCH


def test_labels_before_images_and_dictionaries_work(always, images, labels):
    augment = K.AugmentationSequential(always, data_keys=None)
    found = augment({"keypoints": labels[4], "mask": labels[0], "input": images, "name": "anna"})
    assert torch.allclose(found["keypoints"], _found(found["input"]), atol=0.35)
    assert torch.allclose(_found(found["mask"]), _found(found["input"]), atol=0.6)


def test_mask_values_are_not_mixed(always, images):
    mask = torch.randint(0, 5, (BATCH, 1, 48, 64)).float()
    _, moved = K.AugmentationSequential(always, data_keys=["input", "mask"])(images, mask)
    assert set(moved.unique().tolist()) <= set(range(5))


def test_a_list_of_masks_is_moved_each_by_its_own_image(always, images, labels):
    augment = K.AugmentationSequential(always, data_keys=["input", "mask"])
    _, masks = augment(images, [mask[:1] for mask in labels[0]])
    whole = augment(images, labels[0], params=augment._params)[1]
    assert all(torch.equal(mask.flatten(), row[:1].flatten()) for mask, row in zip(masks, whole, strict=True))


def test_other_augmentations_before_and_after_keep_labels_and_picture_together(always, images, labels):
    augment = K.AugmentationSequential(
        K.RandomHorizontalFlip(p=1.0), always, K.RandomVerticalFlip(p=1.0), data_keys=["input", "keypoints"]
    )
    moved, points = augment(images, labels[4])
    assert torch.allclose(points, _found(moved), atol=0.35)


def test_the_generator_runs_once_for_a_picture_and_all_its_labels(tiny_model, images, labels):
    model = exact_model(tiny_model)
    augment = K.AugmentationSequential(MotionAugment(shifting_pool(model), model, p=1.0), data_keys=KEYS)
    augment(images, *labels)
    assert model.calls == 1


def test_only_images_that_move_are_animated(tiny_model, images, monkeypatch):
    model = exact_model(tiny_model)
    seen = []
    encode = model.encode
    monkeypatch.setattr(model, "encode", lambda given, **options: seen.append(len(given)) or encode(given, **options))
    torch.manual_seed(MIXED)
    augment = MotionAugment(shifting_pool(model), model, p=0.5)
    augment(images)
    assert sum(seen) == int((augment._params["batch_prob"] > 0.5).sum()) < BATCH


def test_videos_and_nested_containers_keep_labels_and_picture_together(pool, exact, images, labels):
    inner = K.VideoSequential(MotionAugment(pool, exact, p=1.0), data_format="BTCHW", same_on_frame=True)
    augment = K.AugmentationSequential(inner, data_keys=["input", "keypoints"])
    frames, points = augment(images.unflatten(0, (2, 2)), labels[4].unflatten(0, (2, 2)))
    assert torch.allclose(points.flatten(0, 1), _found(frames.flatten(0, 1)), atol=0.35)
    assert torch.allclose(frames[:, 0], frames[:, 1], atol=1e-4) and not torch.equal(frames[0], frames[1])
    nested = K.AugmentationSequential(
        K.AugmentationSequential(MotionAugment(pool, exact, p=1.0), data_keys=["input", "keypoints"]),
        data_keys=["input", "keypoints"],
    )
    moved, points = nested(images, labels[4])
    assert torch.allclose(points, _found(moved), atol=0.35)


# Draws and replay ---------------------------------------------------------------------------------------------------


def test_each_image_of_a_batch_has_its_own_motion(always, images):
    moved = always(images)
    assert len({image.numpy().tobytes() for image in moved}) == BATCH


def test_same_on_batch_moves_all_alike(pool, exact, images):
    moved = MotionAugment(pool, exact, p=1.0, same_on_batch=True)(images)
    assert torch.allclose(moved, moved[:1].expand_as(moved), atol=1e-5)


def test_p_batch_0_moves_nothing(pool, exact, images):
    assert torch.equal(MotionAugment(pool, exact, p=1.0, p_batch=0.0)(images), images)


def test_draws_repeat_with_the_torch_seed_and_differ_between_calls(always, images):
    torch.manual_seed(5)
    first, second = always(images), always(images)
    torch.manual_seed(5)
    assert torch.equal(always(images), first) and not torch.equal(first, second)


@pytest.mark.parametrize("p", [1.0, 0.5])
def test_params_replay_the_same_pixels(pool, exact, images, p):
    augment = MotionAugment(pool, exact, p=p)
    moved = augment(images)
    params = copy.deepcopy(augment._params)
    augment(images)
    assert torch.equal(augment(images, params=params), moved)


def test_a_container_replays_pixels_and_labels_also_without_the_images(always, images, labels):
    augment = K.AugmentationSequential(always, data_keys=KEYS)
    found = augment(images, *labels)
    params = augment._params
    augment(images.flip(0), *labels)
    again = augment(images, *labels, params=params)
    assert all(torch.equal(one, other) for one, other in zip(found, again, strict=True))
    points = augment(labels[4], params=params, data_keys=["keypoints"])
    assert torch.equal(points, found[5])


def test_painted_points_are_not_visible_also_in_a_replay_without_images(pool, painting, images):
    augment = MotionAugment(pool, painting, p=1.0)
    augment(images)
    params = copy.deepcopy(augment._params)
    augment(images.flip(0))
    points = torch.tensor([PAINTED, SHOWN]).expand(BATCH, -1, -1)
    assert augment.visible_points(points, params).tolist() == [[False, True]] * BATCH
    assert params["occlusion"].shape[:2] == (BATCH, 1)


def test_parameters_without_occlusion_still_replay(always, images, labels):
    augment = K.AugmentationSequential(always, data_keys=KEYS)
    found = augment(images, *labels)
    params = copy.deepcopy(augment._params)
    for item in params:
        del item.data["occlusion"]
    assert all(
        torch.equal(one, other) for one, other in zip(found, augment(images, *labels, params=params), strict=True)
    )


def test_params_are_saved_and_loaded_by_torch(always, images):
    moved = always(images)
    file = io.BytesIO()
    torch.save(always._params, file)
    file.seek(0)
    assert torch.equal(always(images, params=torch.load(file, weights_only=True)), moved)


def test_labels_before_any_image_are_an_error(always, images, labels):
    params = always.forward_parameters(images.shape)
    with pytest.raises(ArgumentError, match="no image was moved with these parameters"):
        always.transform_masks(labels[0], params, always.flags)


def test_motion_params_describe_the_draws(pool, exact, images):
    torch.manual_seed(MIXED)
    augment = MotionAugment(pool, exact, p=0.5)
    augment(images)
    motions = augment.motion_params(augment._params)
    assert [motion.skipped for motion in motions] == (augment._params["batch_prob"] < 0.5).tolist()
    assert all(motion.clip in pool for motion in motions if not motion.skipped)


def test_inverse_is_an_error_that_says_why(always, images):
    always(images)
    with pytest.raises(
        NotImplementedError, match="cannot be inverted, because the hidden parts of a turned head are lost"
    ):
        always.inverse(images)
    augment = K.AugmentationSequential(always, data_keys=["input", "keypoints"])
    found = augment(images, DOTS.expand(BATCH, -1, -1))
    with pytest.raises(NotImplementedError, match="cannot be inverted"):
        augment.inverse(*found)


# The module ---------------------------------------------------------------------------------------------------------


def test_it_has_neither_parameters_nor_state(always):
    assert not list(always.parameters()) and not always.state_dict()


def test_a_pickled_module_continues_like_the_original(always, images):
    again = pickle.loads(pickle.dumps(always))
    torch.manual_seed(1)
    moved = always(images)
    torch.manual_seed(1)
    assert torch.equal(again(images), moved)


def test_its_repr_names_its_settings(always):
    assert "p=1.0" in repr(always) and "strength_range=(0.3, 1.0)" in repr(always)


def test_a_wrong_setting_is_reported(pool, exact):
    with pytest.raises(ArgumentError, match="did you mean 'diverse'"):
        MotionAugment(pool, exact, selection="divers")


def test_the_matrix_is_the_identity(always, images):
    always(images)
    assert torch.equal(always.transform_matrix, torch.eye(3).expand(BATCH, 3, 3))


@pytest.mark.gpu
def test_outputs_stay_on_the_device(pool, exact, images, labels):
    augment = K.AugmentationSequential(MotionAugment(pool, copy.deepcopy(exact), p=1.0), data_keys=KEYS).to("cuda")
    found = augment(images.cuda(), *(label.cuda() for label in labels))
    assert all(part.device.type == "cuda" for part in found)


def test_missing_points_remain_missing(always, images):
    nan = float("nan")
    points = torch.tensor([[20.0, 30.0], [nan, nan], [-1.0, -1.0]]).repeat(BATCH, 1, 1)
    _, moved = K.AugmentationSequential(always, data_keys=["input", "keypoints"])(images, points)
    torch.testing.assert_close(moved[:, 1:], points[:, 1:], rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(moved[:, 0], points[:, 0])
