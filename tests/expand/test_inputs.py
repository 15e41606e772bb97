"""Lists, tar files and parquet files give the copies of the folder that they were made from."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fomaug import Animator, DrivingPool
from fomaug.convert import convert
from fomaug.errors import ArgumentError, MediaError, ResumeError
from fomaug.expand import ExpandReport, expand
from fomaug.expand.dataset import find_sources, listed_sources
from fomaug.expand.inputs import safe_key

Contents = Callable[[Path], dict[str, bytes]]
KINDS = ["as_list", "as_tars", "as_parquet"]


@pytest.fixture
def run(tiny_model: Animator, tiny_pool: DrivingPool, tmp_path: Path) -> Callable[..., ExpandReport]:
    def call(dataset: Path | str, out: str, **options: object) -> ExpandReport:
        options = {"gates": "off", "copies": 2, "batch_size": 4, "workers": 1, **options}
        return expand(dataset, tmp_path / out, model=tiny_model, driving=tiny_pool, **options)

    return call


@pytest.fixture
def dataset(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


def pictures(contents: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in contents.items() if "_m0" in name}


@pytest.mark.parametrize("dataset", KINDS, indirect=True)
def test_copies_are_those_of_the_folder(
    run: Callable[..., ExpandReport], contents: Contents, faces: Path, dataset: Path
) -> None:
    whole = pictures(contents(run(faces, "folder").out))
    report = run(dataset, "other")
    assert (report.written, report.failed) == (10, ())
    assert pictures(contents(report.out)) == whole
    assert dict(report.labels) == {"anna": 4, "ben": 4, "carla": 2}
    assert (report.out / ".contact_sheet.png").is_file()


@pytest.mark.parametrize("dataset", KINDS, indirect=True)
def test_an_interrupted_job_resumes_to_the_same_bytes(
    run: Callable[..., ExpandReport], contents: Contents, tmp_path: Path, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = contents(run(dataset, "whole").out)
    from fomaug.expand.manifest import Part

    append, calls = Part.append, []

    def stop(part: Part, rows: object) -> None:
        calls.append(part)
        if len(calls) == 2:
            raise KeyboardInterrupt
        append(part, rows)

    monkeypatch.setattr(Part, "append", stop)
    with pytest.raises(KeyboardInterrupt):
        run(dataset, "broken")
    monkeypatch.undo()
    assert 0 < run(dataset, "broken", resume=True).new < 10
    assert contents(tmp_path / "broken") == whole
    with pytest.raises(ResumeError, match=": copies: was 2, is 3"):
        run(dataset, "broken", resume=True, copies=3)


@pytest.mark.parametrize("dataset", KINDS, indirect=True)
def test_processes_and_shares_read_the_saved_list(
    run: Callable[..., ExpandReport], contents: Contents, tmp_path: Path, dataset: Path
) -> None:
    whole = contents(run(dataset, "whole", format="webdataset", samples_per_shard=4).out)
    options = {"format": "webdataset", "samples_per_shard": 4}
    run(dataset, "shares", prepare=True, **options)
    saved = listed_sources(dataset, tmp_path / "shares")
    assert saved == find_sources(dataset, out=tmp_path / "shares").chosen
    assert all(source.reader is not None for source in saved)
    for number in range(2):
        run(dataset, "shares", shard=f"{number}/2", **options)
    run(dataset, "shares", resume=True, processes=2, **options)
    assert contents(tmp_path / "shares") == whole


@pytest.mark.parametrize("dataset", KINDS, indirect=True)
def test_originals_are_converted(run: Callable[..., ExpandReport], tmp_path: Path, dataset: Path) -> None:
    out = run(dataset, "out").out
    report = convert(out, tmp_path / "converted", to="folder")
    assert (report.originals, report.copies) == (5, 10)


@pytest.mark.parametrize("dataset", ["as_tars", "as_parquet"], indirect=True)
def test_a_picture_that_cannot_be_read_is_named(
    run: Callable[..., ExpandReport], faces: Path, dataset: Path, tmp_path: Path
) -> None:
    path = max(tmp_path.glob("tars/*.tar"), default=dataset) if dataset.is_dir() else dataset
    original = (faces / "ben" / "1.png").read_bytes()
    content = path.read_bytes()
    assert original in content
    path.write_bytes(content.replace(original, bytes(len(original))))
    report = run(dataset, "out")
    assert [failure.source for failure in report.failed] == ["ben/1.png"]
    assert report.written == 8


def test_a_deleted_file_of_a_list_does_not_stop_the_resumed_job(
    run: Callable[..., ExpandReport], faces: Path, as_list: Path
) -> None:
    run(as_list, "out")
    (faces / "ben" / "2.jpg").unlink()
    again = run(as_list, "out", resume=True)
    assert (again.written, again.new) == (10, 0)
    assert all("not on the contact sheet" in failure.reason for failure in again.failed)


LINES = {
    '{"file_name": "anna/1.png", "label": "a"}': None,
    '{"file": "anna/2.png", "label": 7, "split": "training"}': None,
    '{"file_name": 3}': "has no path",
    "[1]": "is not a JSON object",
    "nonsense": "it is not JSON",
    '{"path": "ben/1.png", "label": "a/b"}': "cannot name a folder",
    '{"path": "ben/1.png", "label": [1]}': "a label must be",
    '{"path": "ben/1.png", "split": "blue"}': "a split is one of",
    '{"path": "https://example.org/1.png"}': "nothing is downloaded",
    '{"path": "s3://bucket/x::file:///1.png"}': "nothing is downloaded",
    '{"path": "\\ud800.png"}': "no file can have",
    '{"path": ".."}': "no file can have",
    '{"path": "manifest.jsonl/1.png"}': "the name of a file of fomaug",
}


def test_flawed_rows_of_a_list_are_named(faces: Path, tmp_path: Path) -> None:
    (faces / "list.jsonl").write_text("\n".join(LINES) + "\n")
    found = find_sources(faces / "list.jsonl", out=tmp_path / "out", split="all")
    assert [(source.key, source.label, source.split) for source in found.chosen] == [
        ("anna/1.png", "a", ""),
        ("anna/2.png", "7", "train"),
    ]
    expected = [(number, reason) for number, reason in enumerate(LINES.values(), 1) if reason]
    named = {failure.source.rpartition("line ")[2]: failure.reason for failure in found.failed}
    assert {int(number) for number in named} == {number for number, _ in expected}
    for number, reason in expected:
        assert reason in named[str(number)]


@pytest.mark.parametrize(
    ("name", "row", "reason"),
    [
        ("some.csv", b"anna/\xff.jpg,smile\n", ""),
        ("some.csv", b"anna/" + b"x" * 200_000 + b",smile\n", "field larger than field limit"),
        ("some.jsonl", b'{"file": "anna/\xff.jpg"}\n', ""),
    ],
)
def test_one_row_that_is_no_text_does_not_stop_the_others(
    faces: Path, name: str, row: bytes, reason: str, tmp_path: Path
) -> None:
    known = sorted(path.relative_to(faces).as_posix() for path in faces.rglob("*.png"))[:2]
    rows = [f"{key},\n" if name.endswith("csv") else json.dumps({"file": key}) + "\n" for key in known]
    head = "file,label\n" if name.endswith("csv") else ""
    (faces / name).write_bytes(f"{head}{rows[0]}".encode() + row + rows[1].encode())
    found = find_sources(faces / name, out=tmp_path / "out")
    assert [source.key for source in found.chosen if "\udcff" not in source.key] == known
    assert [failure.reason for failure in found.failed if reason not in failure.reason] == []
    assert len(found.chosen) + len(found.failed) == 3


def test_a_flawed_row_stops_a_job_that_must_not_skip(run: Callable[..., ExpandReport], faces: Path) -> None:
    (faces / "list.csv").write_text("file\nanna/1.png\n\nanna/2.png,x\n")
    with pytest.raises(MediaError, match=r"line 4 has more cells than columns"):
        run(faces / "list.csv", "out", on_error="raise")


@pytest.mark.parametrize("content", ["", "name,label\nanna/1.png,x\n", "file\n", "\0"])
def test_a_list_without_pictures_is_refused(faces: Path, tmp_path: Path, content: str) -> None:
    (faces / "list.csv").write_text(content)
    with pytest.raises(ArgumentError):
        find_sources(faces / "list.csv", out=tmp_path / "out")


def test_annotations_of_a_list_move_along(run: Callable[..., ExpandReport], faces: Path) -> None:
    (faces / "list.csv").write_text("path,label,x0,y0\nanna/1.png,a,10,12\nanna/1.png,a,30,31\nben/1.png,b,5,6\n")
    report = run(faces / "list.csv", "out")
    assert (report.sources, report.written, report.unannotated) == (2, 4, 0)
    lines = (report.out / "list.csv").read_text().splitlines()
    assert lines[0] == "file,label,x0,y0,v0"
    assert [line.split(",")[0] for line in lines[1:]] == [
        *["a/anna/1_m000.png"] * 2,
        *["a/anna/1_m001.png"] * 2,
        "b/ben/1_m000.png",
        "b/ben/1_m001.png",
    ]


def test_boxes_of_a_json_list_are_moved_outside_of_its_folder(
    run: Callable[..., ExpandReport], faces: Path, tmp_path: Path
) -> None:
    (tmp_path / "lists").mkdir()
    rows = [{"file_name": str(faces / "anna" / "1.png"), "objects": {"bbox": [[4, 4, 20, 30]]}, "label": "x"}]
    rows += [{"file_name": "../faces/ben/1.png", "objects": {"bbox": [[1, 2, 30, 30]]}, "label": "x"}]
    (tmp_path / "lists" / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = run(tmp_path / "lists" / "a.jsonl", "out")
    assert (report.written, report.unannotated, report.flawed) == (4, 0, ())
    written = [json.loads(line) for line in (report.out / "metadata.jsonl").read_text().splitlines()]
    assert len(written) == 4
    assert all(len(row["objects"]["bbox"]) == 1 for row in written)


def test_splits_of_a_list_name_folders_of_the_copies(run: Callable[..., ExpandReport], faces: Path) -> None:
    (faces / "list.csv").write_text("file,label,split\nanna/1.png,a,train\nanna/2.png,a,test\nben/1.png,b,\n")
    report = run(faces / "list.csv", "out")
    assert [failure.source for failure in report.failed] == ["ben/1.png"]
    assert (report.out / "train" / "a" / "anna" / "1_m000.png").is_file()
    assert report.written == 2


def test_two_sources_that_share_a_folder_of_copies_have_different_names(
    run: Callable[..., ExpandReport], faces: Path
) -> None:
    (faces / "1.png").write_bytes((faces / "ben" / "1.png").read_bytes())
    (faces / "list.csv").write_text("file,label\nanna/1.png,anna\n1.png,anna\n")
    report = run(faces / "list.csv", "out")
    names = sorted(path.relative_to(report.out).as_posix() for path in report.out.rglob("*_m0*"))
    assert names == ["anna/1-png_m000.png", "anna/1-png_m001.png", "anna/1_m000.png", "anna/1_m001.png"]


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_labels_are_read_from_the_metadata_of_an_image_folder(faces: Path, tmp_path: Path, name: str) -> None:
    rows = [("1.png", "first"), ("2.png", ""), ("9.png", "none")]
    csv = "file_name,label\n" + "".join(f"{file},{label}\n" for file, label in rows)
    lines = "".join(json.dumps({"file_name": file, "label": label or None}) + "\n" for file, label in rows)
    (faces / "anna" / name).write_text(csv if name.endswith("csv") else lines)
    found = find_sources(faces, out=tmp_path / "out")
    assert [(source.key, source.label) for source in found.chosen][:3] == [
        ("anna/1.png", "first"),
        ("anna/2.png", "anna"),
        ("ben/1.png", "ben"),
    ]
    assert [failure.reason for failure in found.failed] == ["there is no picture anna/9.png"]


def test_other_tables_in_the_folder_are_not_metadata(faces: Path, tmp_path: Path) -> None:
    (faces / "metadata.csv").write_text("name,label\nanna/1.png,x\n")
    found = find_sources(faces, out=tmp_path / "out")
    assert (found.failed, found.chosen[0].label) == ([], "anna")


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("/etc/x/1.png", "etc/x/1.png"),
        ("../../1.png", "1.png"),
        ("C:\\data\\1.png", "data/1.png"),
        ("a/.fomaug-parts/1.png", "a/fomaug-parts/1.png"),
        ("...", ""),
        ("s3://bucket/../1.png", "bucket/1.png"),
    ],
)
def test_keys_never_lead_out_of_a_folder(name: str, key: str) -> None:
    assert safe_key(name) == key
