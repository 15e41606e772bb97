"""Loaders that are given an output folder find its pictures, classes and splits, and nothing else."""

from __future__ import annotations

import gc
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fomaug import Animator, DrivingPool
from fomaug.errors import ResumeError
from fomaug.expand import ExpandReport, expand, summarise
from fomaug.labels import read_annotations
from fomaug.media import save_image

CLASSES = ["anna", "ben", "carla"]


@pytest.fixture
def run(tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path) -> Callable[..., ExpandReport]:
    def call(**options: object) -> ExpandReport:
        options = {"gates": "off", "copies": 2, "batch_size": 2, "samples_per_shard": 4, **options}
        return expand(faces, tmp_path / "out", driving=tiny_pool, model=tiny_model, **options)

    return call


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., dict]:
    """Load an output folder with Hugging Face datasets, in a cache of its own."""
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()

    def call(name: str, **options: object) -> dict:
        return datasets.load_dataset(name, cache_dir=str(tmp_path / "cache"), **options)

    return call


def make_masks(faces: Path, tmp_path: Path) -> str:
    for path in faces.rglob("*.*"):
        side = 40 if path.name == "2.png" else 48
        mask = (tmp_path / "masks" / path.relative_to(faces)).with_suffix(".png")
        save_image(mask, np.eye(side, dtype=np.uint8))
    return str(tmp_path / "masks")


def split_up(faces: Path) -> None:
    """Make the faces the test split of a dataset whose train split has the same."""
    shutil.copytree(faces, faces.parent / "copy")
    for split in ("train", "test"):
        shutil.copytree(faces.parent / "copy", faces / split)
    for name in CLASSES:
        shutil.rmtree(faces / name)


@pytest.mark.parametrize("masks", [False, True])
def test_torchvision_finds_classes_and_copies_only(
    run: Callable[..., ExpandReport], faces: Path, tmp_path: Path, masks: bool
) -> None:
    datasets = pytest.importorskip("torchvision.datasets")
    report = run(annotations=make_masks(faces, tmp_path) if masks else None)
    read = datasets.ImageFolder(str(report.out))
    assert read.classes == CLASSES
    rows = [json.loads(line) for line in (report.out / "manifest.jsonl").read_text().splitlines()]
    assert sorted(path for path, _ in read.samples) == sorted(str(report.out / row["file"]) for row in rows)


@pytest.mark.parametrize("masks", [False, True])
@pytest.mark.parametrize("by_name", [False, True])
def test_imagefolder_finds_classes_and_copies_only(
    run: Callable[..., ExpandReport], load: Callable[..., dict], faces: Path, tmp_path: Path, masks: bool, by_name: bool
) -> None:
    report = run(annotations=make_masks(faces, tmp_path) if masks else None)
    read = load(str(report.out)) if by_name else load("imagefolder", data_dir=str(report.out))
    assert {split: len(samples) for split, samples in read.items()} == {"train": 10}
    assert read["train"].features["label"].names == CLASSES
    assert read["train"][0]["image"].size == (48, 48)


@pytest.mark.parametrize("by_name", [False, True])
def test_splits_are_splits(
    run: Callable[..., ExpandReport], load: Callable[..., dict], faces: Path, tmp_path: Path, by_name: bool
) -> None:
    split_up(faces)
    report = run(split="all", annotations=make_masks(faces, tmp_path))
    read = load(str(report.out)) if by_name else load("imagefolder", data_dir=str(report.out))
    assert {split: len(samples) for split, samples in read.items()} == {"train": 10, "test": 10}
    assert read["test"].features["label"].names == CLASSES


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("format", ["webdataset", "parquet"])
def test_only_archives_are_found(
    run: Callable[..., ExpandReport],
    load: Callable[..., dict],
    faces: Path,
    format: str,
    split: bool,
    by_name: bool,
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    if split:
        split_up(faces)
    report = run(format=format, image_format="png", split="all")
    read = load(str(report.out)) if by_name else load(format, data_dir=str(report.out))
    wanted = {"train": 10, "test": 10} if split else {"train": 10}
    assert {name: len(samples) for name, samples in read.items()} == wanted
    for samples in read.values():
        labels = [CLASSES[row["cls"]] if format == "webdataset" else row["label"] for row in samples]
        assert set(labels) == set(CLASSES)
        pictures = [row["png" if format == "webdataset" else "image"] for row in samples]
        assert all(picture.size in ((48, 48), (40, 40)) for picture in pictures)


def test_a_tar_file_holds_pictures_of_one_format(run: Callable[..., ExpandReport], faces: Path) -> None:
    report = run(format="webdataset", samples_per_shard=100)
    found = []
    for path in sorted(report.out.glob("*.tar")):
        with tarfile.open(path) as archive:
            found.append({Path(name).suffix for name in archive.getnames()} - {".cls", ".json"})
    assert found == [{".png"}, {".jpg"}], "the most frequent format comes first"
    assert summarise(report.out).copies == 10


def test_one_format_for_all_is_one_archive(run: Callable[..., ExpandReport]) -> None:
    report = run(format="webdataset", samples_per_shard=100, image_format="jpeg")
    assert [path.name for path in report.out.glob("*.tar")] == ["train-00000.tar"]


def test_masks_in_the_folders_of_their_pictures_are_read_again(
    run: Callable[..., ExpandReport], faces: Path, tmp_path: Path
) -> None:
    report = run(annotations=make_masks(faces, tmp_path))
    read = read_annotations(report.out, report.out, format="masks")
    assert len(read) == 10
    assert all(labels.mask is not None for labels in read.values())


def test_the_contact_sheet_of_an_older_folder_is_found(run: Callable[..., ExpandReport]) -> None:
    report = run()
    assert report.contact_sheet is not None
    old = report.contact_sheet.rename(report.out / "contact_sheet.png")
    assert summarise(report.out).contact_sheet == old


def test_one_folder_with_the_name_of_a_split_is_a_class(
    run: Callable[..., ExpandReport], load: Callable[..., dict], faces: Path
) -> None:
    (faces / "anna").rename(faces / "test")
    read = load(str(run().out))
    assert {split: len(samples) for split, samples in read.items()} == {"train": 10}
    assert read["train"].features["label"].names == ["ben", "carla", "test"]


def test_an_annotation_file_that_is_named_after_a_split_is_no_split(
    run: Callable[..., ExpandReport], load: Callable[..., dict], faces: Path, tmp_path: Path
) -> None:
    (tmp_path / "train.csv").write_text("file,x0,y0\nanna/1.png,20,20\n")
    read = load(str(run(annotations=str(tmp_path / "train.csv")).out))
    assert len(read["train"]) == 10
    assert read["train"].features["label"].names == CLASSES


def test_annotations_for_datasets_are_read_with_their_pictures(
    run: Callable[..., ExpandReport], load: Callable[..., dict], faces: Path, tmp_path: Path
) -> None:
    names = sorted(path.relative_to(faces).as_posix() for path in faces.rglob("*.*"))
    lines = [json.dumps({"file_name": name, "points": [[20, 20]]}) for name in names]
    (tmp_path / "points.jsonl").write_text("\n".join(lines))
    read = load(str(run(annotations=str(tmp_path / "points.jsonl")).out))["train"]
    assert len(read) == 10
    assert all(row["image"].size in ((48, 48), (40, 40)) and len(row["points"][0]) == 2 for row in read)


def test_a_flat_dataset_has_no_classes(
    run: Callable[..., ExpandReport], load: Callable[..., dict], faces: Path
) -> None:
    for path in sorted(faces.rglob("*.*")):
        path.rename(faces / f"{path.parent.name}-{path.name}")
    read = load(str(run().out))["train"]
    assert len(read) == 10
    assert list(read.features) == ["image"]


@pytest.mark.parametrize("split", [False, True])
def test_tar_files_of_several_formats_are_one_dataset(
    run: Callable[..., ExpandReport], load: Callable[..., dict], faces: Path, split: bool
) -> None:
    if split:
        split_up(faces)
    read = load(str(run(format="webdataset", split="all").out))
    for samples in read.values():
        assert samples.features["cls"].names == CLASSES
        assert [(row["jpg"] is None, row["png"] is None) for row in samples] == [(True, False)] * 8 + [
            (False, True)
        ] * 2
        assert {row["json"]["source"].split("/")[-2] for row in samples} == set(CLASSES)
    assert set(read) == ({"train", "test"} if split else {"train"})


@pytest.mark.parametrize("by_name", [False, True])
@pytest.mark.parametrize("annotated", ["anna/1.png", "carla/1.png"])
def test_rows_with_and_without_annotations_are_one_dataset(
    run: Callable[..., ExpandReport], load: Callable[..., dict], tmp_path: Path, annotated: str, by_name: bool
) -> None:
    (tmp_path / "points.csv").write_text(f"file,x0,y0\n{annotated},20,20\n")
    report = run(format="webdataset", image_format="png", annotations=str(tmp_path / "points.csv"))
    read = (load("webdataset", data_dir=str(report.out)) if by_name else load(str(report.out)))["train"]
    rows = [json.loads(line) for line in (report.out / "manifest.jsonl").read_text().splitlines()]
    assert [row["json"]["copy"] for row in read] == [row["copy"] for row in rows]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset does not close its files
def test_webdataset_reads_the_samples(run: Callable[..., ExpandReport]) -> None:
    webdataset = pytest.importorskip("webdataset")
    report = run(format="webdataset")
    paths = sorted(map(str, report.out.glob("*.tar")))
    samples = list(webdataset.WebDataset(paths, shardshuffle=False).decode("rgb8").to_tuple("jpg;png", "cls", "json"))
    assert [CLASSES[cls] for _, cls, _ in samples] == [row["label"] for _, _, row in samples]
    assert [image.shape[:2] for image, _, _ in samples] == [tuple(row["size"]) for _, _, row in samples]
    gc.collect()


def test_an_edited_card_is_kept(run: Callable[..., ExpandReport]) -> None:
    report = run()
    assert "fomaug verify" in (report.out / "README.md").read_text()
    (report.out / "README.md").write_text("mine")
    (report.out / "anna" / "1_m000.png").unlink()
    assert run(resume=True).new == 1
    assert (report.out / "README.md").read_text() == "mine"


def test_a_folder_of_an_older_layout_is_refused(run: Callable[..., ExpandReport]) -> None:
    report = run()
    summary = json.loads((report.out / "expand.json").read_text())
    (report.out / "expand.json").write_text(json.dumps(summary | {"manifest": 3}))
    with pytest.raises(ResumeError, match="version 3 of the output layout, and this fomaug writes version 4; finish"):
        run(resume=True)
    assert summarise(report.out).copies == 10


@pytest.mark.parametrize("include", ["none", "link", "copy"])
def test_the_card_says_whether_there_are_originals(run: Callable[..., ExpandReport], include: str) -> None:
    text = (run(include_sources=include).out / "README.md").read_text()
    assert ("The originals are here, too" in text) == (include != "none")
    assert ("# Synthetic copies of" in text) == (include == "none")
