"""Arms that mix their copies into the batches in ways of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fomaug
from fomaug import Animator, DrivingPool, MotionAugment
from fomaug.errors import ArgumentError, PoolError, ResumeError
from fomaug.study import StudyPlan, arms, run
from fomaug.study.arms import Defaults, Mixture, degrade, read_mixture

Write = Callable[..., Path]

QUICK = {"choices": 2, "seeds": 1, "steps": 6, "batch_size": 8, "copies": 2, "size": 16, "gates": "off"}


def defaults() -> Defaults:
    return Defaults("landmarks", seed=0, device="cpu", choose_views=lambda _: "views yaw=0")


def test_a_share_may_follow_a_schedule() -> None:
    mixture = read_mixture({"share": [[0, 0.5], [0.8, 0]]})
    assert [mixture.share_at(progress, StudyPlan()) for progress in (0.0, 0.79, 0.8, 0.99)] == [0.5, 0.5, 0, 0]
    assert Mixture().share_at(0.5, StudyPlan(share=0.3)) == 0.3
    assert Mixture(share=0.25).share_at(0.5, StudyPlan()) == 0.25


def test_easy_copies_come_first() -> None:
    assert [round(Mixture(order="easy").window(progress), 2) for progress in (0.0, 0.3, 0.6, 1.0)] == [0.25, 0.62, 1, 1]
    assert Mixture().window(0.0) == 1.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"share": 1.5}, "share of an arm"),
        ({"share": [[0.2, 0.5]]}, "growing begins from 0"),
        ({"share": [0, 0.5]}, "growing begins from 0"),
        ({"copies": 0}, "copies of an arm"),
        ({"gates": "maybe"}, "gates"),
        ({"order": "hard"}, "order"),
        ({"degrade": 2}, "degrade"),
    ],
)
def test_wrong_settings_name_their_arm(
    tiny_model: Animator, tiny_pool: DrivingPool, values: dict[str, Any], message: str
) -> None:
    plain = {"driving": tiny_pool, "model": tiny_model}
    with pytest.raises(ArgumentError, match=f"arm 'mine'.*{message}"):
        arms.make_arms({"copies": plain, "mine": {**plain, **values}}, defaults())


def test_a_model_without_named_keypoints_cannot_have_chosen_views(tiny_model: Animator) -> None:
    def choose(_: Animator) -> str:
        raise PoolError("the keypoints have no names")

    chosen = {"copies": {"purpose": "auto", "model": tiny_model}}
    with pytest.raises(
        PoolError, match=r"arm 'copies': the keypoints have no names; give another purpose, or the pool"
    ):
        arms.make_arms(chosen, Defaults("auto", seed=0, device="cpu", choose_views=choose))


@pytest.mark.parametrize("channels", [1, 3])
def test_degraded_images_are_coarser_and_the_others_are_the_same(channels: int) -> None:
    images = (torch.rand(40, channels, 32, 32) * 255).to(torch.uint8)
    found = degrade(images, 0.5, np.random.default_rng(0))
    changed = [not torch.equal(*pair) for pair in zip(found, images, strict=True)]
    assert 8 < sum(changed) < 32
    for new, old in zip(found[changed].float(), images[changed].float(), strict=True):
        assert new.diff(dim=-1).abs().mean() < 0.8 * old.diff(dim=-1).abs().mean()
    assert torch.equal(degrade(images, 0.0, np.random.default_rng(0)), images)


def pool_options(tiny_model: Animator, tiny_pool: DrivingPool, **values: Any) -> dict[str, Any]:
    return {"driving": tiny_pool, "model": tiny_model, **values}


def test_arms_with_equal_copies_share_them(
    tmp_path: Path,
    write_classes: Write,
    tiny_model: Animator,
    tiny_pool: DrivingPool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []
    original = run.make_copies

    def counted(*args: Any, **kwargs: Any) -> Any:
        made.append(kwargs["copies"])
        return original(*args, **kwargs)

    monkeypatch.setattr(run, "make_copies", counted)
    named = {
        "copies": pool_options(tiny_model, tiny_pool),
        "few": pool_options(tiny_model, tiny_pool, share=0.25),
        "late": pool_options(tiny_model, tiny_pool, share=[[0, 0.5], [0.5, 0]], order="easy", degrade=0.5),
        "many": pool_options(tiny_model, tiny_pool, copies=3),
    }
    result = fomaug.study(write_classes(tmp_path / "data"), tmp_path / "out", arms=named, **QUICK)
    assert made == [2, 3] * 2
    scores = {arm.name: arm for arm in result.arms}
    assert scores["few"].copies == scores["late"].copies == 8
    assert scores["many"].copies == 12
    settings = json.loads((tmp_path / "out" / "settings.json").read_text())["arms"]
    assert settings["late"]["share"] == [[0, 0.5], [0.5, 0]]
    assert "share" not in settings["copies"]


def test_a_share_of_none_is_the_classic_arm(
    tmp_path: Path, write_classes: Write, tiny_model: Animator, tiny_pool: DrivingPool
) -> None:
    named = {
        "copies": pool_options(tiny_model, tiny_pool),
        "no": pool_options(tiny_model, tiny_pool, share=[[0, 0.0]]),
    }
    result = fomaug.study(write_classes(tmp_path / "data", noise=120.0), tmp_path / "out", arms=named, **QUICK)
    gains = {arm.name: arm.gain for arm in result.arms}
    assert gains["no"] is not None
    assert gains["copies"] is not None
    assert (gains["no"].low, gains["no"].high) == (0, 0)
    assert gains["copies"].error > 0


def test_arms_can_be_added_to_a_finished_study(
    tmp_path: Path, write_classes: Write, still: MotionAugment, tiny_model: Animator, tiny_pool: DrivingPool
) -> None:
    data, out = write_classes(tmp_path / "data"), tmp_path / "out"
    first = fomaug.study(data, out, arms={"copies": still}, **QUICK)
    lines = (out / "runs.jsonl").read_text().splitlines()
    both = {"copies": still, "more": pool_options(tiny_model, tiny_pool)}
    second = fomaug.study(data, out, arms=both, **QUICK)
    assert (out / "runs.jsonl").read_text().splitlines()[: len(lines)] == lines
    assert second.arms[:2] == first.arms[:2]
    assert len(second.arms) == 4
    with pytest.raises(ResumeError, match="other settings"):
        fomaug.study(data, out, arms={"copies": still}, **QUICK)
    with pytest.raises(ResumeError, match="other settings"):
        fomaug.study(data, out, arms={**both, "more": pool_options(tiny_model, tiny_pool, share=0.2)}, **QUICK)
