"""`include_sources`: originals and copies under one root, with rows of their own."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fomaug import Animator, DrivingPool
from fomaug.convert import convert
from fomaug.errors import ArgumentError
from fomaug.expand import ExpandReport, expand, find_leaks, summarise
from fomaug.expand.formats import load_outputs
from fomaug.labels import read_annotations
from fomaug.media import read_mark, read_picture, save_image

KEYS = ["anna/1.png", "anna/2.png", "ben/1.png", "ben/2.jpg", "carla/1.png"]
CLASSES = ["anna", "ben", "carla"]


def rows_of(out: Path, *, originals: bool) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    return [row for row in rows if ("original" in row) == originals]


@pytest.fixture
def run(tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path) -> Callable[..., ExpandReport]:
    def call(out: str = "out", **options: Any) -> ExpandReport:
        options = {"gates": "off", "copies": 2, "batch_size": 2, "include_sources": "copy", **options}
        options.setdefault("dataset", faces)
        target = out if "://" in out else tmp_path / out
        return expand(out=target, driving=tiny_pool, model=tiny_model, **options)

    return call


def read_original(out: Path, row: dict[str, Any]) -> bytes:
    return load_outputs(out, [row])[0]


@pytest.mark.parametrize("format", ["folder", "webdataset", "parquet"])
@pytest.mark.parametrize("mode", ["link", "copy"])
def test_originals_have_their_bytes_and_their_own_rows(
    run: Callable[..., ExpandReport], faces: Path, format: str, mode: str
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    report = run(include_sources=mode, format=format, samples_per_shard=3)
    rows = rows_of(report.out, originals=True)
    assert sorted(row["source"] for row in rows) == KEYS
    assert (report.originals, report.written, len(rows_of(report.out, originals=False))) == (5, 10, 10)
    for row in rows:
        content = read_original(report.out, row)
        assert content == (faces / row["source"]).read_bytes()
        assert row["original"] is True and "motion" not in row and "model" not in row
        assert row["label"] == row["source"].split("/")[0]
        assert (row["bytes"], row["size"]) == (len(content), list(Image.open(io.BytesIO(content)).size[::-1]))
        assert not read_mark(content).synthetic, "no original is marked as synthetic"
    assert summarise(report.out).copies == 10


def test_links_are_relative_and_survive_a_move(run: Callable[..., ExpandReport], faces: Path, tmp_path: Path) -> None:
    report = run(include_sources="link")
    link = report.out / "anna" / "1.png"
    assert link.readlink().as_posix() == "../../faces/anna/1.png"
    (tmp_path / "elsewhere").mkdir()
    for folder in (faces, report.out):
        shutil.move(folder, tmp_path / "elsewhere" / folder.name)
    moved = tmp_path / "elsewhere" / "out" / "anna" / "1.png"
    assert read_picture(moved).size == (48, 48)


@pytest.mark.parametrize("mode", ["link", "copy"])
def test_copies_are_those_of_a_job_without_originals(
    run: Callable[..., ExpandReport], contents: Callable[[Path], dict[str, bytes]], mode: str
) -> None:
    plain, both = run("a", include_sources="none"), run("b", include_sources=mode)
    copies = rows_of(plain.out, originals=False)
    assert copies == rows_of(both.out, originals=False)
    assert plain.originals == 0
    first, second = contents(plain.out), contents(both.out)
    assert all(second[row["file"]] == first[row["file"]] for row in copies)
    assert set(second) - set(first) == set(KEYS)


@pytest.mark.parametrize("format", ["folder", "webdataset"])
def test_a_resumed_job_has_the_same_files(
    run: Callable[..., ExpandReport], contents: Callable[[Path], dict[str, bytes]], format: str
) -> None:
    report = run(format=format)
    wanted = contents(report.out)
    damaged = next(row["file"] for row in rows_of(report.out, originals=True))
    (report.out / damaged).write_bytes(b"")
    summary = json.loads((report.out / "expand.json").read_text())
    (report.out / "expand.json").write_text(json.dumps({**summary, "state": "running"}))
    lines = (report.out / "manifest.jsonl").read_text().splitlines()[:12]  # as if killed while rows were written
    (report.out / "manifest.jsonl").write_text("".join(f"{line}\n" for line in lines))
    again = run(format=format, resume=True)
    assert again.new == 0
    assert contents(report.out) == wanted


@pytest.mark.parametrize("format", ["folder", "webdataset"])
def test_whole_originals_are_not_written_again(run: Callable[..., ExpandReport], format: str) -> None:
    report = run(format=format)
    files = {row["file"] for row in rows_of(report.out, originals=True)}
    before = {file: (report.out / file).stat().st_ino for file in files}
    run(format=format, resume=True)
    assert {file: (report.out / file).stat().st_ino for file in files} == before


@pytest.mark.parametrize("format", ["folder", "webdataset"])
def test_shares_leave_the_originals_to_the_end(
    run: Callable[..., ExpandReport],
    contents: Callable[[Path], dict[str, bytes]],
    format: str,
) -> None:
    wanted = contents(run("whole", format=format, samples_per_shard=4).out)
    for number in (1, 0):
        report = run("parts", format=format, samples_per_shard=4, shard=f"{number}/2")
        assert not report.originals
    joined = run("parts", format=format, samples_per_shard=4, resume=True)
    assert joined.originals == 5
    assert contents(joined.out) == wanted


def test_an_original_with_the_name_of_a_copy_keeps_it(
    run: Callable[..., ExpandReport], faces: Path, face: Callable[..., np.ndarray]
) -> None:
    save_image(faces / "anna" / "1_m000.png", face(9))
    report = run()
    assert (report.out / "anna" / "1_m000.png").read_bytes() == (faces / "anna" / "1_m000.png").read_bytes()
    files = [row["file"] for originals in (False, True) for row in rows_of(report.out, originals=originals)]
    assert len(set(files)) == len(files) == 18
    assert all((report.out / file).is_file() for file in files)


def test_an_original_that_cannot_be_used_is_left_out_and_named_once(
    run: Callable[..., ExpandReport], faces: Path
) -> None:
    (faces / "anna" / "2.png").write_bytes((faces / "anna" / "2.png").read_bytes()[:200])
    report = run()
    assert [failure.source for failure in report.failed] == ["anna/2.png"]
    assert not (report.out / "anna" / "2.png").exists()
    assert report.originals == 4


def test_an_original_that_is_deleted_meanwhile_is_named(run: Callable[..., ExpandReport], faces: Path) -> None:
    run()
    (faces / "ben" / "1.png").unlink()
    report = run(resume=True)
    assert [failure.source for failure in report.failed] == ["ben/1.png"]
    assert (report.written, report.originals) == (10, 4)


def test_mapped_labels_do_not_change_originals(run: Callable[..., ExpandReport]) -> None:
    report = run(labels={"*": "fake"}, format="webdataset")
    for row in rows_of(report.out, originals=True):
        assert row["label"] == row["source"].split("/")[0]
        with tarfile.open(report.out / row["file"]) as archive:
            number = archive.extractfile(str(Path(row["member"]).with_suffix(".cls")))
            assert number is not None
            assert ["anna", "ben", "carla", "fake"][int(number.read())] == row["label"]
    folder = run("b", labels={"*": "fake"})
    assert sorted(path.name for path in folder.out.iterdir() if path.is_dir()) == ["anna", "ben", "carla", "fake"]


@pytest.mark.parametrize("form", ["csv", "pts", "masks"])
def test_annotations_describe_originals_and_copies(
    run: Callable[..., ExpandReport], faces: Path, tmp_path: Path, form: str
) -> None:
    given = tmp_path / ("points.csv" if form == "csv" else form)
    points = np.array([[15.0, 16], [30, 17], [22, 24], [16, 32], [29, 33]])
    for key in KEYS:
        if form == "masks":
            size = read_picture(faces / key).size
            save_image((given / key).with_suffix(".png"), np.tri(*size, dtype=np.uint8))
        elif form == "pts":
            (given / key).parent.mkdir(parents=True, exist_ok=True)
            body = "\n".join(f"{x} {y}" for x, y in points)
            (given / key).with_suffix(".pts").write_text(f"version: 1\nn_points: 5\n{{\n{body}\n}}\n")
    if form == "csv":
        head = ",".join(f"x{n},y{n}" for n in range(5))
        given.write_text(
            f"file,{head}\n" + "".join(",".join([key, *map(str, points.flatten())]) + "\n" for key in KEYS)
        )
    report = run(annotations=str(given))
    read = read_annotations(report.out / given.name if form == "csv" else report.out, report.out, format=form)
    assert len(read) == 15
    for key in KEYS:
        if form == "masks":
            assert read[key].mask is not None and read[key].mask.sum() > 100
        else:
            np.testing.assert_allclose(read[key].points, points)


def test_loaders_find_originals_and_copies(run: Callable[..., ExpandReport], tmp_path: Path) -> None:
    folders = pytest.importorskip("torchvision.datasets")
    report = run(include_sources="link")
    assert folders.ImageFolder(str(report.out)).classes == CLASSES
    assert len(folders.ImageFolder(str(report.out))) == 15
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    read = datasets.load_dataset(str(report.out), cache_dir=str(tmp_path / "cache"))["train"]
    assert (len(read), read.features["label"].names) == (15, CLASSES)
    tars = datasets.load_dataset(str(run("tars", format="webdataset").out), cache_dir=str(tmp_path / "cache"))["train"]
    assert len(tars) == 15
    assert sum(row["jpg"] is not None for row in tars) == 3
    assert sorted(row["json"]["source"] for row in tars if row["json"]["copy"] is None) == KEYS


def test_a_conversion_has_every_original_once(run: Callable[..., ExpandReport], tmp_path: Path) -> None:
    report = run()
    converted = convert(report.out, tmp_path / "converted", to="folder", on_note=[].append)
    assert (converted.originals, converted.copies) == (5, 10)


def test_originals_are_not_leaks(run: Callable[..., ExpandReport]) -> None:
    assert find_leaks([run().out], drivers=False) == []


def test_another_mode_is_refused(run: Callable[..., ExpandReport]) -> None:
    with pytest.raises(ArgumentError, match="include_sources"):
        run(include_sources="move")


@pytest.mark.parametrize("kind", ["as_list", "as_tars"])
def test_originals_that_are_no_files_of_a_folder_are_linked_or_written(
    run: Callable[..., ExpandReport], request: pytest.FixtureRequest, faces: Path, kind: str
) -> None:
    report = run(include_sources="link", dataset=request.getfixturevalue(kind))
    rows = rows_of(report.out, originals=True)
    assert len(rows) == report.originals == 5
    for row in rows:
        path = report.out / row["file"]
        assert path.is_symlink() == (kind == "as_list"), "an archive cannot be linked to"
        assert path.read_bytes() == (faces / row["source"]).read_bytes()
        assert row["bytes"] == path.stat().st_size


def test_originals_are_written_to_storage(
    run: Callable[..., ExpandReport], contents: Callable[[Path], dict[str, bytes]]
) -> None:
    fsspec = pytest.importorskip("fsspec")
    local = contents(run("local", format="webdataset").out)
    try:
        report = run("memory://faces/out", format="webdataset")
        storage = fsspec.filesystem("memory")
        found = {path.rpartition("/")[2]: storage.cat_file(path) for path in storage.find("/faces/out")}
        assert report.originals == 5
        assert {name for name in found if name.endswith(".tar")} == {name for name in local if name.endswith(".tar")}
        assert all(found[name] == local[name] for name in found if name.endswith((".tar", "manifest.jsonl")))
        assert run("memory://faces/out", format="webdataset", resume=True).new == 0
    finally:
        fsspec.filesystem("memory").rm("/", recursive=True)
