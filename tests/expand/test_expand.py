from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import fomaug
from fomaug import Animator, DrivingPool, MotionAugment, MotionParams
from fomaug.errors import ArgumentError, MediaError, ResumeError
from fomaug.expand import ExpandPlan, ExpandReport, expand
from fomaug.media import read_mark, read_picture, save_image


@pytest.fixture
def run(tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path) -> Callable[..., ExpandReport]:
    def call(out: str = "out", **options: object) -> ExpandReport:
        options = {"copies": 3, "gates": "off", "dataset": faces, "driving": tiny_pool, "model": tiny_model, **options}
        return expand(options.pop("dataset"), tmp_path / out, **options)

    return call


def rows_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def test_the_package_can_be_called_and_imported_from() -> None:
    import fomaug.expand

    assert callable(fomaug.expand)
    assert fomaug.expand.expand is expand


def test_the_package_and_the_function_are_pickled_by_name() -> None:
    assert pickle.loads(pickle.dumps(fomaug.expand)) is fomaug.expand
    assert pickle.loads(pickle.dumps(fomaug.expand.expand)) is expand
    plan = ExpandPlan("faces", "out", labels={"*": "fake"})
    assert pickle.loads(pickle.dumps(plan)) == plan


def test_the_tree_is_mirrored_and_every_copy_has_a_row(run: Callable[..., ExpandReport], faces: Path) -> None:
    report = run()
    rows = rows_of(report.out)
    assert [row["file"] for row in rows][:4] == [f"anna/1_m00{i}.png" for i in range(3)] + ["anna/2_m000.png"]
    assert {row["file"] for row in rows} == {
        str(path.relative_to(report.out)) for path in report.out.glob("*/*") if path.is_file()
    }
    assert (report.sources, report.planned, report.written, report.new) == (5, 15, 15, 15)
    assert dict(report.labels) == {"anna": 6, "ben": 6, "carla": 3}
    assert report.complete


def test_a_row_has_everything_that_made_the_picture(
    run: Callable[..., ExpandReport], tiny_model: Animator, tiny_pool: DrivingPool, faces: Path
) -> None:
    import hashlib

    out = run(seed=5).out
    row = rows_of(out)[3]
    source = (faces / "anna/2.png").read_bytes()
    assert row["source"] == "anna/2.png"
    assert row["source_hash"] == hashlib.sha256(source).hexdigest()
    assert row["hash"] == hashlib.sha256((out / row["file"]).read_bytes()).hexdigest()
    assert (row["label"], row["copy"], row["split"], row["size"]) == ("anna", 0, None, [40, 40])
    assert row["motion"]["seed"] == 5
    assert row["motion"]["pool_hash"] == tiny_pool.hash
    assert row["motion"]["model_hash"] == tiny_model.hash
    assert isinstance(row["motion"]["reference"], int)


def test_a_row_replays_to_the_same_pixels(
    run: Callable[..., ExpandReport], tiny_model: Animator, tiny_pool: DrivingPool, faces: Path
) -> None:
    import torch

    out = run().out
    row = rows_of(out)[4]
    image = torch.from_numpy(np.asarray(Image.open(faces / row["source"])).copy()).permute(2, 0, 1)[None]
    replayed = MotionAugment(tiny_pool, tiny_model).apply(image, [MotionParams.from_dict(row["motion"])]).image
    written = np.asarray(Image.open(out / row["file"])).astype(int)
    assert np.abs(replayed[0].permute(1, 2, 0).numpy().astype(int) - written).max() <= 1


def test_every_copy_is_marked_and_other_than_its_source(run: Callable[..., ExpandReport], faces: Path) -> None:
    report = run()
    for row in rows_of(report.out):
        assert read_mark(report.out / row["file"]).model == "tiny"
        assert (np.asarray(Image.open(report.out / row["file"])) != np.asarray(Image.open(faces / row["source"]))).any()
    assert report.contact_sheet is not None
    assert read_mark(report.contact_sheet).source_type == "compositeWithTrainedAlgorithmicMedia"


def test_equal_arguments_make_equal_bytes_and_other_seeds_others(
    run: Callable[..., ExpandReport], contents: Callable[[Path], dict[str, bytes]]
) -> None:
    first, second, third = (contents(run(out, seed=seed).out) for out, seed in (("a", 0), ("b", 0), ("c", 1)))
    assert first == second
    assert first["anna/1_m000.png"] != third["anna/1_m000.png"]


def test_other_pictures_do_not_change_a_draw(run: Callable[..., ExpandReport], faces: Path) -> None:
    before = {row["file"]: row["motion"] for row in rows_of(run("a").out)}
    (faces / "anna" / "1.png").unlink()
    after = {row["file"]: row["motion"] for row in rows_of(run("b").out)}
    assert after == {name: motion for name, motion in before.items() if name in after}
    assert len(after) == 12


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("suffix", "dtype"), [("png", np.uint8), ("png", np.uint16), ("tif", np.uint16), ("webp", np.uint8)]
)
def test_kind_size_and_depth_are_kept(
    run: Callable[..., ExpandReport],
    tmp_path: Path,
    suffix: str,
    dtype: type,
    channels: int,
    face: Callable[..., np.ndarray],
) -> None:
    if suffix == "webp" and channels < 3:
        pytest.skip("WebP has no grey")
    source = save_image(tmp_path / "one" / f"a.{suffix}", face(3, 40, 56, channels, dtype))
    report = run(dataset=tmp_path / "one", copies=2)
    before = read_picture(source)
    for row in rows_of(report.out):
        after = read_picture(report.out / row["file"])
        assert (after.pixels.shape, after.pixels.dtype) == (before.pixels.shape, before.pixels.dtype)
        assert (after.alpha is None) == (before.alpha is None)
        if after.alpha is not None:
            assert after.alpha.min() == 0, "the alpha channel moved along, and is not lost"
            assert after.alpha.max() == np.iinfo(dtype).max


def test_pictures_are_turned_upright_by_their_exif(
    run: Callable[..., ExpandReport], tmp_path: Path, face: Callable[..., np.ndarray]
) -> None:
    (tmp_path / "one").mkdir()
    image = Image.fromarray(face(0, 40, 60))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "one" / "a.jpg", exif=exif)
    report = run(dataset=tmp_path / "one", copies=1)
    with Image.open(report.out / "a_m000.jpg") as written:
        assert written.size == (40, 60)
        assert 0x0112 not in written.getexif()


def test_bad_pictures_are_skipped_counted_and_named(run: Callable[..., ExpandReport], faces: Path) -> None:
    (faces / "ben" / "3.png").write_bytes(b"hello")
    (faces / "ben" / "4.jpg").write_bytes((faces / "ben" / "2.jpg").read_bytes()[:300])
    report = run()
    assert report.written == 15
    assert [failure.source for failure in report.failed] == ["ben/3.png", "ben/4.jpg"]
    assert not report.complete
    summary = json.loads((report.out / "expand.json").read_text())
    assert [failure["source"] for failure in summary["failed"]] == ["ben/3.png", "ben/4.jpg"]


def test_a_broken_link_is_a_bad_picture(run: Callable[..., ExpandReport], faces: Path) -> None:
    (faces / "ben" / "3.png").symlink_to(faces / "gone.png")
    assert run(dry_run=True).planned == 18
    report = run()
    assert report.written == 15
    assert [failure.source for failure in report.failed] == ["ben/3.png"]
    assert "No such file" in report.failed[0].reason


def test_bad_pictures_raise_an_error_on_request(run: Callable[..., ExpandReport], faces: Path) -> None:
    (faces / "ben" / "3.png").write_bytes(b"hello")
    with pytest.raises(MediaError, match=r"ben/3\.png: cannot be read as a picture"):
        run(on_error="raise")


def test_only_the_train_split_is_expanded(
    run: Callable[..., ExpandReport], tmp_path: Path, face: Callable[..., np.ndarray]
) -> None:
    for i, split in enumerate(("train", "val", "test")):
        save_image(tmp_path / "split" / split / "anna" / "1.png", face(i))
    report = run(dataset=tmp_path / "split", copies=2)
    assert [row["file"] for row in rows_of(report.out)] == ["train/anna/1_m000.png", "train/anna/1_m001.png"]
    assert rows_of(report.out)[0]["split"] == "train"
    report = run("all", dataset=tmp_path / "split", copies=1, split="all")
    assert [row["split"] for row in rows_of(report.out)] == ["test", "train", "val"]


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_picture_in_no_split_is_skipped_and_named(
    run: Callable[..., ExpandReport], tmp_path: Path, face: Callable[..., np.ndarray], dry_run: bool
) -> None:
    for i, name in enumerate(("train/anna/1.png", "test/anna/1.png", "preview.png")):
        save_image(tmp_path / "split" / name, face(i))
    report = run(dataset=tmp_path / "split", copies=2, dry_run=dry_run)
    assert (report.sources, report.planned, dict(report.labels)) == (1, 2, {"anna": 2})
    assert [failure.source for failure in report.failed] == ["preview.png"]
    assert "no split" in report.failed[0].reason
    with pytest.raises(MediaError, match=r"preview\.png: .*no split"):
        run("raise", dataset=tmp_path / "split", on_error="raise", dry_run=dry_run)
    assert run("all", dataset=tmp_path / "split", split="all", dry_run=dry_run).complete


@pytest.mark.parametrize(
    ("labels", "folders"),
    [("drop", {"."}), ({"*": "fake"}, {"fake"}), ({"anna": "x", "ben": "y", "carla": "y"}, {"x", "y"})],
)
def test_label_policies_name_the_folders(run: Callable[..., ExpandReport], labels: object, folders: set[str]) -> None:
    report = run(labels=labels)
    rows = rows_of(report.out)
    assert {str(Path(row["file"]).parent) for row in rows} == folders
    assert len({row["file"] for row in rows}) == 15
    assert {row["source_label"] for row in rows} == {"anna", "ben", "carla"}


def test_labels_from_the_clips_are_those_of_the_motion(run: Callable[..., ExpandReport]) -> None:
    rows = rows_of(run(labels="from_clip").out)
    assert {row["label"] for row in rows} <= {"nod", "shake", "smile"}
    assert all(row["label"] == row["motion"]["label"] == Path(row["file"]).parts[0] for row in rows)


def test_balance_makes_classes_equal(run: Callable[..., ExpandReport]) -> None:
    report = run(balance=True)
    assert {label: count + {"anna": 2, "ben": 2, "carla": 1}[label] for label, count in report.labels} == {
        "anna": 8,
        "ben": 8,
        "carla": 8,
    }


def test_large_batches_of_any_size_make_the_same_copies(run: Callable[..., ExpandReport]) -> None:
    small, large = run("a", batch_size=1).out, run("b", batch_size=64).out
    for row in rows_of(small):
        first, second = (np.asarray(Image.open(out / row["file"])).astype(int) for out in (small, large))
        assert np.abs(first - second).max() <= 1 or row["file"].endswith("jpg")


def test_a_dry_run_counts_and_writes_nothing(run: Callable[..., ExpandReport], faces: Path) -> None:
    report = run(dry_run=True)
    assert (report.sources, report.planned, report.written) == (5, 15, 0)
    assert report.estimated_bytes == 3 * sum(path.stat().st_size for path in faces.glob("*/*"))
    assert not report.out.exists()


@pytest.mark.parametrize(
    ("labels", "counts"),
    [
        ("keep", (("anna", 6), ("ben", 6), ("carla", 3))),
        ({"*": "fake"}, (("fake", 15),)),
        ({"ben": "b", "*": "others"}, (("b", 6), ("others", 9))),
        ("drop", (("", 15),)),
        ("from_clip", ()),  # clips are not drawn yet
    ],
)
def test_a_dry_run_counts_the_labels_that_copies_will_have(
    run: Callable[..., ExpandReport], labels: str | dict[str, str], counts: tuple[tuple[str, int], ...]
) -> None:
    assert run(dry_run=True, labels=labels).labels == counts


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"copies": 0}, "copies must be 1 or more, got 0"),
        ({"strenght": 1}, "no option 'strenght'; did you mean 'strength_range'"),
        ({"selection": "divers"}, "did you mean 'diverse'"),
        ({"format": "zip"}, "format must be one of folder, webdataset, parquet"),
        ({"labels": "kepe"}, "did you mean 'keep'"),
        ({"strength_range": (1.0, 0.5)}, "strength_range"),
        ({"quality": 0}, "quality must be 1 to 100"),
    ],
)
def test_wrong_options_are_named_before_anything_is_written(
    run: Callable[..., ExpandReport], tmp_path: Path, options: dict, message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        run(**options)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_empty_is_refused(run: Callable[..., ExpandReport], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(ResumeError, match="is not empty"):
        run()
    with pytest.raises(ResumeError, match=r"holds no expand\.json"):
        run(resume=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_a_link_in_the_output_leads_nowhere(run: Callable[..., ExpandReport], tmp_path: Path) -> None:
    report = run(copies=1)
    (tmp_path / "elsewhere").mkdir()
    for path in (report.out / "carla").iterdir():
        path.unlink()
    (report.out / "carla").rmdir()
    (report.out / "carla").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArgumentError, match="outside of"):
        run(copies=1, resume=True)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_fomaug_expand_is_the_function_of_the_readme(
    faces: Path, tmp_path: Path, tiny_model: Animator, tiny_pool
) -> None:
    report = fomaug.expand(faces, tmp_path / "out", driving=tiny_pool, model=tiny_model, copies=1, gates="off")
    assert report.written == 5


def test_no_more_than_a_few_units_are_read_ahead(
    run: Callable[..., ExpandReport], tmp_path: Path, face: Callable[..., np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fomaug.expand import copies as _copies
    from fomaug.expand import run as _run

    for i in range(30):
        save_image(tmp_path / "many" / f"{i:02d}.png", face(i, 32, 32))
    loads, moves, most = 0, 0, 0
    load, move = _run.load, _copies.move

    def count_load(*args: object) -> object:
        nonlocal loads, most
        loads += 1
        most = max(most, loads - moves)
        return load(*args)

    def count_move(*args: object, **options: object) -> object:
        nonlocal moves
        moves += 1
        return move(*args, **options)

    monkeypatch.setattr(_run, "load", count_load)
    monkeypatch.setattr(_copies, "move", count_move)
    run(dataset=tmp_path / "many", copies=2, batch_size=2)
    assert (loads, moves) == (30, 30)
    assert most <= 4


@pytest.mark.parametrize("format", ["folder", "webdataset", "parquet"])
def test_names_of_any_bytes_come_through(
    run: Callable[..., ExpandReport], tmp_path: Path, face: Callable[..., np.ndarray], format: str
) -> None:
    import os
    import sys

    if sys.platform != "linux":
        pytest.skip("other systems allow text only")
    if format == "parquet":
        pytest.importorskip("pyarrow")
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/odd")
    for name in (b"\xff\xfe.png", "\u2028 'quoted' \u00e9.png".encode(), b"new\nline.png", b"bad\xff.png"):
        save_image(Path(folder) / os.fsdecode(name), face(0))
    (Path(folder) / os.fsdecode(b"bad\xff.png")).write_bytes(b"x")
    report = run(dataset=Path(folder), copies=1, format=format)
    assert (report.written, len(report.failed)) == (3, 1)
    assert run(dataset=Path(folder), copies=1, format=format, resume=True).new == 0
    assert len(report.labels) == 1


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_names_of_any_length_come_through(
    run: Callable[..., ExpandReport], tmp_path: Path, face: Callable[..., np.ndarray], suffix: str
) -> None:
    for i, stem in enumerate(("a" * 251, "a" * 250 + "b", "\u8138" * 83, "c" * 240)):
        save_image(tmp_path / "plain.png", face(i))
        (tmp_path / "long").mkdir(exist_ok=True)
        Image.open(tmp_path / "plain.png").save(tmp_path / "long" / f"{stem}.{suffix}")
    report = run(dataset=tmp_path / "long", copies=2)
    assert (report.written, report.failed) == (8, ())
    assert len({row["file"] for row in rows_of(report.out)}) == 8
    assert run(dataset=tmp_path / "long", copies=2, resume=True).new == 0


@pytest.mark.parametrize("name", ["1_m000.png", ".contact_sheet.png", "expand.json"])
def test_a_full_disk_is_named_whatever_is_written(
    run: Callable[..., ExpandReport], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import os

    replace = os.replace

    def fill(source: Path, target: Path) -> None:
        if Path(target).name == name:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr("os.replace", fill)
    with pytest.raises(
        MediaError,
        match=r"cannot write to \S+: No space left on device; files already written are complete; resume=True",
    ):
        run()


def test_errors_of_a_detector_are_raised_unchanged(run: Callable[..., ExpandReport]) -> None:
    def find(picture: np.ndarray) -> list:
        raise ConnectionError("no answer")

    with pytest.raises(ConnectionError, match="no answer"):
        run(faces="detect", detector=find)
