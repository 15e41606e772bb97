from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fomaug.errors import ArgumentError, LabelError
from fomaug.study.data import StudyData, load_data
from fomaug.study.design import make_splits
from fomaug.study.plan import StudyPlan

Write = Callable[..., Path]


def load(folder: Path, **options: object) -> tuple[StudyData, StudyPlan]:
    plan = StudyPlan(size=16, **options)  # type: ignore[arg-type]
    return load_data(folder, plan, features=False), plan


def test_recognition_trains_on_so_many_of_each_class_and_tests_on_all_others(
    tmp_path: Path, write_classes: Write
) -> None:
    faces, plan = load(write_classes(tmp_path), per_class=2)
    splits = make_splits(faces, plan)
    for split in splits:
        assert np.bincount(faces.labels[split.train]).tolist() == [2, 2, 2, 2]
        assert sorted([*split.train, *split.test]) == list(range(len(faces)))
    assert len({tuple(split.train) for split in splits}) > 1
    again = make_splits(faces, plan)
    assert all(np.array_equal(a.train, b.train) for a, b in zip(splits, again, strict=True))


def test_landmarks_never_test_on_people_who_were_trained_on(
    tmp_path: Path, write_landmarks: Callable[..., tuple[Path, Path]]
) -> None:
    folder, csv = write_landmarks(tmp_path)
    faces, plan = load(folder, task="landmarks", annotations=str(csv), train_images=4, group_pattern=r"(p\d)_")
    for split in make_splits(faces, plan):
        assert len(split.train) == 4 and len(split.test) == 6
        assert not set(faces.people[split.train]) & set(faces.people[split.test])
        assert np.bincount(faces.people[split.train]).max() == 2  # shared out evenly


def test_expression_tests_every_person_once(tmp_path: Path) -> None:
    from PIL import Image

    for mood in ("glad", "sad"):
        (tmp_path / mood).mkdir()
        for person in range(5):
            for take in range(2):
                Image.new("L", (20, 20), 10 * person).save(tmp_path / mood / f"p{person}_{take}.png")
    faces, plan = load(tmp_path, task="expression", group_pattern=r"(p\d)_", choices=3)
    splits = make_splits(faces, plan)
    assert sorted(np.concatenate([split.test for split in splits])) == list(range(20))
    for split in splits:
        assert not set(faces.people[split.train]) & set(faces.people[split.test])
        assert len(split.train) + len(split.test) == 20
    faces, plan = load(tmp_path, task="expression", group_pattern=r"(p\d)_", choices=9, per_class=3)
    assert [len(split.train) for split in make_splits(faces, plan)] == [6] * 5  # no more choices than people
    faces, plan = load(tmp_path, task="expression", group_pattern=r"(p\d)_", choices=3, per_class=8)
    with pytest.raises(ArgumentError, match=r"class glad has \d pictures .* 8 are needed"):
        make_splits(faces, plan)


def test_landmarks_are_where_the_input_shows_them(
    tmp_path: Path, write_landmarks: Callable[..., tuple[Path, Path]]
) -> None:
    folder, csv = write_landmarks(tmp_path)
    plan = StudyPlan(size=48, task="landmarks", annotations=str(csv))
    faces = load_data(folder, plan, features=False)
    assert faces.points is not None
    for image, points in zip(faces.images[:, 0].float(), faces.points, strict=True):
        x, y = ((points + 1) / 2 * 47).round().long().T
        assert image[y, x].min() > 150  # the dots are 220 on 60


def test_landmarks_come_back_in_pixels_of_the_picture(
    tmp_path: Path, write_landmarks: Callable[..., tuple[Path, Path]]
) -> None:
    folder, csv = write_landmarks(tmp_path)
    faces = load_data(folder, StudyPlan(size=20, task="landmarks", annotations=str(csv)), features=False)
    pixels, labels = faces.scene(0)
    assert labels is not None and labels.points is not None
    x, y = labels.points.round().astype(int).T
    assert pixels[y, x].min() > 150


@pytest.mark.parametrize(
    ("people", "pictures", "options", "message"),
    [
        (1, 4, {}, "needs a folder for each class, two or more"),
        (3, 1, {}, r"each class needs more than 1 pictures.*person_0 \(1\), person_1 \(1\)"),
        (3, 2, {"per_class": 2}, "or give a smaller per_class"),
        (3, 3, {"task": "expression", "group_pattern": "(person)_"}, "are of one person"),
        (3, 3, {"task": "expression", "group_pattern": r"(x\d)"}, r"finds no person in 'person_0/0.png'"),
    ],
)  # fmt: skip
def test_errors_for_small_datasets_name_what_is_missing(
    tmp_path: Path, write_classes: Write, people: int, pictures: int, options: dict[str, object], message: str
) -> None:
    write_classes(tmp_path, people=people, pictures=pictures)
    with pytest.raises(ArgumentError, match=message):
        make_splits(*load(tmp_path, **options))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "landmark"}, "did you mean 'landmarks'"),
        ({"task": "landmarks"}, "needs annotations"),
        ({"task": "expression"}, "give group_pattern"),
        ({"task": "expression", "group_pattern": "p"}, "has 0 groups; one is expected"),
        ({"task": "expression", "group_pattern": "(p"}, "is not a regular expression"),
        ({"train_images": 4}, "train_images has no meaning for task 'recognition'"),
        ({"task": "landmarks", "annotations": "a.csv", "per_class": 2}, "per_class has no meaning"),
        ({"per_class": 0}, "per_class must be 1 or more"),
        ({"choices": 1}, "choices must be 2 or more, got 1"),
        ({"share": 0.0}, "must be above 0 and at most 1, got 0.0"),
        ({"worth": -1.0}, "worth, the smallest gain that matters, must be 0 or more"),
        ({"normaliser": "eyes"}, "normaliser must be auto, box, or"),
    ],
)  # fmt: skip
def test_wrong_settings_are_refused_at_once(options: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        StudyPlan(**options)  # type: ignore[arg-type]


def test_annotations_that_do_not_fit_are_named(
    tmp_path: Path, write_landmarks: Callable[..., tuple[Path, Path]]
) -> None:
    folder, csv = write_landmarks(tmp_path)
    lines = csv.read_text().splitlines()
    csv.write_text("\n".join(lines[:-1]))
    faces = load_data(folder, StudyPlan(size=16, task="landmarks", annotations=str(csv)), features=False)
    assert faces.skipped == (("p3_2.png", "has no annotation"),)
    csv.write_text("\n".join([lines[0], lines[1].replace("p0_0", "elsewhere")]))
    with pytest.raises(LabelError, match="has landmarks for no picture"):
        load_data(folder, StudyPlan(size=16, task="landmarks", annotations=str(csv)), features=False)


def test_more_training_pictures_than_there_are_is_an_error(
    tmp_path: Path, write_landmarks: Callable[..., tuple[Path, Path]]
) -> None:
    folder, csv = write_landmarks(tmp_path)
    faces, plan = load(folder, task="landmarks", annotations=str(csv), train_images=99)
    with pytest.raises(ArgumentError, match="train_images is 99, and the half of the people"):
        make_splits(faces, plan)


def test_split_folders_are_refused_and_bad_pictures_named(tmp_path: Path, write_classes: Write) -> None:
    write_classes(tmp_path / "data" / "train")
    with pytest.raises(ArgumentError, match="has the split folder 'train'"):
        load(tmp_path / "data")
    (tmp_path / "data" / "train" / "person_0" / "9.png").write_bytes(b"no picture")
    faces, _ = load(tmp_path / "data" / "train")
    assert len(faces) == 16 and [key for key, _ in faces.skipped] == ["person_0/9.png"]
    with pytest.raises(ArgumentError, match="is not a folder"):
        load(tmp_path / "nowhere")


def test_expanded_folders_are_left_out_and_folders_of_other_programs_are_not(
    tmp_path: Path, write_classes: Write
) -> None:
    write_classes(tmp_path)
    (tmp_path / "person_0" / "expand.json").write_text('{"fomaug": "1.0"}')
    (tmp_path / "person_1" / "expand.json").write_text('{"name": "another program"}')
    assert load(tmp_path)[0].class_names == ("person_1", "person_2", "person_3")


@pytest.mark.parametrize(
    ("per_class", "remedy"),
    [
        (4, "Add pictures, leave the classes out, or give a smaller per_class$"),
        (1, "Add pictures, or leave the classes out$"),
    ],
)
def test_the_message_on_small_classes_names_all_remedies(
    tmp_path: Path, write_classes: Write, per_class: int, remedy: str
) -> None:
    data, plan = load(write_classes(tmp_path, pictures=per_class), per_class=per_class)
    with pytest.raises(ArgumentError, match=rf"there are too few in person_0 \({per_class}\), .*\. {remedy}"):
        make_splits(data, plan)


def test_plain_formats_of_old_face_sets_are_read(tmp_path: Path, write_classes: Write) -> None:
    from PIL import Image

    wanted, _ = load(write_classes(tmp_path))
    for path in sorted(tmp_path.rglob("*.png")):
        Image.open(path).save(path.with_suffix(".pgm"))
        path.unlink()
    found, _ = load(tmp_path)
    assert (found.images == wanted.images).all() and not found.skipped
    (tmp_path / "person_0" / "bad.ppm").write_bytes(b"P6 nothing")
    assert [key for key, _ in load(tmp_path)[0].skipped] == ["person_0/bad.ppm"]


def test_grey_datasets_have_one_channel(tmp_path: Path, write_classes: Write) -> None:
    from PIL import Image

    faces, _ = load(write_classes(tmp_path))
    assert faces.images.shape == (16, 1, 16, 16)
    Image.new("RGB", (20, 20), (200, 10, 10)).save(tmp_path / "person_0" / "red.png")
    assert load(tmp_path)[0].images.shape == (17, 3, 16, 16)
