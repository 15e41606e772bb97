from __future__ import annotations

import copy
import json
import pickle

import PIL.Image
import pytest
import torch
from exact_animator import DOTS, PAINTED, SHOWN, draw_dots, exact_model, find_dots, shifting_pool
from torch.utils.data import DataLoader, default_collate

tv_tensors = pytest.importorskip("torchvision.tv_tensors")

from torchvision.transforms import v2  # noqa: E402
from torchvision.transforms.v2 import functional as F  # noqa: E402

from fomaug.errors import ArgumentError, ShapeError  # noqa: E402
from fomaug.integrations.torchvision import MotionAugment  # noqa: E402
from fomaug.motion import MotionParams  # noqa: E402

SIZE = (48, 64)
BATCH = 4
UPRIGHT = ("XYXY", "XYWH", "CXCYWH")
TILTED = ("XYXYXYXY", "XYWHR", "CXCYWHR")


@pytest.fixture
def always(pool, exact):
    return MotionAugment(pool, exact, p=1.0)


@pytest.fixture
def image():
    return tv_tensors.Image(torch.from_numpy(draw_dots(SIZE)).permute(2, 0, 1))


@pytest.fixture
def images(image):
    return tv_tensors.Image(image.repeat(BATCH, 1, 1, 1))


def _boxes(kind):
    """Boxes of 7 x 7 pixels around the dots, in any format."""
    first, last = DOTS - 3, DOTS + 4
    if kind in UPRIGHT:
        values, old = torch.cat([first, last], -1), "XYXY"
    else:
        left, top, right, bottom = first[:, 0], first[:, 1], last[:, 0], last[:, 1]
        values = torch.stack([left, top, right, top, right, bottom, left, bottom], -1)
        old = "XYXYXYXY"
    values = F.convert_bounding_box_format(
        values,
        old_format=tv_tensors.BoundingBoxFormat[old],
        new_format=tv_tensors.BoundingBoxFormat[kind],
    )
    return tv_tensors.BoundingBoxes(values, format=kind, canvas_size=SIZE)


def _points(rows=()):
    return tv_tensors.KeyPoints(DOTS.expand(*rows, -1, -1).clone(), canvas_size=SIZE)


def _found(image):
    return find_dots(image.permute(1, 2, 0)).float()


# What comes out -----------------------------------------------------------------------------------------------------


def test_p_0_returns_the_input_itself(pool, exact, image):
    assert MotionAugment(pool, exact, p=0.0)(image) is image


@pytest.mark.parametrize("rows", [(), (1,), (3,), (2, 3)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16])
def test_kind_dtype_shape_and_range_are_kept_and_the_input_is_not_modified(always, image, rows, channels, dtype):
    given = image[:channels] if dtype is torch.uint8 else (image[:channels] / 255).to(dtype)
    given = tv_tensors.Image(given.expand(*rows, *given.shape).clone())
    before = given.clone()
    moved = always(given)
    assert isinstance(moved, tv_tensors.Image)
    assert (moved.shape, moved.dtype, moved.device) == (given.shape, given.dtype, given.device)
    assert torch.equal(given, before) and not torch.equal(moved, given)
    assert moved.min() >= 0 and moved.max() <= before.max()


def test_only_the_first_plain_tensor_is_an_image(always, image):
    plain = image.as_subclass(torch.Tensor)
    numbers = torch.arange(4)
    moved, same = always(plain, numbers)
    assert type(moved) is torch.Tensor and not torch.equal(moved, plain) and same is numbers


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pil_pictures_come_back_as_pil_pictures(always, image, mode):
    given = F.to_pil_image(image).convert(mode)
    before = given.copy()
    moved = always(given)
    assert isinstance(moved, PIL.Image.Image) and (moved.mode, moved.size) == (mode, given.size)
    assert given.tobytes() == before.tobytes() != moved.tobytes()


def test_structure_and_other_values_are_kept(always, image):
    sample = {"image": image, "rest": ("anna", 3, None), "box": _boxes("XYXY")}
    moved = always(sample)
    assert list(moved) == ["image", "rest", "box"] and moved["rest"] == ("anna", 3, None)


@pytest.mark.parametrize("value_range", [(-1.0, 1.0), (0.0, 255.0)])
def test_other_ranges_result_in_the_same_picture(pool, exact, image, value_range):
    low, high = value_range
    torch.manual_seed(0)
    wanted = MotionAugment(pool, exact, p=1.0)(image / 255)
    torch.manual_seed(0)
    moved = MotionAugment(pool, exact, p=1.0, value_range=value_range)(image / 255 * (high - low) + low)
    assert torch.allclose((moved - low) / (high - low), wanted, atol=1e-5)


# Labels agree with the picture --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", UPRIGHT + TILTED)
def test_labels_of_a_sample_follow_its_picture(always, image, kind):
    mask = tv_tensors.Mask((image > 60).to(torch.uint8))
    moved, target = always(image, {"boxes": _boxes(kind), "points": _points(), "mask": mask, "label": 3})
    dots = _found(moved)
    assert not torch.allclose(dots, DOTS, atol=1)
    assert torch.allclose(target["points"].as_subclass(torch.Tensor), dots, atol=0.35)
    assert torch.allclose(_found(target["mask"]), dots, atol=0.6)
    boxes = target["boxes"]
    assert (boxes.format.value, boxes.canvas_size, target["label"]) == (kind, SIZE, 3)
    assert torch.allclose(_middles(boxes), dots, atol=0.6)


def _middles(boxes):
    """Middles of boxes of any format, as pixel centres."""
    tilted = boxes.format.value in TILTED
    corners = F.convert_bounding_box_format(
        boxes.as_subclass(torch.Tensor),
        old_format=boxes.format,
        new_format=tv_tensors.BoundingBoxFormat["XYXYXYXY" if tilted else "XYXY"],
    )
    return corners.unflatten(-1, (-1, 2)).mean(-2) - 0.5


def test_each_image_of_a_batch_has_its_own_motion_and_labels(always, images):
    mask = tv_tensors.Mask((images > 60).to(torch.uint8))
    boxes = tv_tensors.BoundingBoxes(_boxes("XYXY")[:1].repeat(BATCH, 1), format="XYXY", canvas_size=SIZE)
    moved, mask, points, boxes = always(images, mask, _points((BATCH,)), boxes)
    dots = torch.stack([_found(image) for image in moved])
    assert len({image.numpy().tobytes() for image in moved}) == BATCH
    assert torch.allclose(points.as_subclass(torch.Tensor), dots, atol=0.35)
    assert torch.allclose(torch.stack([_found(row) for row in mask]), dots, atol=0.6)
    assert torch.allclose(_middles(boxes), dots[:, 0], atol=0.6)


def test_frames_of_a_video_move_alike(always, image):
    video = tv_tensors.Video(image.expand(2, 3, -1, -1, -1).clone())
    moved = always(video)
    assert isinstance(moved, tv_tensors.Video) and moved.shape == video.shape
    assert all(torch.allclose(clip.float(), clip[:1].float().expand_as(clip), atol=1) for clip in moved)
    assert not torch.equal(moved[0], moved[1])


def test_a_second_picture_gets_the_motion_of_the_first(always, image):
    other = tv_tensors.Image(image.flip(0))
    moved, second, points = always(image, other, _points())
    assert torch.allclose(_found(second).flip(0), _found(moved), atol=1.5)  # its own keypoints, the same motion
    assert torch.allclose(points.as_subclass(torch.Tensor), _found(moved), atol=0.35)


@pytest.mark.parametrize("shape", [SIZE, (1, *SIZE), (5, *SIZE)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_masks_keep_shape_dtype_and_values(always, image, shape, dtype):
    mask = tv_tensors.Mask((image[0] > 60).expand(shape).to(dtype))
    _, moved = always(image, mask)
    assert isinstance(moved, tv_tensors.Mask) and (moved.shape, moved.dtype) == (mask.shape, mask.dtype)
    assert set(moved.unique().tolist()) == set(mask.unique().tolist())


@pytest.mark.parametrize("dtype", [torch.int64, torch.float32])
def test_boxes_keep_their_dtype_and_stay_on_the_canvas(pool, exact, image, dtype):
    boxes = tv_tensors.BoundingBoxes(
        torch.tensor([[0, 0, 64, 48], [50, 40, 64, 48]], dtype=dtype), format="XYXY", canvas_size=SIZE
    )
    _, moved = MotionAugment(pool, exact, p=1.0, strength_range=(1.0, 1.0))(image, boxes)
    assert moved.dtype == dtype and moved.shape == boxes.shape
    assert moved.min() >= 0 and (moved[:, 2:].amax(0) <= torch.tensor([64, 48])).all()


def test_empty_boxes_and_points_remain_empty(always, image):
    boxes = tv_tensors.BoundingBoxes(torch.zeros(0, 4), format="XYWH", canvas_size=SIZE)
    points = tv_tensors.KeyPoints(torch.zeros(0, 2), canvas_size=SIZE)
    _, boxes, points = always(image, boxes, points)
    assert boxes.shape == (0, 4) and points.shape == (0, 2)


def test_the_generator_runs_once_for_a_picture_and_all_its_labels(tiny_model, image):
    model = exact_model(tiny_model)
    transform = MotionAugment(shifting_pool(model), model, p=1.0)
    transform(_points(), tv_tensors.Mask(image), image, _boxes("XYXY"), _boxes("XYWHR"))
    assert model.calls == 1


def test_labels_of_a_skipped_picture_are_untouched(pool, exact, image):
    given = (image, _points(), _boxes("CXCYWH"), tv_tensors.Mask(image))
    moved = MotionAugment(pool, exact, p=0.0)(*given)
    assert all(torch.equal(one, other) for one, other in zip(given, moved, strict=True))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_labels_of_skipped_pictures_in_a_batch_are_untouched(always, images, dtype):
    masks = tv_tensors.Mask((images[:, 0] > 60).to(dtype))
    motions = always.engine.draw([*"abcd"])
    motions[1] = motions[1].at_rest()
    moved = always.transform(masks, always.params_for(images, motions))
    assert moved.dtype == dtype
    assert [torch.equal(one, other) for one, other in zip(moved, masks, strict=True)] == [False, True, False, False]


def test_labels_that_do_not_say_whose_they_are_are_an_error(always, images):
    with pytest.raises(ShapeError, match="labels of 4 images must have one row for each"):
        always(images, _boxes("XYXY"))


def test_labels_without_a_picture_are_an_error(always):
    with pytest.raises(ArgumentError, match="found labels and no image"):
        always(_boxes("XYXY"))


def test_labels_of_the_images_of_a_batch_that_are_skipped_are_untouched(pool, exact, images):
    torch.manual_seed(0)
    points = _points((BATCH,))
    transform = MotionAugment(pool, exact, p=0.5)
    params = transform.make_params([images])
    moved = transform.transform(points, params)
    still = [motion.skipped for motion in params["motions"]]
    assert 0 < sum(still) < BATCH
    assert [torch.equal(one, other) for one, other in zip(points, moved, strict=True)] == still


@pytest.mark.parametrize("rows", [(), (BATCH,)])
def test_painted_points_are_not_visible(pool, painting, image, rows):
    transform = MotionAugment(pool, painting, p=1.0)
    params = transform.make_params([tv_tensors.Image(image.expand(*rows, -1, -1, -1))])
    points = tv_tensors.KeyPoints(torch.tensor([PAINTED, SHOWN]).expand(*rows, -1, -1).clone(), canvas_size=SIZE)
    visible = transform.visible_points(points, params)
    assert torch.equal(visible, torch.tensor([False, True]).expand(*rows, -1))


def test_points_of_a_picture_that_does_not_move_are_visible(pool, painting, image):
    transform = MotionAugment(pool, painting, p=0.0)
    assert transform.visible_points(_points(), transform.make_params([image])).all()


# Draws and replay ---------------------------------------------------------------------------------------------------


def test_draws_repeat_with_the_torch_seed_and_differ_between_calls(always, image):
    torch.manual_seed(5)
    first, second = always(image), always(image)
    torch.manual_seed(5)
    assert torch.equal(always(image), first) and not torch.equal(first, second)


def test_a_batch_draws_as_its_singles_do(always, image, images):
    torch.manual_seed(5)
    batch = always(images)
    torch.manual_seed(5)
    singles = torch.stack([always(image) for _ in range(BATCH)])
    assert torch.allclose(batch.float(), singles.float(), atol=1)


def test_parameters_replay_pixels_and_labels(always, image):
    params = always.make_params([image])
    again = copy.deepcopy(params)
    for item in (image, _points(), _boxes("XYXY")):
        assert torch.equal(always.transform(item, params), always.transform(item, again))
    assert [motion.to_dict() for motion in params["motions"]] == [motion.to_dict() for motion in again["motions"]]


def test_logged_motions_replay_the_same_pixels(always, images):
    params = always.make_params([images])
    logged = json.dumps([motion.to_dict() for motion in params["motions"]])
    motions = [MotionParams.from_dict(values) for values in json.loads(logged)]
    again = always.transform(images, always.params_for(images, motions))
    assert torch.equal(again, always.transform(images, params))


def test_gradients_flow_on_request(pool, exact, image):
    given = (image / 255).as_subclass(torch.Tensor).requires_grad_()
    MotionAugment(pool, exact, p=1.0, differentiable=True)(given).sum().backward()
    assert given.grad is not None and given.grad.abs().sum() > 0


def test_p_is_the_share_of_images_that_move(pool, exact):
    transform = MotionAugment(pool, exact, p=0.3)
    motions = transform.make_params([torch.zeros(2000, 3, 4, 4)])["motions"]
    assert 520 < sum(not motion.skipped for motion in motions) < 680  # 600 and four deviations


# Where it is used ---------------------------------------------------------------------------------------------------


def test_it_works_among_other_transforms(always, image):
    chain = v2.Compose([v2.RandomHorizontalFlip(p=1), always, v2.RandomVerticalFlip(p=1), v2.ToDtype(torch.float32)])
    moved, points = chain(image, _points())
    assert torch.allclose(points.as_subclass(torch.Tensor), _found(moved), atol=0.35)


def test_as_collate_fn_it_moves_each_sample_of_a_batch(always, image):
    samples = [(image, label) for label in range(BATCH)]
    loader = DataLoader(samples, batch_size=BATCH, collate_fn=lambda batch: always(default_collate(batch)))
    ((moved, labels),) = loader
    assert labels.tolist() == list(range(BATCH))
    assert len({picture.numpy().tobytes() for picture in moved}) == BATCH


def test_forked_workers_draw_differently_in_every_epoch(always, image):
    samples = [image.as_subclass(torch.Tensor)] * 8
    loader = DataLoader(
        samples, num_workers=2, collate_fn=lambda batch: always(batch[0]), multiprocessing_context="fork"
    )
    assert len({picture.numpy().tobytes() for _ in range(2) for picture in loader}) == 16


def test_a_pickled_transform_continues_like_the_original(always, image):
    again = pickle.loads(pickle.dumps(always))
    torch.manual_seed(1)
    moved = always(image)
    torch.manual_seed(1)
    assert torch.equal(again(image), moved)


def test_its_repr_names_its_settings_and_it_has_no_state(always):
    assert "p=1.0, strength_range=(0.3, 1.0)" in repr(always)
    assert not list(always.parameters()) and not always.state_dict()


def test_a_wrong_setting_is_reported(pool, exact):
    with pytest.raises(ArgumentError, match="did you mean 'diverse'"):
        MotionAugment(pool, exact, selection="divers")


@pytest.mark.parametrize("mode", ["P", "1", "RGBA", "CMYK"])
def test_pil_pictures_of_other_modes_are_an_error_with_a_remedy(always, mode):
    with pytest.raises(ShapeError, match=rf"must be RGB or L, got {mode}; use picture\.convert\('RGB'\)"):
        always(PIL.Image.new(mode, SIZE[::-1]))


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_deep_pil_pictures_are_not_to_be_converted_because_that_clips_them(always, mode):
    with pytest.raises(ShapeError, match=rf"must be RGB or L, got {mode}; scale its values to 0 to 255.*clips them"):
        always(PIL.Image.new(mode, SIZE[::-1]))


def test_missing_points_and_boxes_remain_missing(always, image):
    nan = float("nan")
    boxes = torch.tensor([[10.0, 10, 30, 40], [nan] * 4, [-1.0] * 4])
    given = [tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=SIZE)]
    if hasattr(tv_tensors, "KeyPoints"):
        given.append(tv_tensors.KeyPoints(torch.tensor([[20.0, 30], [nan, nan], [-1.0, -1]]), canvas_size=SIZE))
    _, *moved = always(image, *given)
    for before, after in zip(given, moved, strict=True):
        plain, found = before.as_subclass(torch.Tensor), after.as_subclass(torch.Tensor)
        torch.testing.assert_close(found[1:], plain[1:], rtol=0, atol=0, equal_nan=True)
        assert not torch.equal(found[0], plain[0])
