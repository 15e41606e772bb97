from __future__ import annotations

import copy
import json
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from fomaug.augment import MotionAugment, arguments
from fomaug.errors import ArgumentError, PoolError, ShapeError


@pytest.fixture
def augment(tiny_model, tiny_pool) -> MotionAugment:
    return MotionAugment(tiny_pool, tiny_model, p=1.0, seed=3)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))


def test_forward_is_draw_then_apply(augment, images):
    result = augment.apply(images, augment.draw(["a", "b", "c", "d"]))
    assert torch.equal(augment(images, ["a", "b", "c", "d"]), result.image)


def test_images_without_keys_are_counted_so_batching_does_not_matter(augment, images):
    whole = augment(images)
    augment.set_epoch(0)
    parts = torch.cat([augment(images[:1]), augment(images[1:])])
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=0)
    assert torch.equal(whole, augment.apply(images, augment.draw(range(4))).image)


def test_every_batch_and_every_epoch_is_fresh(augment, images):
    first, second = augment(images), augment(images)
    augment.set_epoch(1)
    third = augment(images)
    assert not torch.equal(first, second)
    assert not torch.equal(first, third)


def test_evaluation_mode_returns_the_input(augment, images):
    assert augment.eval()(images) is images
    assert augment.train()(images) is not images


def test_a_net_around_it_switches_it_off(augment, images):
    net = nn.Sequential(augment, nn.Flatten())
    assert torch.equal(net.eval()(images), images.flatten(1))


def test_multiply_returns_copies_and_their_sources(augment, images):
    big, index = augment.multiply(images, 3)
    assert big.shape == (12, 3, 64, 64)
    assert index.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    expected = augment.apply(images, augment.draw(range(4), copies=3)).image
    assert torch.equal(big, expected)


def test_state_dict_holds_the_count_and_no_weights(augment, images):
    augment.set_epoch(2)
    augment(images)
    state = nn.Sequential(augment).state_dict()
    assert list(state) == ["0._extra_state"]
    again = nn.Sequential(MotionAugment(augment.driving, augment.model, p=1.0, seed=3))
    again.load_state_dict(state)
    assert torch.equal(again(images), augment(images))


def test_the_model_is_not_trained(augment):
    assert list(augment.parameters()) == []
    assert not any(module is augment.model for module in augment.modules())


def test_moves_with_its_model(augment):
    copied = copy.deepcopy(augment)
    assert copied.double().model.dtype == torch.float64
    assert augment.model.dtype == torch.float32


def test_pickles_with_a_given_model_and_pool(augment, images):
    again = pickle.loads(pickle.dumps(augment))
    assert torch.equal(again(images, range(4)), augment(images, range(4)))


@pytest.fixture
def named(augment, tmp_path, monkeypatch):
    """The same augmentation, its model and pool given by name; and how often the model was loaded."""
    loads = []
    monkeypatch.setattr(arguments, "load_model", lambda name, **_: loads.append(name) or copy.deepcopy(augment.model))
    augment.driving.save(tmp_path / "pool.safetensors")
    return MotionAugment(tmp_path / "pool.safetensors", "tiny", p=1.0, seed=3), loads


def test_name_resources_pickle_as_names_and_load_when_first_used(named, augment, images):
    by_name, loads = named
    data = pickle.dumps(by_name)
    assert len(data) < 5_000
    again = pickle.loads(data)
    assert loads == ["tiny"]
    assert torch.equal(again(images, range(4)), augment(images, range(4)))
    assert loads == ["tiny", "tiny"]


def test_survives_json_by_name(named, images):
    by_name, _ = named
    by_name.strength_range = (0.1, 0.2)
    again = MotionAugment.from_dict(json.loads(json.dumps(by_name.to_dict())))
    assert again.draw(range(4)) == by_name.draw(range(4))
    assert again.to_dict() == by_name.to_dict()


def test_survives_json_with_a_given_model_and_pool(augment):
    values = json.loads(json.dumps(augment.to_dict()))
    again = MotionAugment.from_dict(values, driving=augment.driving, model=augment.model)
    assert again.draw(range(4)) == augment.draw(range(4))


def test_from_dict_refuses_unknown_arguments(augment):
    tools = {"driving": augment.driving, "model": augment.model}
    with pytest.raises(ArgumentError, match=r"'strenght_range'.*did you mean 'strength_range'"):
        MotionAugment.from_dict({"strenght_range": [0, 1]}, **tools)
    with pytest.raises(PoolError, match="pass the pool"):
        MotionAugment.from_dict(augment.to_dict(), model=augment.model)
    with pytest.raises(PoolError, match="built with the pool"):
        MotionAugment.from_dict(augment.to_dict(), driving=augment.driving.select("nod"), model=augment.model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": [1]}, r"batch_size must be 1 or more, or None, got \(1,\)"),
        ({"value_range": 1}, "value_range must be .low, high."),
        ({"differentiable": "no"}, "differentiable must be True or False, got 'no'"),
        ({"driving": {"a": 1}}, "driving of MotionAugment must be a text"),
        ({"model_hash": [1, 2]}, "model_hash of MotionAugment must be a text"),
    ],
)
def test_from_dict_names_the_expected_type(augment, change, message):
    with pytest.raises(ArgumentError, match=message):
        MotionAugment.from_dict({**augment.to_dict(), **change}, driving=augment.driving, model=augment.model)


def test_from_dict_accepts_only_a_mapping(augment):
    with pytest.raises(ArgumentError, match="must be a mapping of their names, got None"):
        MotionAugment.from_dict(None, driving=augment.driving, model=augment.model)


def test_repr_shows_every_argument(augment):
    text = repr(augment)
    for name in ("p=1.0", "seed=3", "selection='diverse'", "strength_range=(0.3, 1.0)", "model='tiny'"):
        assert name in text


def test_arguments_are_attributes_and_may_change(augment, images):
    augment.p = 0.0
    assert augment(images) is images
    augment.p = 2.0
    with pytest.raises(ArgumentError, match="p must be a probability"):
        augment(images)


def test_a_pool_of_another_model_is_refused(tiny_model, tiny_pool):
    from fomaug.driving import DrivingPool

    other = DrivingPool(tiny_pool.tracks, "other", "0" * 64)
    with pytest.raises(PoolError, match="'other'"):
        MotionAugment(other, tiny_model)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"value_range": (1, 1)}, "must not be empty"),
        ({"batch_size": 0}, "batch_size must be 1 or more"),
        ({"p": 3}, "p must be"),
    ],
)
def test_wrong_arguments_are_errors_at_once(tiny_model, tiny_pool, argument, message):
    with pytest.raises(ArgumentError, match=message):
        MotionAugment(tiny_pool, tiny_model, **argument)


def test_keys_must_be_as_many_as_images(augment, images):
    with pytest.raises(ArgumentError, match="3 keys for 4 images"):
        augment(images, ["a", "b", "c"])


def test_an_empty_batch_stays_empty(augment):
    empty = torch.zeros(0, 3, 64, 64)
    assert augment(empty) is empty


def test_cuda_in_a_worker_names_the_class_to_use(augment, images, monkeypatch):
    monkeypatch.setattr(arguments, "get_worker_info", lambda: SimpleNamespace(seed=1))
    augment._resources._target = (torch.device("cuda:0"), torch.float32)
    with pytest.raises(ArgumentError, match="MotionLoader"):
        augment(images)


def test_an_enclosing_net_may_apply_a_function(augment):
    seen = []
    nn.Sequential(augment).apply(seen.append)
    assert augment in seen


def test_works_inside_a_compiled_step(augment, images):
    step = torch.compile(lambda x: augment(x, range(4)) * 2, backend="eager")
    assert torch.equal(step(images), augment(images, range(4)) * 2)


def test_works_inside_a_distributed_net(augment, images, tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/ranks", rank=0, world_size=1)
    try:
        check_distributed_step(augment, images)
    finally:
        torch.distributed.destroy_process_group()


def check_distributed_step(augment, images):
    # The net must be gone before the process group: as its last owner, it would wait for threads that need the GIL.
    head = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 2))
    net = nn.parallel.DistributedDataParallel(nn.Sequential(augment, head))
    net(images).sum().backward()
    assert head[1].weight.grad is not None
    assert len(list(net.parameters())) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_works_under_autocast_with_a_net_of_another_precision(augment, images, dtype):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        moved = augment(images.to(dtype), range(4))
        features = nn.Conv2d(3, 4, 3)(moved)
    assert (moved.dtype, features.dtype) == (dtype, torch.bfloat16)


@pytest.mark.parametrize("kind", ["array", "list", "picture", "none"])
@pytest.mark.parametrize("name", ["call", "apply", "multiply", "place"])
def test_other_types_than_tensors_are_errors_with_a_remedy(augment, images, kind, name):
    given = {
        "array": np.zeros((64, 64, 3), np.uint8),
        "list": [images[0], images[1]],
        "picture": Image.new("RGB", (64, 64)),
        "none": None,
    }[kind]
    calls = {
        "call": lambda: augment(given),
        "apply": lambda: augment.apply(given, augment.draw([1])),
        "multiply": lambda: augment.multiply(given, 2),
        "place": lambda: augment.place(given, augment.draw([1]), "auto"),
    }
    with pytest.raises(ShapeError, match=r"images must be a \(B, 3, H, W\) .* tensor, got .*; "):
        calls[name]()


@pytest.mark.parametrize("kind", ["rows", "one", "none"])
def test_parameters_are_a_list_of_motion_params(augment, images, kind):
    params = augment.draw(range(len(images)))
    given = {"rows": [param.to_dict() for param in params], "one": params[0], "none": None}[kind]
    for call in (augment.apply, lambda images, params: augment.place(images, params, [[]] * len(images))):
        with pytest.raises(ArgumentError, match=r"params must be a list of MotionParams, got .*from_dict reads"):
            call(images, given)


@pytest.mark.parametrize(
    ("shape", "message"),
    [((3, 8, 8), r"got \(3, 8, 8\); one picture is images\[None\]"), ((1, 3, 8, 0), "at least one pixel")],
)
def test_wrong_shapes_are_named_with_a_remedy(augment, shape, message):
    with pytest.raises(ShapeError, match=message):
        augment(torch.zeros(shape))


@pytest.mark.parametrize("driving", [None, "", " "])
def test_driving_is_not_empty(tiny_model, driving):
    with pytest.raises(PoolError, match=f"driving must be a pool, its name or its file, got {driving!r}"):
        MotionAugment(driving, tiny_model)


def test_a_folder_as_driving_is_an_error_that_names_the_command(tiny_model, tmp_path):
    with pytest.raises(PoolError, match="is a folder; make a pool of its clips first: fomaug pool build"):
        MotionAugment(tmp_path, tiny_model)
