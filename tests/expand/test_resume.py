"""A job that is killed at any moment goes on where it was, and ends with the bytes of an unbroken run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fresh
import numpy as np
import pytest
from PIL import Image

from fomaug import Animator, DrivingPool, save_model
from fomaug.errors import ArgumentError, ResumeError
from fomaug.expand import ExpandReport, expand, finish
from fomaug.expand.manifest import Part, list_parts
from fomaug.files import is_temporary

Contents = Callable[[Path], dict[str, bytes]]
FORMATS = ["folder", "webdataset", "parquet"]


class Killed(BaseException):
    """What no code catches."""


@pytest.fixture
def run(run_small: Callable[..., ExpandReport]) -> Callable[..., ExpandReport]:
    return run_small


def count_down(function: Callable[..., object], steps: int) -> Callable[..., object]:
    def call(*args: object, **options: object) -> object:
        nonlocal steps
        steps -= 1
        if steps < 0:
            raise Killed
        return function(*args, **options)

    return call


@pytest.mark.parametrize("format", FORMATS)
def test_a_job_survives_a_kill_at_every_rename_and_row(
    run: Callable[..., ExpandReport], contents: Contents, tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    whole = contents(run("whole", format=format).out)
    died = 0
    for target in ("os.replace", "fomaug.expand.manifest.append_line"):
        module, _, name = target.rpartition(".")
        for steps in range(0, 40, 4 if format == "folder" else 2):
            out = tmp_path / "broken"
            shutil.rmtree(out, ignore_errors=True)
            with monkeypatch.context() as patch:
                patch.setattr(target, count_down(getattr(sys.modules[module], name), steps))
                try:
                    run("broken", format=format)
                except Killed:
                    died += 1
                else:
                    break
            run("broken", format=format, resume=True)
            assert contents(out) == whole, (target, steps)
    assert died >= 5


@pytest.mark.parametrize("format", FORMATS)
def test_an_incomplete_line_of_the_manifest_is_repaired(
    run: Callable[..., ExpandReport], contents: Contents, rng: np.random.Generator, format: str
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    out = run("whole", format=format).out
    whole = contents(out)
    for length in [0, 1, *rng.integers(2, len(whole["manifest.jsonl"]), 3)]:
        (out / "manifest.jsonl").write_bytes(whole["manifest.jsonl"][: int(length)])
        report = run("whole", format=format, resume=True)
        assert contents(out) == whole
        assert report.new > 0


def test_lost_and_cut_pictures_are_made_again(run: Callable[..., ExpandReport], contents: Contents) -> None:
    out = run("whole").out
    whole = contents(out)
    (out / "anna" / "1_m001.png").unlink()
    (out / "ben" / "1_m000.png").write_bytes(b"cut")
    (out / "ben" / ".1_m000.png.fomaug-tmp").write_bytes(b"left behind")
    assert run("whole", resume=True).new == 2
    assert contents(out) == whole


def test_a_lost_mark_of_a_bitmap_is_made_again(
    run: Callable[..., ExpandReport], contents: Contents, faces: Path
) -> None:
    with Image.open(faces / "anna" / "1.png") as picture:
        picture.save(faces / "anna" / "3.bmp")
    out = run("whole").out
    whole = contents(out)
    (out / "anna" / "3_m001.bmp.xmp").unlink()
    assert run("whole", resume=True).new == 1
    assert contents(out) == whole


def test_resuming_a_finished_job_does_nothing(run: Callable[..., ExpandReport], contents: Contents) -> None:
    first = run("whole")
    before = contents(first.out)
    again = run("whole", resume=True)
    assert (again.new, again.written, again.labels) == (0, first.written, first.labels)
    assert contents(first.out) == before


def test_resume_of_a_new_folder_begins(run: Callable[..., ExpandReport], tmp_path: Path) -> None:
    assert run("new", resume=True).new == 10


def test_a_picture_that_failed_is_tried_again(
    run: Callable[..., ExpandReport], contents: Contents, faces: Path
) -> None:
    good = (faces / "anna" / "2.png").read_bytes()
    (faces / "anna" / "2.png").write_bytes(b"\0" * len(good))
    report = run("broken")
    assert [failure.source for failure in report.failed] == ["anna/2.png"]
    assert contents(run("broken", resume=True).out) == contents(run("broken too").out)
    (faces / "anna" / "2.png").write_bytes(good)
    report = run("broken", resume=True)
    assert (report.new, report.failed) == (2, ())
    assert contents(report.out) == contents(run("whole").out)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 3}, ": seed: was 0, is 3"),
        ({"copies": 3}, ": copies: was 2, is 3"),
        ({"strength_range": (0.5, 1.0)}, r": strength_range: was \[0.3, 1.0\], is \[0.5, 1.0\]"),
        ({"labels": {"*": "x"}}, r': labels: was "keep", is {"\*": "x"}'),
        ({"format": "webdataset"}, ': format: was "folder", is "webdataset"'),
    ],
)
def test_changed_settings_are_refused_and_named(
    run: Callable[..., ExpandReport], contents: Contents, options: dict[str, object], message: str
) -> None:
    out = run("whole").out
    before = contents(out)
    with pytest.raises(ResumeError, match=message):
        run("whole", resume=True, **options)
    assert contents(out) == before


def test_a_job_of_older_draws_is_refused_and_told_what_to_do(run: Callable[..., ExpandReport]) -> None:
    out = run("a").out
    summary = json.loads((out / "expand.json").read_text())
    assert summary.pop("draws") == 2
    (out / "expand.json").write_text(json.dumps(summary))
    with pytest.raises(ResumeError, match=r"begun with version 1 of the draws.* version 2.*in a new folder"):
        run("a", resume=True)


def test_another_pool_or_dataset_is_refused(
    run: Callable[..., ExpandReport], tiny_pool: DrivingPool, faces: Path
) -> None:
    run("whole")
    with pytest.raises(ResumeError, match=r"pool\.hash: was .*pool\.tracks: was 3, is 1"):
        run("whole", driving=tiny_pool.select("nod"), resume=True)
    (faces / "anna" / "3.png").write_bytes((faces / "anna" / "1.png").read_bytes())
    with pytest.raises(ResumeError, match=r"new folder: new: anna/3\.png$"):
        run("whole", resume=True)


@pytest.mark.parametrize("format", FORMATS)
def test_a_source_that_is_deleted_after_its_copies_are_made_does_not_stop_the_job(
    run: Callable[..., ExpandReport], faces: Path, tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    from fomaug.expand import complete as _complete

    def delete_first(*arguments: Any, **options: Any) -> Any:
        (faces / "ben" / "1.png").unlink()
        return save(*arguments, **options)

    save = _complete.save_contact_sheet
    monkeypatch.setattr(_complete, "save_contact_sheet", delete_first)
    report = run("out", format=format)
    monkeypatch.undo()
    assert (report.written, report.complete) == (10, False)
    assert [failure.source for failure in report.failed] == ["ben/1.png"]
    assert "not on the contact sheet: cannot be read: No such file" in report.failed[0].reason
    assert report.contact_sheet is not None
    assert json.loads((tmp_path / "out" / "expand.json").read_text())["state"] == "done"
    again = run("out", format=format, resume=True)
    assert (again.new, again.written, again.failed) == (0, 10, report.failed)


@pytest.mark.parametrize("format", FORMATS)
def test_a_job_continues_without_a_deleted_source(
    run: Callable[..., ExpandReport],
    contents: Contents,
    faces: Path,
    tmp_path: Path,
    format: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    whole = contents(run("whole", format=format).out)
    with monkeypatch.context() as patch:
        patch.setattr("fomaug.expand.manifest.append_line", count_down(sys.modules[Part.__module__].append_line, 1))
        with pytest.raises(Killed):
            run("broken", format=format)
    (faces / "carla" / "1.png").rename(tmp_path / "aside.png")
    report = run("broken", format=format, resume=True)
    assert [failure.source for failure in report.failed] == ["carla/1.png"]
    assert report.written == 8
    (tmp_path / "aside.png").rename(faces / "carla" / "1.png")
    assert run("broken", format=format, resume=True).failed == ()
    assert contents(report.out) == whole


@pytest.mark.parametrize("kept", [True, False])
def test_a_deleted_copy_does_not_stop_the_job(
    run: Callable[..., ExpandReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, kept: bool
) -> None:
    from fomaug.expand import complete as _complete

    def delete_first(*arguments: Any, **options: Any) -> Any:
        (tmp_path / "out" / "ben" / "1_m001.png").unlink()
        if not kept:
            shutil.rmtree(tmp_path / "out" / ".fomaug-thumbnails")
        return save(*arguments, **options)

    save = _complete.save_contact_sheet
    monkeypatch.setattr(_complete, "save_contact_sheet", delete_first)
    report = run("out")
    monkeypatch.undo()
    assert [failure.source for failure in report.failed] == ([] if kept else ["ben/1.png"])
    assert kept or "ben/1_m001.png" in report.failed[0].reason
    again = run("out", resume=True)
    assert (again.new, again.failed) == (1, ())


def test_a_source_that_is_replaced_is_another_dataset(run: Callable[..., ExpandReport], faces: Path) -> None:
    run("whole")
    (faces / "anna" / "1.png").rename(faces / "anna" / "9.png")
    with pytest.raises(ResumeError, match=r"with other pictures, .*: new: anna/9\.png; missing: anna/1\.png$"):
        run("whole", resume=True)
    (faces / "anna" / "9.png").rename(faces / "anna" / "1.png")
    with (faces / "anna" / "1.png").open("ab") as file:
        file.write(b"more")
    with pytest.raises(ResumeError, match=r"give a new folder: of another size: anna/1\.png$"):
        run("whole", resume=True)
    (run("other").out / "sources.jsonl").unlink()
    (faces / "anna" / "1.png").unlink()
    with pytest.raises(ResumeError, match=r"dataset\.pictures: was 5, is 4"):
        run("other", resume=True)


@pytest.fixture
def replaced(faces: Path) -> Callable[[bool], None]:
    """A dataset with an unreadable picture. The function restores it, and replaces another by one of the same size."""
    first, second, unread = (faces / name for name in ("anna/1.png", "carla/1.png", "anna/2.png"))
    size = max(first.stat().st_size, second.stat().st_size)
    old, new = (path.read_bytes().ljust(size, b"\0") for path in (first, second))
    whole = unread.read_bytes()
    first.write_bytes(old)
    unread.write_bytes(bytes(len(whole)))

    def restore(replace: bool) -> None:
        unread.write_bytes(whole)  # an archive is made again as a whole
        first.write_bytes(new if replace else old)

    return restore


@pytest.mark.parametrize("format", ["folder", "webdataset"])
def test_a_picture_that_is_replaced_by_one_of_the_same_size_is_named_if_it_is_read_again(
    run: Callable[..., ExpandReport], replaced: Callable[[bool], None], format: str
) -> None:
    out = run("out", format=format).out
    lines = (out / "manifest.jsonl").read_bytes().splitlines()
    (out / "anna" / "1_m001.png").unlink(missing_ok=True)
    replaced(True)
    with pytest.raises(ResumeError, match=r"^anna/1\.png was replaced since .*; restore it, or give a new folder$"):
        run("out", format=format, resume=True)
    replaced(False)
    assert run("out", format=format, resume=True).written == 10
    assert set(lines) <= set((out / "manifest.jsonl").read_bytes().splitlines())


@pytest.mark.parametrize("format", FORMATS)
def test_a_replaced_picture_whose_copies_were_rejected_is_named(
    run: Callable[..., ExpandReport], replaced: Callable[[bool], None], format: str
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    options = {"format": format, "gates": {"max_occluded": -1.0}, "tries": 1}
    assert run("out", **options).rejected == 8
    replaced(True)
    with pytest.raises(ResumeError, match=r"^anna/1\.png was replaced since "):
        run("out", **options, resume=True)


def test_pictures_that_exchanged_their_classes_are_other_pictures(
    run: Callable[..., ExpandReport], faces: Path
) -> None:
    rows = ["file_name,label", "anna/1.png,a", "anna/2.png,b", "ben/1.png,b", "ben/2.jpg,b", "carla/1.png,b"]
    (faces / "metadata.csv").write_text("\n".join(rows))
    assert run("whole").labels == (("a", 2), ("b", 8))
    (faces / "metadata.csv").write_text("\n".join([rows[0], "anna/1.png,b", "anna/2.png,a", *rows[3:]]))
    with pytest.raises(ResumeError, match=r"of another class or split: anna/1\.png, anna/2\.png$"):
        run("whole", resume=True)


@pytest.mark.parametrize(
    "line", ["[", "1", '["a/1.png", "a", ""]', '["../a.png", "", "", 9]', '["a.png", "", "", "9"]']
)
def test_a_damaged_list_of_sources_is_refused(run: Callable[..., ExpandReport], line: str) -> None:
    out = run("whole").out
    (out / "sources.jsonl").write_text(f"{line}\n")
    with pytest.raises(ResumeError, match=r"sources\.jsonl is damaged; remove it, and resume"):
        run("whole", resume=True)
    (out / "sources.jsonl").unlink()
    assert run("whole", resume=True).new == 0


def test_settings_that_do_not_change_copies_may_change(run: Callable[..., ExpandReport]) -> None:
    run("whole")
    assert run("whole", resume=True, workers=3, on_error="raise").new == 0


def test_a_damaged_manifest_is_refused(run: Callable[..., ExpandReport]) -> None:
    out = run("whole").out
    lines = (out / "manifest.jsonl").read_text().splitlines(keepends=True)
    (out / "manifest.jsonl").write_text("".join([*lines[:2], "what?\n", *lines[3:]]))
    with pytest.raises(ResumeError, match=r"manifest\.jsonl, line 3 is damaged"):
        run("whole", resume=True)


def test_an_interrupted_job_leaves_only_complete_files(
    run: Callable[..., ExpandReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fomaug.expand import copies as _copies

    monkeypatch.setattr(_copies, "move", count_down(_copies.move, 2))
    with pytest.raises(Killed):
        run("broken")
    assert not [path for path in (tmp_path / "broken").rglob(".*") if is_temporary(path)]
    assert json.loads((tmp_path / "broken" / "expand.json").read_text())["state"] == "running"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"points": [', '"points": "x", "was": ['),
        ('"points": [[', '"points": [[1, 2, 3], ['),
        ('"points": [', '"points": [{}, '),
        ('"visible": [', '"visible": [[], '),
        ('"visible": [', '"visible": 3, "was": ['),
    ],
)
def test_rows_whose_annotations_were_edited_to_nonsense_are_named(
    run: Callable[..., ExpandReport], tmp_path: Path, old: str, new: str
) -> None:
    (tmp_path / "points.csv").write_text("file,x0,y0\nanna/1.png,10,12\n")
    manifest = run("out", annotations=str(tmp_path / "points.csv")).out / "manifest.jsonl"
    assert old in manifest.read_text()
    manifest.write_text(manifest.read_text().replace(old, new))
    with pytest.raises(ResumeError, match=r"manifest\.jsonl holds a row that fomaug expand did not write"):
        run("out", annotations=str(tmp_path / "points.csv"), resume=True)


@pytest.mark.parametrize("added", ['"was":\r 1, ', f'"was": {"9" * 5000}, '], ids=["carriage return", "digits"])
def test_unusual_valid_rows_are_kept(run: Callable[..., ExpandReport], added: str) -> None:
    manifest = run("out").out / "manifest.jsonl"
    first, rest = manifest.read_bytes().split(b"\n", 1)
    edited = first.replace(b"{", b"{" + added.encode(), 1) + b"\n" + rest
    manifest.write_bytes(edited)
    assert run("out", resume=True).new == 0
    assert manifest.read_bytes() == edited


@pytest.mark.usefixtures("heard_interrupts")
def test_interrupted_and_killed_processes_lose_nothing(
    tiny_model: Animator, tiny_pool: DrivingPool, tmp_path: Path, face: Callable[..., np.ndarray], contents: Contents
) -> None:
    from fomaug.media import save_image

    pictures = 64  # enough that a busy machine does not finish them all before the signal comes
    for i in range(pictures):
        save_image(tmp_path / "faces" / f"person {i % 3}" / f"{i}.jpg", face(i))
    save_model(tiny_model, tmp_path / "tiny.safetensors", half=False)
    tiny_pool.save(tmp_path / "pool.safetensors")

    def start(out: str, *words: str) -> fresh.Process:
        command = ["-m", "fomaug", "expand", "faces", out, "--model", "tiny.safetensors"]
        options = [
            "--driving",
            "pool.safetensors",
            "--copies",
            "4",
            "--batch-size",
            "4",
            "--device",
            "cpu",
            "--gates",
            "off",
        ]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
        return fresh.start([*command, *options, *words], cwd=tmp_path, env=environment)

    def rows() -> int:
        paths = [tmp_path / "broken" / "manifest.jsonl", *list_parts(tmp_path / "broken")]
        return sum(path.read_bytes().count(b"\n") for path in paths if path.exists())

    whole = start("whole")
    assert whole.communicate()[1] is not None
    assert whole.returncode == 0
    for kills, number in ((12, signal.SIGINT), (40, signal.SIGKILL)):
        process = start("broken", "--resume")
        while rows() < kills and process.poll() is None:
            time.sleep(0.002)
        process.send_signal(number)
        complaint = process.communicate()[1].decode()
        assert rows() < pictures * 4, "it was stopped before it was done"
        if number == signal.SIGINT:
            assert process.returncode == 130
            assert "--resume continues" in complaint
            assert not [path for path in (tmp_path / "broken").rglob(".*") if is_temporary(path)]
    last = start("broken", "--resume")
    last.communicate()
    assert last.returncode == 0
    assert contents(tmp_path / "broken") == contents(tmp_path / "whole")


def test_numbers_of_numpy_and_paths_are_saved_as_those_of_python(
    run: Callable[..., ExpandReport], contents: Contents, tmp_path: Path
) -> None:
    (tmp_path / "points.csv").write_text("file,x0,y0\nanna/1.png,5,5\n")
    plain = {"copies": 2, "seed": 3, "quality": 90, "strength_range": (0.25, 0.5), "processes": 1}
    annotations = {"annotations": str(tmp_path / "points.csv")}
    expected = contents(run("plain", **plain, **annotations).out)
    out = run(
        "numpy",
        copies=np.int64(2),
        seed=np.int64(3),
        quality=np.uint8(90),
        strength_range=np.array([0.25, 0.5]),
        processes=np.int64(1),
        annotations=tmp_path / "points.csv",
    ).out
    assert {n: b for n, b in contents(out).items() if "_m0" in n or n == "manifest.jsonl"} == {
        n: b for n, b in expected.items() if "_m0" in n or n == "manifest.jsonl"
    }
    assert run("numpy", **plain, **annotations, resume=True).new == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"copies": 1.5}, "copies must be a whole number, got 1.5"),
        ({"copies": "2"}, "copies must be a whole number, got '2'"),
        ({"quality": 90.5}, "quality must be a whole number, got 90.5"),
        ({"gates": None}, "gates must be on, off or thresholds by name, got None"),
        ({"resume": "no"}, "resume must be True or False, got 'no'"),
        ({"dry_run": "no"}, "dry_run must be True or False, got 'no'"),
        ({"prepare": "no"}, "prepare must be True or False, got 'no'"),
        ({"progress": "no"}, "progress must be True or False, got 'no'"),
        ({"views": ""}, "views is an empty text; leave it out for its default"),
        ({"annotations": ""}, "annotations is an empty text; leave it out for its default"),
        ({"annotations": 5}, "annotations must be a text, got 5; leave it out for its default"),
        ({"dtype": 16}, "dtype must be one of auto, float32, bfloat16, float16, got 16"),
        ({"views": "zz"}, "views must be NAME=ANGLES words such as 'yaw=-40:40:20 roll=0', got 'zz'"),
        ({"views": " "}, "views must be NAME=ANGLES words such as 'yaw=-40:40:20 roll=0', got ' '"),
        ({"balance": "yes"}, "balance must be True or False, got 'yes'"),
        ({"labels": {...}}, "labels must be keep, from_clip, drop or a mapping from old to new ones, got {Ellipsis}"),
        ({"labels": {}}, "a mapping from old to new ones, got {}"),
        ({"labels": {1: "a"}}, "a mapping from old to new ones, got {1: 'a'}"),
        ({"labels": None}, "a mapping from old to new ones, got None"),
        ({"clip_weights": {"talk": "a"}}, "mapping from names or labels of clips to numbers, got {'talk': 'a'}"),
        ({"clip_weights": [1]}, r"mapping from names or labels of clips to numbers, got \[1\]"),
        ({"embed": "x", "faces": "detect"}, "embed must be a function, got 'x'"),
        ({"detector": 3, "faces": "detect"}, "detector must be a function, got 3"),
        ({"detector": list}, "detector needs faces='detect', but faces is 'frame'; change one of them"),
    ],
)
def test_wrong_arguments_are_named_before_anything_is_written(
    run: Callable[..., ExpandReport], tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    for dry_run in (True, False):
        with pytest.raises(ArgumentError, match=message):
            run("wrong", **{"dry_run": dry_run, "driving": "auto", **options})
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize("name", ["dataset", "out", "driving", "model"])
def test_an_empty_text_is_not_the_working_folder(name: str) -> None:
    with pytest.raises(ArgumentError, match=f"{name} is an empty text; give "):
        expand(**{"dataset": "faces", "out": "out", name: ""}, dry_run=True)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ({"copies": "four"}, "copies must be a whole number, got 'four'"),
        ({"gates": "perhaps"}, "gates must be on, off or thresholds by name, got 'perhaps'"),
        ({"gates": {"max_fold": 1}}, "gates must be among .*, got 'max_fold'"),
        ({"dtype": "float23"}, "dtype must be one of auto, float32, .*got 'float23'"),
        ({"annotation_format": "cocoa"}, "no annotation format 'cocoa'"),
    ],
)
def test_a_wrong_setting_in_the_summary_is_named_with_its_file(
    run: Callable[..., ExpandReport], tmp_path: Path, setting: dict[str, Any], reason: str
) -> None:
    run("out", prepare=True)
    path = tmp_path / "out" / "expand.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps({**summary, "settings": {**summary["settings"], **setting}}))
    with pytest.raises(ResumeError, match=rf"^{re.escape(str(path))} is damaged: {reason}"):
        finish(tmp_path / "out")
    path.write_text(json.dumps(summary))
    with pytest.raises(ArgumentError, match=r"^workers must be 1 or more, got 0"):
        finish(tmp_path / "out", workers=0)
