"""Faces in larger images: what the contracts of `apply` say holds for them, too."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fomaug import load_model, warp
from fomaug.augment import MotionAugment
from fomaug.errors import ArgumentError, MediaError, ShapeError
from fomaug.faces import MovedFace, Square, face_square, put_back
from fomaug.geometry import identity_grid
from fomaug.media import read_picture
from fomaug.motion import MotionParams

SIZE = (96, 120)
LEFT, RIGHT = (10.0, 20.0, 40.0, 50.0), (70.0, 30.0, 100.0, 60.0)
BOXES = [[LEFT, RIGHT], [RIGHT], [LEFT]]


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def augment(tiny_model, tiny_pool) -> MotionAugment:
    return MotionAugment(tiny_pool, tiny_model, p=1.0, seed=3)


def square_of(box) -> Square:
    found = face_square(box, SIZE)
    assert found is not None
    return found


def outside(*boxes) -> torch.Tensor:
    mask = torch.ones(SIZE, dtype=torch.bool)
    for box in boxes:
        square_of(box).cut(mask)[:] = False
    return mask


def test_equals_cutting_out_animating_and_pasting(augment, images):
    params = augment.draw([*"abc"])
    result = augment.apply(images, params, faces=BOXES)
    square = square_of(RIGHT)
    alone = augment.apply(square.cut(images[[1]]), [params[1]])
    whole = put_back(images[[1]], [MovedFace(square, alone.image, alone.flow, alone.occlusion)])
    torch.testing.assert_close(result.image[[1]], whole, atol=1e-5, rtol=0)


def test_only_the_boxes_change_and_flow_is_the_identity_outside(augment, images):
    result = augment.apply(images, augment.draw([*"abc"]), faces=BOXES)
    grid = identity_grid(SIZE)
    for row, boxes in enumerate(BOXES):
        mask = outside(*boxes)
        assert torch.equal(result.image[row][:, mask], images[row][:, mask])
        assert not torch.equal(result.image[row], images[row])
        moved = (warp.image(grid.permute(2, 0, 1)[None], result.flow[[row]])[0].permute(1, 2, 0) - grid).abs().amax(-1)
        far = torch.nn.functional.max_pool2d(1 - mask[None].float(), 5, 1, 2)[0] == 0
        assert moved[far].max() < 1e-5
        assert moved[~mask].max() > 1e-3


def test_a_batch_equals_its_singles(augment, images):
    together = augment.apply(images, augment.draw([*"abc"], copies=2), faces=BOXES)
    for row, key in enumerate("abc"):
        alone = augment.apply(images[[row]], augment.draw([key], copies=2), faces=[BOXES[row]])
        rows = slice(2 * row, 2 * row + 2)
        # Sharp noise, through random networks: their rounding shows more than in pictures.
        torch.testing.assert_close(alone.image, together.image[rows], atol=1e-4, rtol=0)
        torch.testing.assert_close(alone.flow, together.flow[rows], atol=1e-5, rtol=0)
        torch.testing.assert_close(alone.occlusion, together.occlusion[rows], atol=1e-5, rtol=0)
        assert alone.params == together.params[rows]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16])
def test_settled_parameters_replay_the_same_pixels_without_the_boxes(augment, images, dtype):
    images = (images * 255).to(dtype) if dtype == torch.uint8 else images.to(dtype)
    first = augment.apply(images, augment.draw([*"abc"], copies=2), faces=BOXES)
    written = json.loads(json.dumps([param.to_dict() for param in first.params]))
    again = augment.apply(images, [MotionParams.from_dict(param) for param in written])
    assert first.image.dtype == dtype
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.flow, again.flow)
    assert first.params == again.params


def test_every_face_has_a_draw_of_its_own(augment, images):
    (param,) = augment.apply(images[:1], augment.draw([*"a"]), faces=BOXES[:1]).params
    first, second = param.faces
    assert (first.face, second.face) == (0, 1)
    assert (first.clip, first.frame, first.strength) != (second.clip, second.frame, second.strength)
    assert (first.box, second.box) == tuple(square_of(box).edges for box in BOXES[0])
    assert replace(second, box=None) == replace(augment.draw([*"a"], face=1)[0], reference=second.reference)


def test_the_first_face_moves_as_if_it_were_the_only_one(augment, images):
    params = augment.draw([*"a"], copies=3)
    alone = augment.apply(images[:1], params, faces=[[LEFT]]).params
    both = augment.apply(images[:1], params, faces=[[LEFT, RIGHT]]).params
    assert [replace(param, others=()) for param in both] == alone


def test_boxes_come_in_many_forms(augment, images):
    params = augment.draw([*"abc"])
    ragged = augment.apply(images, params, faces=BOXES)
    padded = torch.tensor([[LEFT, RIGHT], [RIGHT, (0, 0, 0, 0)], [LEFT, (0, 0, 0, 0)]])
    hidden = torch.tensor([[(*LEFT, 1), (*RIGHT, 1)], [(*RIGHT, 1), (*LEFT, 0)], [(*LEFT, 2), (*RIGHT, 0)]])
    arrays = [np.array(boxes) for boxes in BOXES]
    found = iter(BOXES)
    for faces in (padded, hidden, arrays, lambda picture: next(found)):
        assert torch.equal(augment.apply(images, params, faces=faces).image, ragged.image)
    one = augment.apply(images[1:], params[1:], faces=torch.tensor([RIGHT, LEFT]))
    torch.testing.assert_close(one.image, ragged.image[1:], atol=1e-4, rtol=0)


@pytest.mark.parametrize("value_range", [(0.0, 1.0), (-1.0, 1.0), None])
def test_a_detector_sees_the_picture_in_bytes(tiny_model, tiny_pool, images, value_range):
    seen = []

    def detect(picture):
        seen.append(picture)
        return [LEFT]

    augment = MotionAugment(tiny_pool, tiny_model, p=1.0, value_range=value_range or (0.0, 1.0))
    bytes_ = (images * 255).round().to(torch.uint8)
    given = bytes_ if value_range is None else bytes_ / 255 * (value_range[1] - value_range[0]) + value_range[0]
    augment(given, faces=detect)
    assert [picture.shape for picture in seen] == [(*SIZE, 3)] * 3
    np.testing.assert_array_equal(np.stack(seen), bytes_.permute(0, 2, 3, 1).numpy())


def test_images_without_a_face_follow_the_policy(tiny_model, tiny_pool, images):
    faces = [[LEFT], [], torch.zeros(1, 4)]
    for on_missing in ("copy", "skip"):
        augment = MotionAugment(tiny_pool, tiny_model, p=1.0, on_missing=on_missing)
        result = augment.apply(images, augment.draw([*"abc"]), faces=faces)
        assert [param.skipped for param in result.params] == [False, True, True]
        assert torch.equal(result.image[1:], images[1:])
        assert torch.equal(augment(images, [*"abc"], faces=faces), result.image)
        many, index = augment.multiply(images, 2, [*"abc"], faces=faces)
        assert index.tolist() == ([0, 0, 1, 1, 2, 2] if on_missing == "copy" else [0, 0])
        assert len(many) == len(index)
    strict = MotionAugment(tiny_pool, tiny_model, p=1.0, on_missing="error")
    with pytest.raises(MediaError, match="image 'b' has no face"):
        strict(images, [*"abc"], faces=faces)
    assert MotionAugment.from_dict(strict.to_dict(), driving=tiny_pool, model=tiny_model).on_missing == "error"


def test_images_that_do_not_move_are_neither_searched_nor_changed(tiny_model, tiny_pool, images):
    def detect(picture):
        raise AssertionError("looked")

    augment = MotionAugment(tiny_pool, tiny_model, p=0.0, on_missing="error")
    assert augment(images, faces=detect) is images


def test_labels_move_with_the_composed_flow(augment, images):
    """A dot on a dark image moves as the point and the mask on it do."""
    rows, columns = torch.meshgrid(*(torch.arange(length) for length in SIZE), indexing="ij")
    x, y = 85, 46
    params = augment.draw([*"a"])
    dot = torch.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 8.0).expand(1, 3, -1, -1).contiguous()
    result = augment.apply(dot, params, faces=[[RIGHT]])
    moved, _ = warp.points(torch.tensor([[[float(x), float(y)]]]), result.flow, size=SIZE)
    square = square_of(RIGHT)
    alone = augment.apply(square.cut(dot), params)
    corner = torch.tensor([square.left, square.top])
    inner, _ = warp.points(torch.tensor([[[float(x), float(y)]]]) - corner, alone.flow, size=square.size)
    torch.testing.assert_close(moved, inner + corner, atol=0.5, rtol=0)


def test_the_input_is_not_modified(augment, images):
    before = images.clone()
    augment(images, faces=BOXES)
    assert torch.equal(images, before)


def test_gradients_flow_inside_and_outside_of_the_box(tiny_model, tiny_pool, images):
    augment = MotionAugment(tiny_pool, tiny_model, p=1.0, differentiable=True)
    images.requires_grad_()
    augment(images, faces=[[LEFT]] * 3).sum().backward()
    mask = outside(LEFT)
    assert (images.grad[:, :, mask] == 1).all()
    assert (square_of(LEFT).cut(images.grad) != 0).any()


@pytest.mark.parametrize(
    ("faces", "error", "message"),
    [
        ([[LEFT]], ArgumentError, "boxes for 1 images, but there are 3 images"),
        ("detect", ArgumentError, "faces must be boxes, a detector or 'auto', got 'detect'"),
        ("auto", ArgumentError, "are not known points of the face, so it cannot find faces"),
        (torch.zeros(3, 2, 3), ShapeError, r"\(M, 4\)"),
    ],
)
def test_invalid_faces_are_refused(augment, images, faces, error, message):
    with pytest.raises(error, match=message):
        augment(images, faces=faces)


def test_boxes_of_another_image_are_refused(augment, images):
    (param,) = augment.apply(images[1:2], augment.draw([*"b"]), faces=[[RIGHT]]).params
    with pytest.raises(ArgumentError, match="give the image it was drawn for"):
        augment.apply(images[:1, :, :50, :50], [param])


def test_an_unknown_policy_is_refused(tiny_model, tiny_pool):
    with pytest.raises(ArgumentError, match="on_missing must be one of skip, copy, error"):
        MotionAugment(tiny_pool, tiny_model, on_missing="drop")


def test_a_surrounding_autocast_changes_nothing(augment, images):
    plain = augment.apply(images, augment.draw([*"abc"]), faces=BOXES)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = augment.apply(images, augment.draw([*"abc"]), faces=BOXES)
    assert torch.equal(plain.image, inside.image)
    assert torch.equal(plain.flow, inside.flow)


def test_no_gradients_flow_by_default(augment, images):
    images.requires_grad_()
    assert not augment(images, faces=BOXES).requires_grad


def test_the_shipped_model_finds_the_face_of_an_image():
    face = read_picture(Path(__file__).parents[2] / "examples/faces/mona_lisa/leonardo.jpg").pixels[::2, ::2]
    wall = np.full((400, 600, 3), 128, np.uint8)
    height, width = face.shape[:2]
    wall[100 : 100 + height, 250 : 250 + width] = face
    image = torch.from_numpy(wall).permute(2, 0, 1)[None]
    augment = MotionAugment(model=load_model("lite-256", device="cpu"), p=1.0, strength_range=(1.0, 1.0))
    result = augment.apply(image, augment.draw(["wall"]), faces="auto")
    left, top, right, bottom = result.params[0].box
    assert left < 250 + width / 2 < right
    assert top < 100 + height / 2 < bottom
    changed = (result.image != image).any(1)[0]
    assert changed[top:bottom, left:right].any()
    changed[top:bottom, left:right] = False
    assert not changed.any()
