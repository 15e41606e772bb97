"""Presets by purpose: ordinary options that stand in for those that are not given."""

from __future__ import annotations

import json
import pickle
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch

import fomaug
from fomaug import Animator, MotionAugment
from fomaug.cli.datasets import expand as command
from fomaug.driving import load_pool
from fomaug.errors import ArgumentError, ResumeError
from fomaug.expand import Expander, ExpandPlan
from fomaug.media import save_image
from fomaug.options import PRESETS, Purpose, preset_options, with_presets
from fomaug.study.arms import Defaults, make_arms

ALL = [field.name for field in fields(ExpandPlan)]


@pytest.mark.parametrize("purpose", get_args(Purpose))
def test_every_purpose_is_a_set_of_options_of_expand_with_its_evidence(purpose: Purpose) -> None:
    options = preset_options(purpose, [], ALL)
    assert options == dict(PRESETS[purpose].options)
    assert PRESETS[purpose].evidence.endswith(".")
    assert "TODO" not in PRESETS[purpose].evidence
    ExpandPlan("faces", "out", **options)


@with_presets("views", "labels")
def call(name: str, *, driving: str = "builtin", purpose: Purpose | None = None, **options: Any) -> dict[str, Any]:
    return {"name": name, "driving": driving, **options}


def test_options_that_are_given_win() -> None:
    views = PRESETS["recognition"].options["views"]
    assert call("a") == {"name": "a", "driving": "builtin"}
    assert call("a", purpose="recognition") == {"name": "a", "driving": "views", "views": views}
    assert call("a", purpose="recognition", driving="builtin") == {"name": "a", "driving": "builtin"}
    assert call("a", purpose="recognition", views="yaw=0") == {"name": "a", "driving": "views", "views": "yaw=0"}
    assert call("a", purpose="forgery", labels="drop")["labels"] == "drop"
    assert call("a", purpose="forgery", views="yaw=0")["driving"] == "views"


def test_an_unknown_purpose_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(ArgumentError, match=r"purpose.*recognition"):
        MotionAugment(purpose="recogniton")  # type: ignore[arg-type]


def test_the_module_uses_only_its_own_options(face_model: Animator) -> None:
    augment = MotionAugment(model=face_model, purpose="recognition", p=1.0)
    plain = MotionAugment(f"views {PRESETS['recognition'].options['views']}", face_model, p=1.0)
    assert augment.to_dict() == plain.to_dict()
    assert augment.draw(range(4)) == plain.draw(range(4))
    assert MotionAugment("parametric", face_model, purpose="recognition").to_dict()["driving"] == "parametric"
    assert pickle.loads(pickle.dumps(augment)).to_dict() == plain.to_dict()


def test_without_a_dataset_auto_stands_for_the_views_of_recognition(face_model: Animator) -> None:
    views = f"views {PRESETS['recognition'].options['views']}"
    for options in ({}, {"purpose": "auto"}, {"selection": "uniform", "seed": 2}, {"strength_range": [0.3, 1.0]}):
        assert MotionAugment(model=face_model, **options).to_dict()["driving"] == views
    assert Expander(purpose="auto", views="yaw=0").options == {"driving": "views", "views": "yaw=0"}
    assert Expander().plan.named_driving == Expander(purpose="auto").plan.named_driving == views
    assert MotionAugment("parametric", face_model, purpose="auto").to_dict()["driving"] == "parametric"


@pytest.mark.parametrize(
    "options",
    [
        {"region": "mouth"},
        {"selection": "sequence"},
        {"strength_range": (0.0, 0.5)},
        {"yaw_range": (-10.0, 10.0)},
        {"reference": "first"},
        {"relative": False},
    ],
)
def test_settings_of_the_motion_of_clips_need_the_builtin_pool(face_model: Animator, options: dict[str, Any]) -> None:
    assert MotionAugment(model=face_model, **options).to_dict()["driving"] == "builtin"
    assert Expander(**options).plan.named_driving == "builtin"


@pytest.mark.parametrize(
    "options", [{"labels": "from_clip"}, {"clip_weights": {"nod": 2.0}}, {"clip_labels": "a.csv"}, {"annotations": "a"}]
)
def test_annotations_and_labels_of_clips_need_the_builtin_pool(options: dict[str, Any]) -> None:
    assert ExpandPlan("faces", "out", **options).named_driving == "builtin"


def test_an_expander_resolves_its_purpose_once() -> None:
    made = Expander(purpose="recognition", copies=2)
    assert made.options == {"driving": "views", "views": PRESETS["recognition"].options["views"], "copies": 2}
    assert Expander(**json.loads(json.dumps(made.options))).options == made.options
    plain = Expander(purpose="recognition", driving="builtin")
    assert plain.options == {"driving": "builtin"}
    assert pickle.loads(pickle.dumps(plain)).plan.driving == "builtin"


def test_a_study_has_arms_by_purpose(face_model: Animator) -> None:
    defaults = Defaults("auto", seed=0, device="cpu", choose_views=lambda _: "views yaw=-30:30:15")
    named = {
        "mine": {"purpose": "recognition", "model": face_model},
        "copies": {"purpose": "auto", "model": face_model},
    }
    copies, mine = make_arms(named, defaults)[-2:]
    for arm, views in ((copies, "yaw=-30:30:15"), (mine, PRESETS["recognition"].options["views"])):
        assert arm.augment is not None
        assert arm.augment.driving.hash == load_pool(f"views {views}", face_model).hash
    assert copies.driving == "views yaw=-30:30:15 (purpose auto)"


@pytest.fixture
def faces(tmp_path: Path, rng: np.random.Generator) -> Path:
    for number in range(3):
        save_image(tmp_path / "faces" / "anna" / f"{number}.png", rng.integers(0, 256, (48, 48, 3), np.uint8))
    return tmp_path / "faces"


def summary(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "expand.json").read_text())
    return found


def test_the_summary_has_the_purpose_and_its_options(
    faces: Path, tmp_path: Path, face_model: Animator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fomaug.expand.resources.load_model", lambda *_, **__: face_model)
    args = [str(faces), str(tmp_path / "out"), "--purpose", "forgery", "--copies", "1", "--gates", "off"]
    assert command.main([*args, "--no-progress"], standalone_mode=False) == 0
    found = summary(tmp_path / "out")
    assert found["given"]["purpose"] == "forgery"
    assert found["settings"]["labels"] == {"*": "fake"}
    assert found["settings"]["strength_range"] == [0.3, 1.0]
    assert (tmp_path / "out" / "fake").is_dir()


def test_auto_chooses_views_by_the_dataset_and_keeps_them(
    faces: Path, tmp_path: Path, face_model: Animator, monkeypatch: pytest.MonkeyPatch
) -> None:
    poses = iter([torch.tensor([[yaw, 0.0, 0.0]]) for yaw in (-45.0, 45.0, 44.0)])
    monkeypatch.setattr("fomaug.driving.synthetic.views.head_pose", lambda *_: next(poses))
    options = {"purpose": "auto", "copies": 1, "gates": "off", "model": face_model}
    fomaug.expand(faces, tmp_path / "out", **options)
    assert summary(tmp_path / "out")["settings"]["views"] == "yaw=-50:50:25 pitch=-10,0,10"
    fomaug.expand(faces, tmp_path / "out", **options, resume=True)  # estimates no further pose
    with pytest.raises(ResumeError, match="views"):
        fomaug.expand(faces, tmp_path / "out", **options, views="yaw=0", resume=True)


@pytest.fixture
def quick(face_model: Animator) -> dict[str, Any]:
    return {"copies": 1, "gates": "off", "model": face_model}


def poses_of(monkeypatch: pytest.MonkeyPatch, yaw: float) -> None:
    monkeypatch.setattr("fomaug.driving.synthetic.views.head_pose", lambda *_: torch.tensor([[yaw, 0.0, 0.0]]))


def test_by_default_copies_have_the_views_of_their_dataset(
    faces: Path, tmp_path: Path, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    poses_of(monkeypatch, 45.0)
    fomaug.expand(faces, tmp_path / "out", **quick)
    found = summary(tmp_path / "out")
    assert (found["given"]["driving"], found["settings"]["views"]) == ("views", "yaw=-50:50:25 pitch=-10,0,10")
    poses_of(monkeypatch, 0.0)
    report = fomaug.expand(faces, tmp_path / "out", **quick, resume=True)  # estimates no further pose
    assert report.new == 0


@pytest.mark.parametrize("yaw", [float("nan"), 20.0])
def test_without_poses_and_for_parts_of_the_face_the_default_is_the_builtin_pool(
    faces: Path, tmp_path: Path, quick: dict[str, Any], monkeypatch: pytest.MonkeyPatch, yaw: float
) -> None:
    poses_of(monkeypatch, yaw)
    region = {} if np.isnan(yaw) else {"region": "head"}
    fomaug.expand(faces, tmp_path / "out", **quick, **region)
    assert summary(tmp_path / "out")["given"]["driving"] == "builtin"


def test_wrong_boxes_of_a_detector_are_an_error_before_the_job_begins(
    faces: Path, tmp_path: Path, quick: dict[str, Any]
) -> None:
    with pytest.raises(ArgumentError, match="box"):
        fomaug.expand(faces, tmp_path / "out", **quick, faces="detect", detector=lambda picture: [[1.0, 2.0]])
    assert not (tmp_path / "out").exists()


def test_views_without_driving_are_the_driving(faces: Path, tmp_path: Path, quick: dict[str, Any]) -> None:
    fomaug.expand(faces, tmp_path / "out", **quick, views="yaw=-10,10")
    found = summary(tmp_path / "out")
    assert (found["given"]["driving"], found["settings"]["views"]) == ("views", "yaw=-10,10")


def test_a_job_that_began_with_the_builtin_pool_keeps_it(faces: Path, tmp_path: Path, quick: dict[str, Any]) -> None:
    fomaug.expand(faces, tmp_path / "out", driving="builtin", **quick)
    assert fomaug.expand(faces, tmp_path / "out", **quick, resume=True).new == 0


def test_a_job_that_began_with_another_pool_needs_it(faces: Path, tmp_path: Path, quick: dict[str, Any]) -> None:
    fomaug.expand(faces, tmp_path / "out", driving="parametric", **quick)
    with pytest.raises(ResumeError, match="pool"):
        fomaug.expand(faces, tmp_path / "out", **quick, resume=True)


def test_a_dry_run_estimates_no_poses(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fomaug.expand.prepare.load_model", lambda *_, **__: pytest.fail("a model was loaded"))
    assert fomaug.expand(faces, tmp_path / "out", copies=2, dry_run=True).planned == 6
