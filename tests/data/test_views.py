"""Labels of views for trainers, from results and in the batches of a loader."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from fomaug import Animator, MotionAugment
from fomaug.data import EXPRESSION_FIELDS, MotionLoader, add_views, view_labels
from fomaug.driving import EXPRESSIONS
from fomaug.errors import ShapeError
from fomaug.faces import head_pose


@pytest.fixture(scope="module")
def augment(face_model: Animator) -> MotionAugment:
    return MotionAugment("views yaw=-20,20 pitch=0", face_model, p=0.6, seed=1)


@pytest.fixture
def images() -> torch.Tensor:
    small = torch.rand(6, 3, 6, 6)
    return torch.nn.functional.interpolate(small, (64, 64), mode="bicubic", align_corners=True).clamp(0, 1)


def test_images_and_parameters_must_be_equally_many(augment: MotionAugment, images: torch.Tensor) -> None:
    result = augment.apply(images, augment.draw(range(6)))
    with pytest.raises(ShapeError, match="each image needs its parameters; got 2 images and 6 parameters"):
        view_labels(augment, result.image[:2], result.params)


def test_labels_are_those_of_the_parameters_and_the_pictures(augment: MotionAugment, images: torch.Tensor) -> None:
    result = augment.apply(images, augment.draw(range(6)))
    labels = view_labels(augment, result.image, result.params)
    torch.testing.assert_close(labels["reached"], head_pose(augment.model.detect(result.image), augment.model))
    assert {param.skipped for param in result.params} == {True, False}
    for row, param in enumerate(result.params):
        if param.view is None:
            assert labels["asked"][row].isnan().all()
            assert labels["expression"][row].isnan().all()
            continue
        assert tuple(labels["asked"][row].tolist()) == param.view.asked
        torch.testing.assert_close(labels["taken"][row], torch.tensor(param.view.taken))
        values = dict(zip(EXPRESSION_FIELDS, labels["expression"][row].tolist(), strict=True))
        expected = {name: param.strength * share for name, share in EXPRESSIONS[param.view.expression].items()}
        assert {name: value for name, value in values.items() if value} == pytest.approx(expected)


def test_a_face_in_a_box_is_measured_in_its_box(augment: MotionAugment, images: torch.Tensor) -> None:
    result = augment.apply(images, augment.draw(range(6)), faces=torch.tensor([[[20.0, 20.0, 44.0, 44.0]]] * 6))
    labels = view_labels(augment, result.image, result.params)
    row = next(row for row, param in enumerate(result.params) if param.box is not None)
    left, top, right, bottom = result.params[row].box or (0, 0, 0, 0)
    face = result.image[row : row + 1, :, top:bottom, left:right]
    torch.testing.assert_close(labels["reached"][row], head_pose(augment.model.detect(face), augment.model)[0])


def test_views_of_faces_in_boxes_are_settled_and_replayed(augment: MotionAugment, images: torch.Tensor) -> None:
    always = MotionAugment(augment.driving, augment.model, p=1.0)
    boxes = torch.tensor([[[20.0, 20.0, 44.0, 44.0], [2.0, 2.0, 30.0, 30.0]]] * 6)
    result = always.apply(images, always.draw(range(6)), faces=boxes)
    views = [face.view for param in result.params for face in param.faces if face.view is not None]
    assert len(views) == 12
    assert all(view.settled for view in views)
    assert not view_labels(always, result.image, result.params)["taken"].isnan().any()
    again = always.apply(images, result.params)
    assert again.params == result.params
    torch.testing.assert_close(again.image, result.image, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["tuple", "dict"])
def test_a_loader_adds_them_to_its_batches(augment: MotionAugment, images: torch.Tensor, kind: str) -> None:
    if kind == "dict":
        loader = DataLoader([{"image": image} for image in images], batch_size=3)
    else:
        loader = DataLoader(TensorDataset(images, torch.arange(6)), batch_size=3)
    for batch in MotionLoader(loader, augment, relabel=add_views(augment)):
        labels = batch["view"] if kind == "dict" else batch[2]
        assert labels["reached"].shape == labels["asked"].shape == (3, 3)
        assert labels["expression"].shape == (3, len(EXPRESSION_FIELDS))
