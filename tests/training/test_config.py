from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import yaml

from fomaug.errors import ArgumentError
from fomaug.networks import OFFICIAL, ModelConfig
from fomaug.training import TrainConfig, read_config
from fomaug.training.config import LossWeights


def official(tiny_config: dict) -> dict:
    return {
        "dataset_params": {
            "root_dir": "data/vox",
            "frame_shape": [64, 64, 3],
            "id_sampling": True,
            "pairs_list": "data/vox256.csv",
            "augmentation_params": {
                "flip_param": {"horizontal_flip": True, "time_flip": True},
                "jitter_param": {"brightness": 0.1, "contrast": 0.1, "saturation": 0.1, "hue": 0.1},
            },
        },
        "model_params": {key: value for key, value in tiny_config.items() if key != "size"},
        "train_params": {
            "num_epochs": 5,
            "num_repeats": 75,
            "epoch_milestones": [3, 4],
            "lr_generator": 2.0e-4,
            "lr_discriminator": 2.0e-4,
            "lr_kp_detector": 2.0e-4,
            "batch_size": 4,
            "scales": [1, 0.5],
            "checkpoint_freq": 50,
            "transform_params": {"sigma_affine": 0.05, "sigma_tps": 0.005, "points_tps": 5},
            "loss_weights": {
                "generator_gan": 1,
                "discriminator_gan": 1,
                "feature_matching": [10, 10],
                "perceptual": [10, 10],
                "equivariance_value": 10,
                "equivariance_jacobian": 10,
            },
        },
        "visualizer_params": {"kp_size": 5},
    }


def test_the_official_layout_is_read(tmp_path: Path, tiny_config: dict) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(official(tiny_config)))
    config = read_config(path)
    assert config.model.size == 64
    assert config.id_sampling
    assert config.augment.hue == 0.1
    assert config.weights.perceptual == (10, 10)
    assert (config.num_epochs, config.num_repeats, config.epoch_milestones) == (5, 75, (3, 4))


@pytest.mark.parametrize(
    ("section", "key", "near"),
    [
        ("train_params", "num_epoch", "num_epochs"),
        ("train_params.loss_weights", "perceptul", "perceptual"),
        ("train_params.transform_params", "sigma_afine", "sigma_affine"),
        ("dataset_params", "id_samplings", "id_sampling"),
        ("dataset_params.augmentation_params", "flip_params", "flip_param"),
        ("dataset_params.augmentation_params.jitter_param", "brightnes", "brightness"),
        ("model_params", "common_param", "common_params"),
        ("model_params.common_params", "num_kps", "num_kp"),
        ("model_params.kp_detector_params", "temprature", "temperature"),
        ("model_params.generator_params", "num_down_block", "num_down_blocks"),
        ("model_params.generator_params.dense_motion_params", "kp_varianc", "kp_variance"),
        ("model_params.discriminator_params", "use_kps", "use_kp"),
    ],
)
def test_an_unknown_key_suggests_the_nearest(tiny_config: dict, section: str, key: str, near: str) -> None:
    values = copy.deepcopy(official(tiny_config))
    values["model_params"]["discriminator_params"] = {"sn": True}
    part = values
    for name in section.split("."):
        part = part[name]
    part[key] = 1
    with pytest.raises(ArgumentError, match=f"unknown key '{key}'; did you mean '{near}'"):
        TrainConfig.from_dict(values)


def test_a_misspelt_part_of_the_model_is_named(tiny_config: dict) -> None:
    values = copy.deepcopy(official(tiny_config))
    values["model_params"]["generator_param"] = values["model_params"].pop("generator_params")
    with pytest.raises(ArgumentError, match="unknown key 'generator_param'; did you mean 'generator_params'"):
        TrainConfig.from_dict(values)
    with pytest.raises(ArgumentError, match="lacks model_params; is 'model_param' meant for it"):
        ModelConfig.from_dict({"dataset_params": {}, "model_param": {}})


def test_parts_left_empty_are_their_defaults_and_other_things_are_named(tiny_config: dict) -> None:
    values = official(tiny_config)
    values["train_params"] |= {"loss_weights": None, "transform_params": None}
    values["dataset_params"]["augmentation_params"] = {"flip_param": None}
    config = TrainConfig.from_dict(values)
    assert config.weights == LossWeights()
    assert not config.augment.horizontal_flip
    with pytest.raises(ArgumentError, match="loss_weights must hold keys and values, got 3"):
        TrainConfig.from_dict({**values, "train_params": {"loss_weights": 3}})


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        ("common_params", "num_kp", "ten", "num_kp must be a whole number, got 'ten'"),
        ("common_params", "num_kp", 4.5, "num_kp must be a whole number, got 4.5"),
        ("common_params", "estimate_jacobian", 1, "estimate_jacobian must be true or false, got 1"),
        ("kp_detector_params", "temperature", "1e-1", "write 2.0e-4"),
    ],
)
def test_strings_and_booleans_instead_of_numbers_are_refused(
    tiny_config: dict, section: str, key: str, value: object, message: str
) -> None:
    values = copy.deepcopy(official(tiny_config))
    values["model_params"][section][key] = value
    with pytest.raises(ArgumentError, match=message):
        TrainConfig.from_dict(values)


def test_frames_that_are_not_square_are_refused(tiny_config: dict) -> None:
    values = official(tiny_config)
    values["dataset_params"]["frame_shape"] = [64, 48, 3]
    with pytest.raises(ArgumentError, match=r"frame_shape must be square, such as \[64, 64, 3\], got \[64, 48, 3\]"):
        TrainConfig.from_dict(values)


def test_an_unknown_section_and_loss_are_named(tiny_config: dict) -> None:
    with pytest.raises(ArgumentError, match="did you mean 'train_params'"):
        TrainConfig.from_dict({**official(tiny_config), "train_param": {}})
    values = official(tiny_config)
    values["train_params"]["loss_weights"]["perceptul"] = [1]
    with pytest.raises(ArgumentError, match="did you mean 'perceptual'"):
        TrainConfig.from_dict(values)


def test_official_names_and_missing_files() -> None:
    assert read_config("vox-256").model.common.num_kp == 10
    with pytest.raises(ArgumentError, match="neither a file nor one of"):
        read_config("nothing.yaml")


def test_the_example_configuration_is_one() -> None:
    config = read_config(Path(__file__).parents[2] / "examples" / "tiny.yaml")
    assert (config.model.size, config.model.common.num_kp) == (64, 10)
    assert config.augment.time_flip


def test_every_official_name_has_the_recipe_of_its_file() -> None:
    recipes = {name: read_config(name) for name in OFFICIAL}
    assert len(recipes) == 8
    assert [recipes[name].batch_size for name in ("vox-256", "vox-adv-256", "taichi-adv-256")] == [40, 36, 27]
    assert [name for name, recipe in recipes.items() if not recipe.weights.generator_gan] == ["vox-256", "taichi-256"]
    assert recipes["bair-256"].epoch_milestones == (12, 18)
    assert recipes["taichi-adv-256"].lr_kp_detector == 0
    assert recipes["mgif-256"].augment.zoom_range == (0.9, 1.1)
    assert all(recipe.augment.horizontal_flip and recipe.augment.time_flip for recipe in recipes.values())


def test_resized_and_cropped_pairs_are_read(tiny_config: dict) -> None:
    values = official(tiny_config)
    values["dataset_params"]["augmentation_params"] |= {
        "resize_param": {"ratio": [0.9, 1.1]},
        "crop_param": {"size": [64, 64]},
    }
    assert TrainConfig.from_dict(values).augment.zoom_range == (0.9, 1.1)


def test_json_is_read_as_json(tmp_path: Path, tiny_config: dict) -> None:
    values = official(tiny_config)
    values["train_params"]["lr_generator"] = 2e-5
    path = tmp_path / "tiny.json"
    path.write_text(json.dumps(values))  # 2e-05: a number in JSON, a word in YAML
    assert read_config(path).lr_generator == 2e-5
    path.write_text("{")
    with pytest.raises(ArgumentError, match=r"tiny\.json: it is not JSON"):
        read_config(path)


def test_endlessly_nested_files_are_refused(tmp_path: Path) -> None:
    for name in ("deep.yaml", "deep.json"):
        (tmp_path / name).write_text("[" * 60_000)
        with pytest.raises(ArgumentError, match=r"is not (a YAML file|JSON)|nested too deeply"):
            read_config(tmp_path / name)


@pytest.mark.parametrize("key", ["batch_size", "lr_generator", "scales", "ema"])
def test_a_value_that_unfolds_to_millions_is_shown_in_part(tiny_config: dict, key: str) -> None:
    bomb: list[object] = ["x"] * 9
    for _ in range(6):
        bomb = [bomb] * 9
    values = official(tiny_config)
    for section, name in (("train_params", key), ("model_params", "common_params")):
        with pytest.raises(ArgumentError) as caught:
            TrainConfig.from_dict(values | {section: values[section] | {name: bomb}})
        assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("batch_size", 0, "batch_size must be a whole number of 1 or more, got 0"),
        ("batch_size", "4", "got '4'"),
        ("num_epochs", 1.5, "num_epochs must be a whole number"),
        ("lr_generator", "2e-4", "write 2.0e-4"),
        ("lr_generator", -1, "lr_generator must be a number of 0 or more"),
        ("ema", 1, "ema must be at least 0 and less than 1"),
        ("scales", [2], "scales must be"),
    ],
)
def test_impossible_numbers_are_refused(tiny_config: dict, key: str, value: object, message: str) -> None:
    values = official(tiny_config)
    values["train_params"][key] = value
    with pytest.raises(ArgumentError, match=message):
        TrainConfig.from_dict(values)


def test_other_than_three_channels_are_refused(tiny_config: dict) -> None:
    values = official(tiny_config)
    values["model_params"] = {**values["model_params"], "common_params": {"num_kp": 4, "num_channels": 1}}
    with pytest.raises(ArgumentError, match="num_channels is 1"):
        TrainConfig.from_dict(values)


def test_a_value_that_is_refused_is_named_with_its_file(tiny_config: dict, tmp_path: Path) -> None:
    values = official(tiny_config)
    values["train_params"]["num_epochs"] = -1
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(values))
    with pytest.raises(ArgumentError, match=r"a\.yaml: .*num_epochs"):
        read_config(tmp_path / "a.yaml")
