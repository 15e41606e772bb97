from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fomaug
from fomaug import Animator, MotionAugment
from fomaug.errors import ArgumentError, FomaugError, ResumeError
from fomaug.study import StudyResult, run
from fomaug.study.runs import RunId, RunLog, RunResult
from fomaug.study.train import Run
from fomaug.study.train import train as train_network

Write = Callable[..., Path]

QUICK = {"choices": 2, "seeds": 1, "steps": 6, "batch_size": 8, "copies": 2, "size": 16, "gates": "off"}


def gains(result: StudyResult) -> dict[str, float]:
    return {arm.name: arm.gain.mean for arm in result.arms if arm.gain is not None}


def test_copies_that_equal_their_sources_change_nothing(
    tmp_path: Path, write_classes: Write, still: MotionAugment
) -> None:
    """The pairing is exact: same weights, same pictures in the same order, same classic augmentation."""
    result = fomaug.study(write_classes(tmp_path / "data"), tmp_path / "out", arms={"copies": still}, **QUICK)
    copies = next(arm for arm in result.arms if arm.name == "copies")
    assert copies.gain is not None
    assert (copies.gain.low, copies.gain.mean, copies.gain.high) == (0, 0, 0)
    assert copies.answer == "no"
    assert result.verdict.startswith("No: classic + copies brings no gain of 0.01 or more")


def test_other_seeds_of_the_same_copies_do_differ(tmp_path: Path, write_classes: Write, still: MotionAugment) -> None:
    """Otherwise the test above could not fail."""
    data = write_classes(tmp_path / "data", noise=120.0)
    scores = [
        [arm.score for arm in fomaug.study(data, tmp_path / f"{seed}", arms={"copies": still}, **QUICK, seed=seed).arms]
        for seed in range(2)
    ]
    assert scores[0] != scores[1]


def test_copies_that_show_what_the_tests_show_help(
    tmp_path: Path, still: MotionAugment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One upright training picture a class; tests show them upside down, which classic augmentation never does."""
    from PIL import Image

    from fomaug.study import augmentation

    rng = np.random.default_rng(0)
    for person in range(6):
        folder = tmp_path / "data" / f"person_{person}"
        folder.mkdir(parents=True)
        pixels = (rng.random((4, 4)) * 255).astype(np.uint8).repeat(6, 0).repeat(6, 1)
        for number in range(6):
            noisy = (pixels + rng.normal(0, 8, pixels.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(noisy[::-1] if number % 2 else noisy).save(folder / f"{number}.png")
    honest = augmentation.to_input
    monkeypatch.setattr(augmentation, "to_input", lambda pixels, *shape: honest(pixels[::-1], *shape))
    options = {**QUICK, "choices": 4, "steps": 40}
    result = fomaug.study(tmp_path / "data", tmp_path / "out", arms={"copies": still}, **options)
    copies = result.arms[2]
    assert copies.gain is not None and copies.gain.mean > 0.15, result.table()
    assert copies.answer == "yes"
    assert result.verdict.startswith("Yes: classic + copies helps")


def test_copies_of_the_wrong_person_hurt(
    tmp_path: Path, write_classes: Write, still: MotionAugment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fomaug.study.data import StudyData

    honest = StudyData.scene
    monkeypatch.setattr(StudyData, "scene", lambda self, row: honest(self, (row + 4) % len(self)))
    options = {**QUICK, "choices": 4, "steps": 40, "share": 0.8}
    result = fomaug.study(write_classes(tmp_path / "data"), tmp_path / "out", arms={"copies": still}, **options)
    assert result.arms[2].answer == "harm", result.table()
    assert result.verdict.startswith("No: classic + copies hurts")


def test_the_same_study_has_the_same_files(tmp_path: Path, write_classes: Write, still: MotionAugment) -> None:
    data = write_classes(tmp_path / "data")
    for name in ("first", "second"):
        fomaug.study(data, tmp_path / name, arms={"copies": still}, **QUICK)
    for file in ("study.json", "study.txt", "study.svg", "runs.jsonl", "settings.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_a_study_killed_after_any_run_ends_with_the_same_result(
    tmp_path: Path, write_classes: Write, still: MotionAugment, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_classes(tmp_path / "data")
    fomaug.study(data, tmp_path / "whole", arms={"copies": still}, **QUICK)
    wanted = (tmp_path / "whole" / "study.json").read_bytes()
    lines = (tmp_path / "whole" / "runs.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == 6
    trained: list[Run] = []
    monkeypatch.setattr(run, "train", lambda task, **rest: (trained.append(task), train_network(task, **rest))[1])
    for kept in (0, 1, 3, 5, 6):
        out = tmp_path / f"killed-{kept}"
        out.mkdir()
        shutil.copy(tmp_path / "whole" / "settings.json", out)
        torn = lines[kept][:20] if kept < 6 else b""
        (out / "runs.jsonl").write_bytes(b"".join(lines[:kept]) + torn)
        trained.clear()
        fomaug.study(data, out, arms={"copies": still}, **QUICK)
        assert len(trained) == 6 - kept
        assert (out / "study.json").read_bytes() == wanted
        assert (out / "runs.jsonl").read_bytes() == b"".join(lines)


def test_other_settings_or_data_are_refused(tmp_path: Path, write_classes: Write, still: MotionAugment) -> None:
    data = write_classes(tmp_path / "data")
    fomaug.study(data, tmp_path / "out", arms={"copies": still}, **QUICK)
    with pytest.raises(ResumeError, match=r"other settings: steps was 6 and is 7\. Give the same"):
        fomaug.study(data, tmp_path / "out", arms={"copies": still}, **{**QUICK, "steps": 7})
    other = MotionAugment(still.driving, still.model, p=0.0, strength_range=(0.1, 0.2))
    with pytest.raises(ResumeError, match=r"strength_range of arm 'copies' was \[0\.3, 1\.0\] and is \[0\.1, 0\.2\]"):
        fomaug.study(data, tmp_path / "out", arms={"copies": other}, **QUICK)
    settings = tmp_path / "out" / "settings.json"
    content = settings.read_text()
    settings.write_text(content.replace(still.driving.hash, "0" * 64))
    with pytest.raises(ResumeError, match=r"pool_hash of arm 'copies' was \"0{64}\" and is .*--arm copies=POOL"):
        fomaug.study(data, tmp_path / "out", arms={"copies": still}, **QUICK)
    settings.write_text(content)
    (data / "person_0" / "0.png").unlink()
    with pytest.raises(ResumeError, match="the pictures of the dataset have changed"):
        fomaug.study(data, tmp_path / "out", arms={"copies": still}, **QUICK)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "diary.txt").write_text("mine")
    with pytest.raises(ResumeError, match=r"is not empty and holds no study \(diary.txt\)"):
        fomaug.study(data, tmp_path / "full", arms={"copies": still}, **QUICK)


def test_other_landmarks_of_the_faces_are_other_settings(
    tmp_path: Path, write_landmarks: Callable[..., tuple[Path, Path]], still: MotionAugment
) -> None:
    """Landmarks that only say where the faces are decide what networks see."""
    folder, csv = write_landmarks(tmp_path)
    for path in sorted(folder.iterdir()):
        (folder / path.name[:2]).mkdir(exist_ok=True)
        path.rename(folder / path.name[:2] / path.name)
    head, *rows = csv.read_text().splitlines()
    csv.write_text("\n".join([head, *(f"{row[:2]}/{row}" for row in rows)]))
    fomaug.study(folder, tmp_path / "out", annotations=csv, arms={"copies": still}, **QUICK)
    moved = csv.read_text().rpartition(",")[0] + ",40.5"
    csv.write_text(moved)
    with pytest.raises(ResumeError, match="the landmarks have changed"):
        fomaug.study(folder, tmp_path / "out", annotations=csv, arms={"copies": still}, **QUICK)


def test_a_message_on_other_settings_has_each_option_with_both_values(tmp_path: Path) -> None:
    plan = {"steps": 6, "size": None, "seeds": 2, "group_pattern": "(p)"}
    schedule = [[round(0.01 * i, 2), 0.5] for i in range(12)]
    known = {"plan": plan, "arms": {"wide": {"share": schedule}, "gone": {"p": 1.0}, "none": None}, "labels": "a"}
    RunLog(tmp_path, known)
    wanted = {
        "plan": {**plan, "steps": 7, "size": 32},
        "arms": {"wide": {"share": [[0, 1]]}, "none": None, "new": {"p": 1.0}},
        "labels": "b",
        "test_pictures": "c",
    }
    with pytest.raises(ResumeError) as caught:
        RunLog(tmp_path, wanted)
    assert str(caught.value) == (
        f"{tmp_path} holds a study with other settings: steps was 6 and is 7; size was not given and is 32; "
        f"share of arm 'wide' was {json.dumps(schedule)} and is [[0, 1]]; arm 'gone' is not given now; "
        "the landmarks have changed; the pictures of the test folder were not given before. "
        "Give the same settings to resume it, or a new folder"
    )
    with pytest.raises(ResumeError, match=r"steps was 6 and is 7; .*; and 3 more\. Give"):
        RunLog(tmp_path, {**known, "plan": {"steps": 7, **{f"option_{i}": i for i in range(8)}}})


def test_a_damaged_line_is_named(tmp_path: Path, write_classes: Write, still: MotionAugment) -> None:
    data = write_classes(tmp_path / "data")
    fomaug.study(data, tmp_path / "out", arms={"copies": still}, **QUICK)
    path = tmp_path / "out" / "runs.jsonl"
    path.write_text('{"arm": "none"}\n' + path.read_text())
    with pytest.raises(ResumeError, match="line 1 is damaged"):
        fomaug.study(data, tmp_path / "out", arms={"copies": still}, **QUICK)


def test_landmarks_are_studied_with_moved_copies(
    tmp_path: Path, write_landmarks: Callable[..., tuple[Path, Path]], tiny_model, tiny_pool
) -> None:  # type: ignore[no-untyped-def]
    folder, csv = write_landmarks(tmp_path)
    moving = MotionAugment(tiny_pool, tiny_model, p=1.0)
    options = {**QUICK, "task": "landmarks", "annotations": csv, "train_images": 4, "group_pattern": r"(p\d)_"}
    result = fomaug.study(folder, tmp_path / "out", arms={"copies": moving, "twin": moving}, **options)
    assert result.measure == "error"
    none, classic, copies, twin = result.arms
    assert all(arm.score > 0 for arm in result.arms)
    assert copies.score != classic.score and copies.gain == twin.gain
    assert copies.gain is not None
    assert copies.gain.mean == pytest.approx(classic.score - copies.score)
    assert copies.level == 0.975  # two arms with copies share the 5 %
    assert none.level == 0.95


def test_the_copies_of_recognition_are_views_of_the_poses_that_the_pictures_show(
    tmp_path: Path, write_classes: Write, face_model: Animator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fomaug.study.arms.load_model", lambda *_, **__: face_model)
    yaws = iter([-30.0, 30.0] * 8)
    monkeypatch.setattr("fomaug.driving.synthetic.views.head_pose", lambda *_: torch.tensor([[next(yaws), 0.0, 0.0]]))
    result = fomaug.study(write_classes(tmp_path / "data"), tmp_path / "out", **QUICK)
    assert next(yaws, None) is None  # each of the 16 pictures counts
    assert result.arms[-1].driving == "views yaw=-40:40:20 pitch=-10,0,10 (purpose auto)"
    assert f"classic + copies: driven by {result.arms[-1].driving}" in result.table()


def test_expression_is_tested_on_new_people(tmp_path: Path, still: MotionAugment) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for mood, level in (("glad", 160), ("sad", 90)):
        (tmp_path / "data" / mood).mkdir(parents=True)
        for person, take in np.ndindex(4, 3):
            pixels = (level + rng.normal(0, 10, (20, 20))).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / mood / f"p{person}_{take}.png")
    options = {**QUICK, "task": "expression", "group_pattern": r"(p\d)_", "choices": 4, "steps": 40}
    result = fomaug.study(tmp_path / "data", tmp_path / "out", arms={"copies": still}, **options)
    assert result.facts["people"] == 4 and result.facts["training pictures"] == 18
    assert result.arms[0].score > 0.9  # brightness tells the moods apart
    rows = [json.loads(line) for line in (tmp_path / "out" / "runs.jsonl").read_text().splitlines()]
    for row in rows:
        assert len({key[-7:-6] for key in (name.split("/")[1] for name in row["scores"])}) == 1
    assert len({key for row in rows for key in row["scores"]}) == 24


def test_landmark_networks_learn(
    tmp_path: Path, write_landmarks: Callable[..., tuple[Path, Path]], still: MotionAugment
) -> None:
    folder, csv = write_landmarks(tmp_path, people=6)
    options = {**QUICK, "task": "landmarks", "annotations": csv, "group_pattern": r"(p\d)_", "size": 24}
    few, many = (
        fomaug.study(folder, tmp_path / str(steps), arms={"copies": still}, **{**options, "steps": steps})
        for steps in (2, 60)
    )
    assert many.arms[0].train < 0.5 * few.arms[0].train


def test_features_enrol_people_by_views(tmp_path: Path, write_classes: Write, still: MotionAugment) -> None:
    def embed(images: torch.Tensor) -> torch.Tensor:
        assert images.shape[1:] == (3, 24, 24) and images.min() >= 0 and images.max() <= 1
        return images.mean(1).flatten(1) - 0.5

    data = write_classes(tmp_path / "data")
    result = fomaug.study(data, tmp_path / "out", arms={"copies": still}, embed=embed, **{**QUICK, "size": 24})
    assert result.arms[0].score > 0.9  # patterns are told apart by their pixels
    assert gains(result)["copies"] == 0
    with pytest.raises(ArgumentError, match="call its eval"):
        fomaug.study(data, tmp_path / "two", embed=torch.nn.Flatten(), **QUICK)
    with pytest.raises(ArgumentError, match="must turn"):
        fomaug.study(data, tmp_path / "three", arms={"copies": still}, embed=lambda images: images, **QUICK)


@pytest.mark.parametrize(
    ("arms", "message"),
    [
        ({"classic": "builtin"}, "'classic' cannot name an arm"),
        ({"wide": "paremetric yaw=-20:20"}, "did you mean 'parametric'"),
        ({"wide": "parametric yaw=20"}, "'yaw=20' is not NAME=LOW:HIGH"),
        ({"wide": "parametric jaw=-20:20"}, "did you mean 'yaw'"),
        ({"wide": "builtin yaw=-20:20"}, "only parametric pools have ranges"),
        ({"wide": {"strenght_range": [0, 1]}}, "arm 'wide': unknown argument 'strenght_range'.*did you mean"),
        ({"wide": "nowhere.json"}, "nowhere.json cannot be read: No such file"),
    ],
)  # fmt: skip
def test_wrong_arms_are_refused(tmp_path: Path, write_classes: Write, arms: dict[str, Any], message: str) -> None:
    with pytest.raises(FomaugError, match=message):
        fomaug.study(write_classes(tmp_path / "data"), tmp_path / "out", arms=arms, **QUICK)
    assert not (tmp_path / "out").exists()


def test_unknown_options_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="unknown option 'stepz' of study; did you mean 'steps'"):
        fomaug.study(tmp_path, tmp_path / "out", stepz=3)


def test_saved_options_make_the_pool_and_the_draws_that_they_name(tmp_path: Path) -> None:
    from fomaug.study.arms import Defaults, make_arms

    path = tmp_path / "wide.json"
    path.write_text(
        json.dumps({"driving": "parametric yaw=-20:20 pitch=-12:12 count=12", "strength_range": [0.5, 1.0]})
    )
    defaults = Defaults("landmarks", seed=7, device="cpu", choose_views=lambda _: "views yaw=0")
    arm = make_arms({"wide": path}, defaults)[-1]
    assert arm.title == "classic + wide" and arm.augment is not None
    assert arm.augment.strength_range == (0.5, 1.0) and arm.augment.p == 1.0 and arm.augment.seed == 7
    model = arm.augment.model
    wanted = fomaug.DrivingPool.parametric(model, yaw_range=(-20, 20), pitch_range=(-12, 12), count=12)
    assert arm.augment.driving.hash == wanted.hash


def test_no_global_randomness_is_read_or_set(tmp_path: Path, write_classes: Write, still: MotionAugment) -> None:
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    fomaug.study(write_classes(tmp_path / "data"), tmp_path / "out", arms={"copies": still}, **QUICK)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert np.array_equal(before[1], np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002


def test_copies_are_made_once_for_each_choice_and_shared_by_its_seeds(
    tmp_path: Path, write_classes: Write, still: MotionAugment, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    honest = run.make_copies
    monkeypatch.setattr(run, "make_copies", lambda *given, **named: (made.append(1), honest(*given, **named))[1])
    fomaug.study(write_classes(tmp_path / "data"), tmp_path / "out", arms={"copies": still}, **{**QUICK, "seeds": 3})
    assert len(made) == QUICK["choices"]


def test_the_time_is_announced_once_and_never_for_what_is_done(
    tmp_path: Path, write_classes: Write, still: MotionAugment
) -> None:
    said: list[str] = []
    data = write_classes(tmp_path / "data")
    for _ in range(2):
        fomaug.study(data, tmp_path / "out", arms={"copies": still}, announce=said.append, **QUICK)
    assert len(said) == 1 and said[0].endswith("to go: 6 runs and 16 copies")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scores": 3}, "scores is 3"),
        ({"scores": {"a": "b"}}, "scores are {'a': 'b'}"),
        ({"train": None}, "train is None"),
        ({"arm": ["a"]}, r"arm is \['a'\]"),
        ({"seed": True}, "seed is True"),
    ],
)
def test_a_run_of_another_kind_is_no_result(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    log = RunLog(tmp_path, {"steps": 1})
    log.add(RunId("classic", 0, 0), RunResult({"a.png": 0.5}, 0.75, 8, 0))
    row = {**json.loads(log.path.read_text()), **change}
    log.path.write_text(json.dumps(row) + "\n")
    with pytest.raises(ResumeError, match=rf"line 1 is damaged \({message}\); remove the line"):
        RunLog(tmp_path, {"steps": 1})
