from __future__ import annotations

import copy
import json
import pickle

import albumentations as A
import numpy as np
import pytest
import torch
from exact_animator import DOTS, PAINTED, SHOWN, exact_model, find_dots, shifting_pool

from fomaug import DrivingPool, load_model, save_model
from fomaug.errors import ArgumentError, PoolError
from fomaug.integrations import engine as _engine
from fomaug.integrations.albumentations import MotionAugment
from fomaug.motion import MotionParams

CORNERS = np.array([[-3.0, -3.0, 4.0, 4.0]]) + np.tile(DOTS.numpy(), 2)  # edges of 7 x 7 pixels around the dots


@pytest.fixture
def always(pool, exact):
    return MotionAugment(pool, exact, p=1.0)


def _tensors(value):
    """Return every array and tensor inside plain containers."""
    if isinstance(value, dict):
        return [found for part in value.values() for found in _tensors(part)]
    if isinstance(value, (list, tuple)):
        return [found for part in value for found in _tensors(part)]
    return [value] if isinstance(value, (np.ndarray, torch.Tensor)) else []


# What comes out -----------------------------------------------------------------------------------------------------


def test_p_0_returns_the_input_itself(pool, exact, image):
    assert MotionAugment(pool, exact, p=0.0)(image=image)["image"] is image


@pytest.mark.parametrize("channels", [(3,), (1,), ()])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_dtype_shape_layout_and_range_are_kept_and_the_input_is_not_modified(always, image, channels, dtype):
    given = image if channels == (3,) else image[..., :1] if channels else image[..., 0]
    given = np.ascontiguousarray(given if dtype is np.uint8 else given.astype(np.float32) / 255)
    before = given.copy()
    moved = A.Compose([always], seed=0)(image=given)["image"]
    assert (moved.shape, moved.dtype, moved.flags.c_contiguous) == (given.shape, given.dtype, True)
    assert np.array_equal(given, before) and not np.array_equal(moved, given)
    assert moved.min() >= 0 and moved.max() <= before.max()


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.bool_])
def test_masks_keep_their_values_and_dtype(always, image, dtype):
    mask = (image[..., 0] > 127).astype(dtype)
    moved = A.Compose([always], seed=0)(image=image, mask=mask)["mask"]
    assert moved.dtype == mask.dtype and moved.shape == mask.shape
    assert set(np.unique(moved)) <= set(np.unique(mask))
    assert not np.array_equal(moved, mask)


# Labels agree with the picture --------------------------------------------------------------------------------------


def test_points_remain_on_their_content(always, dots):
    pipeline = A.Compose([always], seed=1, keypoint_params=A.KeypointParams("xy"))
    found = pipeline(image=dots, keypoints=DOTS.numpy())
    assert torch.allclose(torch.tensor(found["keypoints"]), find_dots(found["image"]).float(), atol=0.35)
    assert not torch.allclose(find_dots(found["image"]).float(), DOTS, atol=1)


def test_masks_cover_the_same_content(always, dots):
    found = A.Compose([always], seed=1)(image=dots, mask=(dots > 60).astype(np.uint8))
    assert np.allclose(find_dots(found["mask"]), find_dots(found["image"]), atol=0.6)


@pytest.mark.parametrize("kind", ["pascal_voc", "albumentations", "coco", "yolo"])
def test_boxes_of_every_format_surround_the_same_content(always, dots, kind):
    from albumentations.core.bbox_utils import convert_bboxes_from_albumentations, convert_bboxes_to_albumentations

    size = {"height": 48, "width": 64}
    unit = CORNERS / [64, 48, 64, 48]
    given = unit if kind == "albumentations" else convert_bboxes_from_albumentations(unit, kind, size)
    pipeline = A.Compose([always], seed=1, bbox_params=A.BboxParams(kind, label_fields=["names"]))
    found = pipeline(image=dots, bboxes=given, names=["a", "b", "c"])
    boxes = found["bboxes"]
    back = boxes if kind == "albumentations" else convert_bboxes_to_albumentations(boxes, kind, size)
    back = back * [64, 48, 64, 48]
    middles = (back[:, :2] + back[:, 2:] - 1) / 2
    assert list(found["names"]) == ["a", "b", "c"]
    assert np.allclose(middles, find_dots(found["image"]), atol=0.6)
    assert np.allclose(back[:, 2:] - back[:, :2], 7, atol=1.5)  # smaller by the zoom, larger by whole pixels


def test_points_and_boxes_keep_their_further_columns(always, dots):
    pipeline = A.Compose(
        [always],
        seed=1,
        keypoint_params=A.KeypointParams("xyas", label_fields=["who"]),
        bbox_params=A.BboxParams("pascal_voc"),
    )
    rows = np.concatenate([DOTS.numpy(), [[30.0, 2.0]] * 3], 1)
    found = pipeline(image=dots, keypoints=rows, who=[5, 6, 7], bboxes=[[*CORNERS[0], 9]])
    assert np.allclose(found["keypoints"][:, 2:], [[30.0, 2.0]] * 3)
    assert list(found["who"]) == [5, 6, 7] and found["bboxes"][0][4] == 9


@pytest.mark.parametrize("nothing", [[], np.zeros((0, 4))])
def test_pictures_may_have_no_objects(always, dots, nothing):
    boxes = A.Compose([always], bbox_params=A.BboxParams("coco", label_fields=["names"]))
    found = boxes(image=dots, bboxes=nothing, names=[])
    assert len(found["bboxes"]) == len(found["names"]) == 0
    points = A.Compose([always], keypoint_params=A.KeypointParams("xy"))
    assert len(points(image=dots, keypoints=nothing)["keypoints"]) == 0


def test_points_and_boxes_that_were_painted_over_are_dropped(pool, painting, dots):
    boxes = [[x - 4, y - 4, x + 4, y + 4] for x, y in (PAINTED, SHOWN)]
    pipeline = A.Compose(
        [MotionAugment(pool, painting, p=1.0)],
        seed=1,
        keypoint_params=A.KeypointParams("xy", label_fields=["names"]),
        bbox_params=A.BboxParams("pascal_voc", label_fields=["kinds"]),
    )
    found = pipeline(image=dots, keypoints=[PAINTED, SHOWN], names=["painted", "shown"], bboxes=boxes, kinds=[0, 1])
    assert list(found["names"]) == ["shown"]
    assert list(found["kinds"]) == [1]


def test_painted_points_that_are_kept_have_the_nearest_coordinates(pool, exact, painting, dots):
    params = A.KeypointParams("xy", remove_invisible=False)
    plain, painted = (
        A.Compose([MotionAugment(pool, model, p=1.0)], seed=1, keypoint_params=params)(image=dots, keypoints=[PAINTED])
        for model in (exact, painting)
    )
    assert np.allclose(plain["keypoints"], painted["keypoints"])


@pytest.mark.parametrize("drop", [True, False])
def test_points_that_leave_the_picture_are_dropped_if_albumentations_is_to_drop_them(pool, exact, dots, drop):
    corners = [(0.0, 0.0), (63.0, 0.0), (0.0, 47.0), (63.0, 47.0), (31.0, 23.0)]
    transform = MotionAugment(pool, exact, strength_range=(1.0, 1.0), p=1.0)
    params = A.KeypointParams("xy", remove_invisible=drop, label_fields=["names"])
    found = A.Compose([transform], seed=1, keypoint_params=params)(image=dots, keypoints=corners, names=[*"abcde"])
    names = list(found["names"])
    assert "e" in names and (1 < len(names) < 5 if drop else len(names) == 5)
    x, y = np.asarray(found["keypoints"]).T
    assert (x >= 0).all() and (x <= 63).all() and (y >= 0).all() and (y <= 47).all()


def test_a_box_that_leaves_the_picture_is_dropped(pool, exact, dots):
    boxes = [[0, 0, 1, 1], [63, 0, 64, 1], [0, 47, 1, 48], [63, 47, 64, 48], [20, 15, 40, 32]]
    transform = MotionAugment(pool, exact, strength_range=(1.0, 1.0), p=1.0)
    params = A.BboxParams("pascal_voc", label_fields=["names"])
    found = A.Compose([transform], seed=1, bbox_params=params)(image=dots, bboxes=boxes, names=[*"abcde"])
    assert "e" in found["names"] and 1 < len(found["names"]) < 5


def test_the_generator_runs_once_for_a_picture_and_all_its_labels_in_any_order(tiny_model, dots):
    model = exact_model(tiny_model)
    transform = MotionAugment(shifting_pool(model), model, p=1.0)
    pipeline = A.Compose([transform], bbox_params=A.BboxParams("pascal_voc"), keypoint_params=A.KeypointParams("xy"))
    found = pipeline(keypoints=DOTS.numpy(), bboxes=[[5, 6, 20, 30, 1]], masks=[dots] * 3, image=dots, mask=dots)
    assert model.calls == 1
    assert list(found) == ["keypoints", "bboxes", "masks", "image", "mask"]


def test_masks_are_returned_as_a_list(always, dots):
    found = A.Compose([always], seed=1)(image=dots, masks=[dots[..., 0], dots[..., 1]])
    alone = A.Compose([always], seed=1)(image=dots, mask=dots[..., 1])
    assert isinstance(found["masks"], list) and np.array_equal(found["masks"][1], alone["mask"])


def test_further_image_targets_get_the_same_motion_and_mask_targets_the_same_flow(always, dots, image):
    targets = {"second": "image", "depth": "mask"}
    found = A.Compose([always], seed=1, additional_targets=targets)(image=dots, second=image, depth=dots[..., 0])
    alone = A.Compose([always], seed=1)(image=image)
    assert np.array_equal(found["second"], alone["image"])
    assert np.allclose(find_dots(np.dstack([found["depth"]] * 3))[0], find_dots(found["image"])[0], atol=0.6)


def test_images_all_have_the_motion_of_one_draw(always, dots, image):
    found = A.Compose([always], seed=1)(images=np.stack([dots, image]), mask=dots)
    for row, picture in enumerate((dots, image)):
        alone = A.Compose([always], seed=1)(image=picture)["image"]
        assert np.allclose(found["images"][row], alone, atol=1)  # a batch is rounded differently from a single image
    assert np.allclose(find_dots(found["mask"]), find_dots(found["images"][0]), atol=0.6)


# Draws --------------------------------------------------------------------------------------------------------------


def test_the_same_compose_seed_makes_the_same_pictures(always, image):
    first, second = (A.Compose([copy.deepcopy(always)], seed=5) for _ in range(2))
    for _ in range(4):
        assert np.array_equal(first(image=image)["image"], second(image=image)["image"])


def test_calls_and_seeds_have_different_draws(always, image):
    keys = set()
    for seed in (0, 1, None, None):
        pipeline = A.Compose([copy.deepcopy(always)], seed=seed, save_applied_params=True)
        keys |= {pipeline(image=image)["applied_transforms"][0][1]["motion"]["key"] for _ in range(8)}
    assert len(keys) == 32


def test_p_is_the_share_of_pictures_that_move(pool, exact):
    transform = MotionAugment(pool, exact, p=0.3)
    transform.set_random_seed(0)
    moved = sum(transform.should_apply() for _ in range(2000))
    assert 520 < moved < 680  # 600 and four deviations


def test_one_of_applies_it_whatever_its_p(pool, exact, image):
    pipeline = A.Compose([A.OneOf([MotionAugment(pool, exact, p=0.01)], p=1.0)], seed=0)
    assert not np.array_equal(pipeline(image=image)["image"], image)


def test_a_label_of_the_draw_is_in_the_applied_params(always, image, pool):
    found = A.Compose([always], seed=0, save_applied_params=True)(image=image)
    ((name, params),) = found["applied_transforms"]
    motion = MotionParams.from_dict(params["motion"])
    assert name == "MotionAugment" and motion.clip in pool and 0.3 <= motion.strength <= 1


# Replay and serialisation -------------------------------------------------------------------------------------------


def test_replay_makes_the_same_pixels_and_labels(always, dots):
    pipeline = A.ReplayCompose([always, A.HorizontalFlip(p=1)], keypoint_params=A.KeypointParams("xy"))
    found = pipeline(image=dots, mask=dots, keypoints=DOTS.numpy())
    written = json.loads(json.dumps(found["replay"]))
    again = A.ReplayCompose.replay(written, image=dots, mask=dots, keypoints=DOTS.numpy())
    assert np.array_equal(again["image"], found["image"]) and np.array_equal(again["mask"], found["mask"])
    assert np.allclose(again["keypoints"], found["keypoints"])


def test_replay_moves_another_picture_of_another_size(always, dots, image):
    written = A.ReplayCompose([always])(image=image)["replay"]
    small = np.ascontiguousarray(dots[:40, :50])
    found = A.ReplayCompose.replay(written, image=small, mask=small)
    assert np.allclose(find_dots(found["mask"]), find_dots(found["image"]), atol=0.6)


def test_replay_of_an_untouched_picture_leaves_it_untouched(pool, exact, image):
    written = A.ReplayCompose([MotionAugment(pool, exact, p=0.0)])(image=image)["replay"]
    assert np.array_equal(A.ReplayCompose.replay(written, image=image)["image"], image)


def test_replay_parameters_are_small_and_plain(always, dots):
    found = A.ReplayCompose([always])(image=dots, mask=dots)
    assert not _tensors(found["replay"])
    assert len(json.dumps(found["replay"])) < 2500


def test_labels_alone_cannot_be_replayed(always, dots):
    written = A.ReplayCompose([always])(image=dots)["replay"]
    with pytest.raises(ArgumentError, match=r"labels move with their picture; pass image=.*'mask'"):
        A.ReplayCompose.replay(written, mask=dots)


def test_no_state_is_kept_between_calls(always, dots):
    pipeline = A.Compose([always], seed=0, keypoint_params=A.KeypointParams("xy"))
    sizes = []
    for _ in range(3):
        pipeline(image=dots, mask=dots, keypoints=DOTS.numpy())
        sizes.append(len(pickle.dumps(pipeline)))
        assert not _tensors(pipeline.transforms[0].params)
    assert sizes[1] == pytest.approx(sizes[2], abs=64)


def test_a_pipeline_of_objects_is_written_by_hash_and_read_again(always, image):
    written = json.loads(json.dumps(A.to_dict(A.Compose([always]))))
    first, second = A.Compose([always], seed=3), A.from_dict(written)
    second.set_random_seed(3)
    assert np.array_equal(first(image=image)["image"], second(image=image)["image"])


def test_a_pipeline_of_files_is_written_by_path_and_read_again(tmp_path, tiny_model, tiny_pool, image):
    paths = str(tmp_path / "pool.safetensors"), str(tmp_path / "model.safetensors")
    save_model(tiny_model, paths[1])
    loaded = load_model(paths[1])
    DrivingPool(tiny_pool.tracks, loaded.name, loaded.hash).save(paths[0])
    pipeline = A.Compose([MotionAugment(*paths, p=1.0, strength_range=(0.5, 0.5), region="all")], seed=3)
    written = json.loads(json.dumps(A.to_dict(pipeline)))
    values = written["transform"]["transforms"][0]
    assert (values["driving"], values["model"], values["strength_range"]) == (*paths, [0.5, 0.5])
    again = A.from_dict(written)
    again.set_random_seed(3)
    assert np.array_equal(again(image=image)["image"], pipeline(image=image)["image"])
    assert again.transforms[0].engine.model is pipeline.transforms[0].engine.model


def test_a_replay_of_files_works_where_nothing_is_loaded_yet(tmp_path, tiny_model, tiny_pool, image):
    paths = str(tmp_path / "pool.safetensors"), str(tmp_path / "model.safetensors")
    save_model(tiny_model, paths[1])
    loaded = load_model(paths[1])
    DrivingPool(tiny_pool.tracks, loaded.name, loaded.hash).save(paths[0])
    found = A.ReplayCompose([MotionAugment(*paths, p=1.0)])(image=image)
    _engine._load_model.cache_clear()
    _engine._load_pool.cache_clear()
    again = A.ReplayCompose.replay(json.loads(json.dumps(found["replay"])), image=image)
    assert np.array_equal(again["image"], found["image"])


def test_an_object_of_another_process_is_an_error_that_suggests_a_file(always):
    written = A.to_dict(A.Compose([always]))
    written["transform"]["transforms"][0]["driving"] = "sha256:" + "0" * 64
    with pytest.raises(ArgumentError, match=r"driving pool sha256:000000000000 .* save it to a file"):
        A.from_dict(written)


def test_a_pickled_pipeline_continues_like_the_original(always, image):
    pipeline = A.Compose([always], seed=4)
    again = pickle.loads(pickle.dumps(pipeline))
    assert np.array_equal(again(image=image)["image"], pipeline(image=image)["image"])


# Arguments ----------------------------------------------------------------------------------------------------------


def test_an_unknown_argument_is_reported_as_albumentations_does(pool, exact):
    with pytest.warns(UserWarning, match="'strenght_range' are not valid for transform MotionAugment"):
        MotionAugment(pool, exact, strenght_range=(0, 1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"p": 1.5}, "less than or equal to 1"),
        ({"selection": "divers"}, "did you mean 'diverse'"),
        ({"strength_range": (1.0, 0.5)}, "low <= high"),
        ({"region": "ears"}, "region must be one of"),
        ({"device": 3}, "device"),
    ],
)
def test_wrong_values_are_reported(pool, exact, wrong, message):
    with pytest.raises(ValueError, match=message):
        MotionAugment(pool, exact, **wrong)


def test_a_pool_of_another_model_is_refused(tiny_model, pool):
    other = exact_model(tiny_model)
    other.hash = "f" * 64
    with pytest.raises(PoolError, match="each model has its own keypoints"):
        MotionAugment(pool, other)


def test_its_repr_names_all_arguments(always):
    shown = repr(A.Compose([always]))
    assert "strength_range=(0.3, 1.0)" in shown and f"driving='sha256:{always.driving.hash}'" in shown


def test_missing_points_remain_missing(always, image):
    points = np.array([[20.0, 30.0], [np.nan, np.nan], [-1.0, -1.0]], np.float32)
    kept = A.KeypointParams("xy", remove_invisible=False)
    moved = A.Compose([always], keypoint_params=kept, seed=0)(image=image, keypoints=points)["keypoints"]
    np.testing.assert_array_equal(moved[1:], points[1:])
    assert not np.array_equal(moved[0], points[0])
    dropping = A.Compose([always], keypoint_params=A.KeypointParams("xy"), seed=0)
    assert len(dropping(image=image, keypoints=points[:2])["keypoints"]) == 1
