"""Labels that are missing: None, and points and boxes without coordinates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fomaug import MotionAugment
from fomaug.data import MotionDataset, MotionLoader
from fomaug.errors import ShapeError

NAN = float("nan")
POINTS = torch.tensor([[20.0, 30.0, 1.0], [NAN, NAN, 1.0], [-1.0, -1.0, 1.0]])


@pytest.fixture
def always(tiny_model, tiny_pool) -> MotionAugment:
    return MotionAugment(tiny_pool, tiny_model, p=1.0, seed=3)


def test_missing_points_remain_missing_and_are_not_visible(always, images):
    batch = {"image": images[:2], "points": POINTS.expand(2, 3, 3), "pairs": POINTS[:, :2].expand(2, 3, 2)}
    (found,) = MotionLoader([batch], always, points=["points", "pairs"])
    for moved, pairs in zip(found["points"], found["pairs"], strict=True):
        torch.testing.assert_close(moved[1:, :2], POINTS[1:, :2], equal_nan=True, rtol=0, atol=0)
        torch.testing.assert_close(pairs[1:], POINTS[1:, :2], equal_nan=True, rtol=0, atol=0)
        assert moved[1:, 2].tolist() == [0, 0]
        assert not torch.equal(moved[0, :2], POINTS[0, :2]), "others move"
    whole = torch.full((2, 4, 2), -1, dtype=torch.int64)
    (found,) = MotionLoader([{"image": images[:2], "points": whole}], always, points="points")
    assert torch.equal(found["points"], whole)


def test_padding_boxes_are_unchanged(always, images):
    boxes = torch.tensor([[5.0, 6, 50, 55, 1], [-1, -1, -1, -1, 1], [NAN, NAN, NAN, NAN, 1]]).expand(2, 3, 5)
    (found,) = MotionLoader([{"image": images[:2], "boxes": boxes}], always, boxes="boxes")
    torch.testing.assert_close(found["boxes"][:, 1:, :4], boxes[:, 1:, :4], equal_nan=True, rtol=0, atol=0)
    assert found["boxes"][:, 1:, 4].eq(0).all()


def test_a_label_of_none_remains_none(always, images):
    mask = torch.randint(0, 4, (64, 64))
    batch = {"image": images[:2], "mask": [mask, None], "boxes": None, "points": [None, POINTS]}
    (found,) = MotionLoader([batch], always, masks="mask", boxes="boxes", points="points")
    assert found["mask"][1] is None
    assert found["mask"][0].shape == mask.shape
    assert found["boxes"] is None
    assert found["points"][0] is None
    (both,) = MotionLoader([{"image": images[:1], "mask": mask[None]}], always, masks="mask")
    assert torch.equal(both["mask"][0], found["mask"][0])
    item = MotionDataset([{"image": images[0], "mask": None}], always, masks="mask")[0]
    assert item["mask"] is None


def test_none_instead_of_face_boxes_is_a_picture_without_a_face(always, images):
    boxes = torch.tensor([[5.0, 5, 60, 60]])
    (found,) = MotionLoader([{"image": images[:2], "boxes": [None, boxes]}], always, faces="boxes")
    assert torch.equal(found["image"][0], images[0])
    assert not torch.equal(found["image"][1], images[1])
    (found,) = MotionLoader([{"image": images[:2], "boxes": None}], always, faces="boxes")
    assert torch.equal(found["image"], images[:2])
    item = MotionDataset([{"image": images[0], "boxes": None}], always, faces="boxes")[0]
    assert torch.equal(item["image"], images[0])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([torch.zeros(64, 64), "mask.png"], "a label must be a tensor, .* got str"),
        ([[[1, 2], [3]], torch.zeros(64, 64)], "a label must be a tensor, .* give None for a picture without one"),
        (np.zeros((2, 64, 64)), "must be a tensor, or a list with the label of each picture, got ndarray"),
    ],
)
def test_labels_of_another_kind_are_an_error_with_a_remedy(always, images, labels, message):
    with pytest.raises(ShapeError, match=message):
        list(MotionLoader([{"image": images[:2], "mask": labels}], always, masks="mask"))
