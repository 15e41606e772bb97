"""`mirror_probability` of MotionAugment and the adapters: images and labels are mirrored together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from fomaug import Animator, DrivingPool, MotionAugment, MotionParams, warp
from fomaug.data.labels import move_points
from fomaug.errors import ArgumentError
from fomaug.integrations.engine import movement_of
from fomaug.labels import mirror_points

FIVE = torch.tensor([[[15.0, 16], [30, 17], [22, 24], [16, 32], [29, 33]]])
ORDER = [1, 0, 2, 4, 3]


@pytest.fixture
def images() -> torch.Tensor:
    rng = np.random.default_rng(0)
    small = torch.from_numpy(rng.uniform(0.1, 0.9, (4, 3, 6, 6)).astype(np.float32))
    return torch.nn.functional.interpolate(small, (48, 40), mode="bicubic").clamp(0, 1)


@pytest.fixture
def make(tiny_model: Animator, tiny_pool: DrivingPool) -> Any:
    return lambda share, **options: MotionAugment(tiny_pool, tiny_model, p=1.0, mirror_probability=share, **options)


def results(make: Any, images: torch.Tensor, share: float, **options: Any) -> Any:
    augment = make(share, **options)
    return augment.apply(images, augment.draw(range(len(images)), copies=2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_mirrored_results_are_those_of_the_same_draws_mirrored(
    make: Any, images: torch.Tensor, dtype: torch.dtype
) -> None:
    given = images if dtype.is_floating_point else (images * 255).round().to(dtype)
    plain, mirrored, some = (results(make, given, share) for share in (0.0, 1.0, 0.5))
    assert torch.equal(mirrored.image, plain.image.flip(3))
    assert torch.equal(mirrored.flow, plain.flow.flip(2))
    assert torch.equal(mirrored.occlusion, plain.occlusion.flip(3))
    chosen = torch.tensor([param.mirrored for param in some.params])
    assert 0 < chosen.sum() < len(chosen)
    assert torch.equal(some.image[chosen], mirrored.image[chosen])
    assert torch.equal(some.image[~chosen], plain.image[~chosen])


def test_a_draw_is_mirrored_by_key_and_replayed_from_json(make: Any, images: torch.Tensor) -> None:
    augment = make(0.5)
    first, alone = augment.draw(["a", "b", "c"], copies=3), augment.draw(["c"], copies=3)
    assert [param.mirrored for param in first[6:]] == [param.mirrored for param in alone]
    read = [MotionParams.from_dict(param.to_dict()) for param in first]
    assert read == first
    assert {param.mirrored for param in make(0.5).draw(range(40))} == {True, False}
    assert len({param.mirrored for param in make(0.5, selection="sequence").draw(["a"], copies=6)}) == 1


def test_skipped_images_and_further_faces_are_not_mirrored(
    tiny_model: Animator, tiny_pool: DrivingPool, images: torch.Tensor
) -> None:
    augment = MotionAugment(tiny_pool, tiny_model, p=0.0, mirror_probability=1.0)
    assert augment(images) is images
    assert not any(
        param.mirrored for param in MotionAugment(tiny_pool, tiny_model, mirror_probability=1).draw([1], face=1)
    )


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan"), "often"])
def test_it_is_a_probability(make: Any, value: Any) -> None:
    with pytest.raises(ArgumentError, match=r"mirror_probability must be a probability in \[0, 1\]"):
        make(value)


def test_arguments_of_a_module_hold_it(make: Any, tiny_model: Animator, tiny_pool: DrivingPool) -> None:
    values = make(0.25).to_dict()
    again = MotionAugment.from_dict(values, driving=tiny_pool, model=tiny_model)
    assert again.mirror_probability == values["mirror_probability"] == 0.25


def test_gradients_flow_through_mirrored_images(make: Any, images: torch.Tensor) -> None:
    given = images.clone().requires_grad_()
    augment = make(1.0, differentiable=True)
    augment.apply(given, augment.draw(range(4))).image.square().sum().backward()
    assert given.grad is not None and given.grad.abs().sum() > 0


def test_points_boxes_and_masks_follow_a_mirrored_flow(make: Any, images: torch.Tensor) -> None:
    plain, mirrored = (results(make, images, share) for share in (0.0, 1.0))
    xy = FIVE.expand(8, -1, -1)
    for occlusion in (False, True):
        (first, seen), (second, seen_mirrored) = (
            warp.points(xy, part.flow, occlusion=part.occlusion if occlusion else None, size=(48, 40))
            for part in (plain, mirrored)
        )
        torch.testing.assert_close(second[..., 0], 39 - first[..., 0], atol=1e-3, rtol=0)
        torch.testing.assert_close(second[..., 1], first[..., 1], atol=1e-3, rtol=0)
        assert torch.equal(seen, seen_mirrored)
    boxes = torch.tensor([[[8.0, 10, 30, 40]]]).expand(8, -1, -1)
    (first, _), (second, _) = (warp.boxes(boxes, part.flow, size=(48, 40)) for part in (plain, mirrored))
    torch.testing.assert_close(
        second,
        torch.stack([39 - first[..., 2], first[..., 1], 39 - first[..., 0], first[..., 3]], -1),
        atol=1e-3,
        rtol=0,
    )
    masks = torch.arange(48 * 40).view(1, 48, 40).expand(8, -1, -1)
    assert torch.equal(warp.mask(masks, mirrored.flow), warp.mask(masks, plain.flow).flip(2))


def test_left_and_right_of_landmarks_are_swapped_with_their_visibility(make: Any, images: torch.Tensor) -> None:
    plain, some = (results(make, images, share) for share in (0.0, 0.5))
    rows = torch.cat([FIVE, torch.tensor([1.0, 0, 1, 1, 1])[None, :, None]], -1).expand(8, -1, -1)
    first, second = (move_points(rows, movement_of(part)) for part in (plain, some))
    for one, other, param in zip(first, second, some.params, strict=True):
        if param.mirrored:
            wanted = mirror_points(one[:, :2].double().numpy(), 5, width=40)
            np.testing.assert_allclose(other[:, :2].numpy(), wanted, atol=1e-3)
            assert torch.equal(other[:, 2], one[ORDER, 2])
        else:
            assert torch.equal(one, other)


def test_points_in_another_number_keep_their_order(make: Any, images: torch.Tensor) -> None:
    plain, mirrored = (results(make, images, share) for share in (0.0, 1.0))
    (first, _), (second, _) = (movement_of(part).points(FIVE[:, :3].expand(8, -1, -1)) for part in (plain, mirrored))
    torch.testing.assert_close(second[..., 0], 39 - first[..., 0], atol=1e-3, rtol=0)


def test_albumentations_mirrors_pictures_and_keypoints(tiny_model: Animator, tiny_pool: DrivingPool) -> None:
    import albumentations as A

    from fomaug.integrations.albumentations import MotionAugment as Transform

    picture = np.random.default_rng(1).integers(0, 255, (48, 40, 3), np.uint8)
    found = []
    for share in (0.0, 1.0):
        transform = Transform(tiny_pool, tiny_model, mirror_probability=share, p=1.0)
        points = A.KeypointParams("xy", remove_invisible=False, label_fields=["names"])
        compose = A.Compose([transform], seed=3, keypoint_params=points)
        found.append(compose(image=picture, keypoints=FIVE[0].numpy(), names=list("lrnab")))
        assert transform.get_transform_init_args()["mirror_probability"] == share
    plain, mirrored = found
    np.testing.assert_array_equal(mirrored["image"], plain["image"][:, ::-1])
    wanted = mirror_points(np.asarray(plain["keypoints"], float), 5, width=40)
    np.testing.assert_allclose(mirrored["keypoints"], wanted, atol=1e-3)
    assert list(mirrored["names"]) == list("lrnab")


def test_torchvision_mirrors_pictures_and_keypoints(
    tiny_model: Animator, tiny_pool: DrivingPool, images: torch.Tensor
) -> None:
    pytest.importorskip("torchvision")
    from torchvision import tv_tensors

    from fomaug.integrations.torchvision import MotionAugment as Transform

    found = []
    for share in (0.0, 1.0):
        torch.manual_seed(5)
        transform = Transform(tiny_pool, tiny_model, p=1.0, mirror_probability=share)
        points = tv_tensors.KeyPoints(FIVE[0], canvas_size=(48, 40))
        found.append(transform(tv_tensors.Image(images[0]), points))
    (first, one), (second, two) = found
    assert torch.equal(second, first.flip(2))
    np.testing.assert_allclose(two.numpy(), mirror_points(one.double().numpy(), 5, width=40), atol=1e-3)


def test_kornia_mirrors_pictures_masks_and_keypoints(
    tiny_model: Animator, tiny_pool: DrivingPool, images: torch.Tensor
) -> None:
    pytest.importorskip("kornia")
    from kornia.augmentation import AugmentationSequential

    from fomaug.integrations.kornia import MotionAugment as Transform

    found = []
    for share in (0.0, 1.0):
        torch.manual_seed(5)
        transform = Transform(tiny_pool, tiny_model, p=1.0, mirror_probability=share)
        sequence = AugmentationSequential(transform, data_keys=["input", "mask", "keypoints"])
        found.append(sequence(images, images[:, :1], FIVE.expand(4, -1, -1)))
    (first, mask, one), (second, mirrored_mask, two) = found
    assert torch.equal(second, first.flip(3))
    assert torch.equal(mirrored_mask, mask.flip(3))
    np.testing.assert_allclose(two.numpy(), mirror_points(one.double().numpy(), 5, width=40), atol=1e-3)
