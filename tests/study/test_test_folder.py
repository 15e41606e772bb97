"""Tests on the pictures of a folder of their own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import fomaug
from fomaug import MotionAugment
from fomaug.errors import ArgumentError, LabelError, ResumeError
from fomaug.study import StudyPlan, estimate
from fomaug.study.data import StudyData, choose_views, load_data
from fomaug.study.design import Split, caveats, make_splits

Write = Callable[..., Path]
WriteLandmarks = Callable[..., tuple[Path, Path]]

QUICK = {"choices": 2, "seeds": 1, "steps": 6, "batch_size": 8, "copies": 2, "size": 16, "gates": "off"}


def load(folder: Path, test: Path, **options: object) -> tuple[StudyData, StudyPlan]:
    plan = StudyPlan(size=16, test=str(test), **options)  # type: ignore[arg-type]
    return load_data(folder, plan, features=False), plan


def divided(folder: Path, *, people: int = 4, pictures: int = 4) -> tuple[Path, Path]:
    """Move the last half of each person's pictures from train to val, under the names of the first half."""
    for person in range(people):
        (folder / "val" / f"person_{person}").mkdir(parents=True)
        for number in range(pictures // 2):
            own = folder / "train" / f"person_{person}" / f"{number + pictures // 2}.png"
            own.rename(folder / "val" / f"person_{person}" / f"{number}.png")
    return folder / "train", folder / "val"


@pytest.fixture
def halves(tmp_path: Path, write_classes: Write) -> tuple[Path, Path]:
    write_classes(tmp_path / "train")
    return divided(tmp_path)


def test_every_choice_trains_on_the_dataset_and_tests_on_all_of_the_test_folder(halves: tuple[Path, Path]) -> None:
    faces, plan = load(*halves, choices=5)
    splits = make_splits(faces, plan)
    assert (faces.num_own, faces.num_test, len(faces)) == (8, 8, 16)
    for split in splits:
        assert faces.labels[split.train].tolist() == [0, 1, 2, 3]
        assert split.train.max() < faces.num_own
        assert split.test.tolist() == list(range(8, 16))
    assert len({tuple(split.train) for split in splits}) > 1
    wanted = np.asarray(Image.open(halves[1] / faces.keys[8]))
    np.testing.assert_array_equal(faces.scene(8)[0][..., 0], wanted)
    assert faces.keys[8] == faces.keys[0]
    assert (faces.scene(0)[0] != faces.scene(8)[0]).any()


def test_a_study_knows_its_test_folder(halves: tuple[Path, Path], tmp_path: Path, still: MotionAugment) -> None:
    folder, test = halves
    result = fomaug.study(folder, tmp_path / "out", test=test, arms={"copies": still}, **QUICK)
    assert result.test == "val"
    assert "on the pictures of val is between" in result.verdict
    assert {name: result.facts[name] for name in ("pictures", "test pictures", "tested people")} == {
        "pictures": 8,
        "test pictures": 8,
        "tested people": 4,
    }
    rows = [json.loads(line) for line in (tmp_path / "out" / "runs.jsonl").read_text().splitlines()]
    assert all(set(row["scores"]) == {f"person_{i}/{k}.png" for i in range(4) for k in range(2)} for row in rows)
    copies = result.arms[-1].gain
    assert copies is not None and (copies.low, copies.high) == (0, 0)


def test_a_study_of_other_test_pictures_is_another_study(
    halves: tuple[Path, Path], tmp_path: Path, still: MotionAugment
) -> None:
    folder, test = halves
    fomaug.study(folder, tmp_path / "out", test=test, arms={"copies": still}, **QUICK)
    lines = (tmp_path / "out" / "runs.jsonl").read_bytes()
    moved = shutil.move(test, tmp_path / "moved")
    fomaug.study(folder, tmp_path / "out", test=moved, arms={"copies": still}, **QUICK)
    assert (tmp_path / "out" / "runs.jsonl").read_bytes() == lines
    with pytest.raises(ResumeError, match="pictures of the test folder are not given now"):
        fomaug.study(folder, tmp_path / "out", arms={"copies": still}, **QUICK)
    (tmp_path / "moved" / "person_0" / "0.png").unlink()
    with pytest.raises(ResumeError, match="pictures of the test folder have changed"):
        fomaug.study(folder, tmp_path / "out", test=moved, arms={"copies": still}, **QUICK)


def test_all_training_pictures_in_each_choice_make_their_copies_once(
    halves: tuple[Path, Path], tmp_path: Path, still: MotionAugment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fomaug.study import run

    made, honest, said = [], run.make_copies, list[str]()
    monkeypatch.setattr(run, "make_copies", lambda *given, **named: (made.append(1), honest(*given, **named))[1])
    options = {**QUICK, "per_class": 2, "arms": {"copies": still}, "announce": said.append}
    result = fomaug.study(halves[0], tmp_path / "out", test=halves[1], **options)
    assert len(made) == 3  # Two of them are timed for the estimate.
    assert said[0].endswith("6 runs and 16 copies")
    assert any(note.startswith("every choice trains on the same 8 pictures") for note in result.notes)


def test_views_are_those_of_the_dataset_and_not_of_the_tests(
    halves: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[NDArray[np.uint8]] = []
    monkeypatch.setattr("fomaug.study.data.views_of", lambda pictures, _: seen.extend(pictures))
    faces, _ = load(*halves)
    choose_views(faces, None)  # type: ignore[arg-type]
    assert len(seen) == 8
    np.testing.assert_array_equal(seen[-1], faces.scene(7)[0])


def test_classes_without_test_pictures_are_noted(halves: tuple[Path, Path]) -> None:
    shutil.rmtree(halves[1] / "person_2")
    faces, plan = load(*halves)
    assert len(faces.class_names) == 4
    assert faces.notes == (f"{halves[1]} has no pictures of 1 of 4 classes: person_2",)
    assert all(len(split.train) == 4 for split in make_splits(faces, plan))


def test_a_class_without_training_pictures_is_an_error(halves: tuple[Path, Path]) -> None:
    (halves[1] / "person_2").rename(halves[1] / "persn_2")
    with pytest.raises(ArgumentError, match=r"classes that dataset .* does not have: persn_2; did you mean 'person_2'"):
        load(*halves)


def test_a_class_with_too_few_training_pictures_is_an_error(halves: tuple[Path, Path]) -> None:
    (halves[0] / "person_1" / "0.png").write_bytes(b"no picture")
    faces, plan = load(*halves, per_class=2)
    with pytest.raises(ArgumentError, match=r"each class needs 2 pictures .* too few in person_1 \(1\)"):
        make_splits(faces, plan)


def test_pictures_of_both_folders_are_not_tested(halves: tuple[Path, Path]) -> None:
    shutil.copy(halves[0] / "person_0" / "1.png", halves[1] / "person_3" / "leak.png")
    faces, plan = load(*halves)
    assert faces.num_test == 8
    assert faces.skipped == (("val/person_3/leak.png", f"is the same file as {halves[0] / 'person_0' / '1.png'}"),)
    assert faces.notes[0].startswith(f"1 of 9 pictures of {halves[1]} are also in {halves[0]}")
    assert len(make_splits(faces, plan)[0].test) == 8
    shutil.copytree(halves[0], halves[0].parent / "twin")
    with pytest.raises(ArgumentError, match=r"all 8 pictures of test folder .* are also in dataset"):
        load(halves[0], halves[0].parent / "twin")


def test_unreadable_pictures_and_those_outside_of_classes_are_named(halves: tuple[Path, Path]) -> None:
    (halves[1] / "person_0" / "bad.png").write_bytes(b"no picture")
    shutil.copy(halves[1] / "person_0" / "0.png", halves[1] / "cover.png")
    faces, _ = load(*halves)
    assert [key for key, _ in faces.skipped] == ["val/cover.png", "val/person_0/bad.png"]
    assert faces.num_test == 8


@pytest.mark.parametrize(
    ("dataset", "test", "message"),
    [
        ("train", "train", "dataset and test folder are both"),
        ("train", "train/person_0", "the test folder lies inside the dataset"),
        ("train/person_0", "train", "the dataset lies inside the test folder"),
        ("train", "nowhere", "test folder .*nowhere is not a folder"),
        ("train", "empty", "test folder .*empty holds no pictures"),
        ("train", "", "has the split folder 'train'; give the folder of one split, such as .*train, as the dataset"),
        ("train", "val/person_0", "needs a folder for each class, as the dataset has; 0 of its 2"),
    ],
)
def test_wrong_folders_are_refused(halves: tuple[Path, Path], dataset: str, test: str, message: str) -> None:
    root = halves[0].parent
    (root / "empty").mkdir()
    with pytest.raises(ArgumentError, match=message):
        load(root / dataset, root / test)


def test_one_tested_person_gives_no_interval(halves: tuple[Path, Path]) -> None:
    for person in range(1, 4):
        shutil.rmtree(halves[1] / f"person_{person}")
    with pytest.raises(ArgumentError, match="are of one person; an interval needs two or more"):
        make_splits(*load(*halves))


def test_annotations_of_tests_without_a_test_folder_are_refused() -> None:
    with pytest.raises(ArgumentError, match="test_annotations are the landmarks of a test folder"):
        StudyPlan(task="landmarks", annotations="a.csv", test_annotations="b.csv")
    with pytest.raises(ArgumentError, match="test_annotations has no meaning without annotations"):
        StudyPlan(test="val", test_annotations="b.csv")


@pytest.fixture
def marked(tmp_path: Path, write_landmarks: WriteLandmarks) -> tuple[Path, Path, Path]:
    """Folders train and val of two people each beside one CSV file with the landmarks of both."""
    pictures, csv = write_landmarks(tmp_path)
    rows = csv.read_text().splitlines()
    for name, people in (("train", "01"), ("val", "23")):
        (tmp_path / name).mkdir()
        for path in sorted(pictures.iterdir()):
            if path.name[1] in people:
                path.rename(tmp_path / name / path.name)
                rows = [row.replace(path.name, f"{name}/{path.name}") for row in rows]
    csv.write_text("\n".join(rows))
    return tmp_path / "train", tmp_path / "val", csv


def test_one_file_has_the_landmarks_of_both_folders(marked: tuple[Path, Path, Path]) -> None:
    train, val, csv = marked
    faces, plan = load(train, val, task="landmarks", annotations=str(csv), group_pattern=r"(p\d)_", train_images=4)
    assert (faces.num_own, faces.num_test) == (6, 6)
    for split in make_splits(faces, plan):
        assert sorted(np.bincount(faces.people[split.train])) == [2, 2]
        assert split.test.tolist() == list(range(6, 12))
    plain, plan = load(train, val, task="landmarks", annotations=str(csv))
    assert len(np.unique(plain.people)) == 12
    assert [len(split.train) for split in make_splits(plain, plan)] == [6] * 6
    assert any(note.startswith("without a group_pattern it is not known who is in") for note in plain.notes)
    with pytest.raises(ArgumentError, match=r"train_images is 7, and .* has only 6"):
        make_splits(*load(train, val, task="landmarks", annotations=str(csv), train_images=7))


def test_landmarks_of_the_test_folder_can_be_in_another_file(marked: tuple[Path, Path, Path], tmp_path: Path) -> None:
    train, val, csv = marked
    head, *rows = csv.read_text().splitlines()
    for name in ("train", "val"):
        own = [row.removeprefix(f"{name}/") for row in rows if row.startswith(f"{name}/")]
        (tmp_path / f"{name}.csv").write_text("\n".join([head, *own]))
    options = {"task": "landmarks", "annotations": str(tmp_path / "train.csv")}
    both, _ = load(train, val, task="landmarks", annotations=str(csv))
    faces, _ = load(train, val, test_annotations=str(tmp_path / "val.csv"), **options)
    assert faces.points is not None and both.points is not None
    assert torch.equal(faces.points, both.points)
    with pytest.raises(LabelError, match=r"has landmarks for no picture of .*val.*can be given as test_annotations"):
        load(train, val, **options)


def test_an_entry_that_both_folders_would_take_is_refused(marked: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """With equal file names, the landmarks of a training picture would otherwise be those of a test picture."""
    train, val, csv = marked
    csv.write_text(csv.read_text().replace("train/", ""))
    for path in sorted(val.iterdir()):
        path.rename(val / path.name.replace("p2", "p0").replace("p3", "p1"))
    with pytest.raises(LabelError, match=r"has the same entry for .*train.p0_0.png and .*val.p0_0.png"):
        load(train, val, task="landmarks", annotations=str(csv))


def test_people_of_both_folders_are_an_error(marked: tuple[Path, Path, Path]) -> None:
    train, val, csv = marked
    with pytest.raises(ArgumentError, match="in both the dataset and the test folder: _0, _1, _2"):
        load(train, val, task="landmarks", annotations=str(csv), group_pattern=r"(_\d)")


def test_expressions_are_tested_on_the_people_of_the_test_folder(tmp_path: Path, still: MotionAugment) -> None:
    rng = np.random.default_rng(0)
    for name, people in (("train", range(4)), ("val", range(4, 7))):
        for mood, level in (("glad", 160), ("sad", 90)):
            (tmp_path / name / mood).mkdir(parents=True)
            for person in people:
                pixels = (level + rng.normal(0, 10, (20, 20))).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / name / mood / f"p{person}.png")
    options = {**QUICK, "task": "expression", "group_pattern": r"(p\d)", "steps": 40, "test": tmp_path / "val"}
    result = fomaug.study(tmp_path / "train", tmp_path / "out", arms={"copies": still}, **options, per_class=2)
    assert result.facts["training pictures"] == 4
    assert result.facts["tested people"] == 3
    assert result.arms[0].score > 0.9
    Image.new("L", (20, 20)).save(tmp_path / "val" / "sad" / "p1_new.png")
    with pytest.raises(ArgumentError, match="in both the dataset and the test folder: p1;"):
        fomaug.study(tmp_path / "train", tmp_path / "two", arms={"copies": still}, **options)


def designed(choices: int, people: int, rng: np.random.Generator, *, most: int = 9) -> tuple[StudyData, list[Split]]:
    """A study of a test folder with one to nine pictures of each person, and many of the first."""
    counts = rng.integers(1, 10, people)
    counts[0] = most
    tested = np.repeat(np.arange(people), counts)
    who = np.concatenate([np.repeat(np.arange(people), 5), tested])
    data = StudyData(
        Path("train"), tuple(map(str, range(len(who)))), torch.zeros(len(who), 1, 1, 1, dtype=torch.uint8), who, who,
        tuple(map(str, range(people))), None, None, None, (None,) * len(who), (), Path("val"), len(tested),
    )  # fmt: skip
    return data, make_splits(data, StudyPlan(choices=choices))


@pytest.mark.parametrize(
    ("choices", "people", "spread"),
    [
        (6, 30, {"picture": 1.0}),
        (6, 30, {"person": 1.0, "picture": 1.0}),
        (6, 30, {"choice": 0.3, "person": 0.5, "picture": 1.0}),
        (6, 30, {"choice": 1.0}),
        (6, 30, {"cell": 1.0, "picture": 0.5}),
        (6, 30, {"person": 1.0, "picture": 1.0, "most": 60}),
        (6, 30, {"choice": 0.3, "person": 0.5, "most": 60}),
        (8, 20, {"choice": 0.3, "person": 0.5, "cell": 0.3, "picture": 0.5}),
    ],
)
def test_intervals_of_shared_test_pictures_cover_the_truth(choices: int, people: int, spread: dict[str, float]) -> None:
    """Effects of choices, people, single pictures and their pairs are known; the true gain is 0.1."""
    rng = np.random.default_rng(1)
    hits, trials = 0, 600
    for _ in range(trials):
        data, splits = designed(choices, people, rng, most=int(spread.get("most", 9)))

        def effect(name: str, *size: int) -> NDArray[np.float64]:
            return rng.normal(0, spread.get(name, 0.0), size)

        person, picture = effect("person", people), effect("picture", len(data))
        values = []
        for split in splits:
            who = data.people[split.test]
            noise = rng.normal(0, 1, len(who)) + effect("cell", people)[who] + effect("choice", 1)
            values.append(0.1 + person[who] + picture[split.test] + noise)
        found = estimate(values, [data.people[split.test] for split in splits])
        hits += found.low <= 0.1 <= found.high
    assert 0.91 <= hits / trials <= 0.985


def test_pictures_that_all_choices_share_count_once() -> None:
    """Counting them anew in each choice would make intervals half as wide, and miss the truth half of the time."""
    rng = np.random.default_rng(2)
    hits = {"ours": 0, "anew": 0}
    for _ in range(200):
        data, splits = designed(6, 30, rng)
        picture = rng.normal(0, 1, len(data))
        values = [picture[split.test] + rng.normal(0, 0.2, len(split.test)) for split in splits]
        people = [data.people[split.test] for split in splits]
        anew = [who + 100 * choice for choice, who in enumerate(people)]
        for name, found in (("ours", estimate(values, people)), ("anew", estimate(values, anew))):
            hits[name] += found.low <= 0 <= found.high
    assert hits["anew"] < 0.8 * 200
    assert hits["ours"] >= 0.92 * 200


def test_choices_of_the_same_pictures_are_a_caveat(halves: tuple[Path, Path]) -> None:
    faces, plan = load(*halves, per_class=2)
    assert list(caveats(faces, plan, make_splits(faces, plan))) == [
        "every choice trains on the same 8 pictures; the intervals do not say what other training pictures would give"
    ]
    faces, plan = load(*halves)
    assert not list(caveats(faces, plan, make_splits(faces, plan)))
