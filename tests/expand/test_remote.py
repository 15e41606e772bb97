"""Inputs and outputs on remote storage: in memory, and on a stand-in for S3."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fomaug import Animator, DrivingPool, save_model
from fomaug.errors import ArgumentError, MediaError, MissingExtraError, ResumeError, UnsafeFileError
from fomaug.expand import ExpandReport, expand, finish
from fomaug.expand.dataset import find_sources
from fomaug.files import Kind
from fomaug.remote import is_url, list_url, open_any, read_any, size_of

fsspec = pytest.importorskip("fsspec")

Contents = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def memory() -> Iterator[str]:
    """Storage in memory, by its URL."""
    yield "memory://faces"
    fsspec.filesystem("memory").rm("/", recursive=True)


@pytest.fixture(params=["memory", "s3"])
def storage(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture
def run(tiny_model: Animator, tiny_pool: DrivingPool, tmp_path: Path) -> Callable[..., ExpandReport]:
    def call(dataset: Path | str, out: Path | str, **options: object) -> ExpandReport:
        options = {"gates": "off", "copies": 2, "batch_size": 4, "workers": 1, **options}
        return expand(dataset, out, model=tiny_model, driving=tiny_pool, **options)

    return call


def upload(folder: Path, url: str) -> str:
    storage, path = fsspec.url_to_fs(url)
    for file in folder.rglob("*"):
        if file.is_file():
            storage.pipe_file(f"{path}/{file.relative_to(folder).as_posix()}", file.read_bytes())
    return url


def objects(url: str) -> dict[str, bytes]:
    store, path = fsspec.url_to_fs(url)
    store.invalidate_cache()
    return {name[len(path) + 1 :]: store.cat_file(name) for name in store.find(path)}


def pictures(contents: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in contents.items() if "_m0" in name}


@pytest.mark.parametrize("kind", ["folder", "list", "tars", "parquet"])
def test_copies_are_those_of_local_files(
    run: Callable[..., ExpandReport],
    request: pytest.FixtureRequest,
    contents: Contents,
    faces: Path,
    tmp_path: Path,
    storage: str,
    kind: str,
) -> None:
    local = faces if kind == "folder" else request.getfixturevalue(f"as_{kind}")
    whole = pictures(contents(run(faces, tmp_path / "local").out))
    folder = {"folder": faces, "list": faces, "tars": local, "parquet": local.parent}[kind]
    if kind == "parquet":
        (tmp_path / "table").mkdir()
        folder = local.rename(tmp_path / "table" / local.name).parent
    url = upload(folder, f"{storage}/{kind}")
    url = f"{url}/list.csv" if kind == "list" else url
    report = run(url, tmp_path / "out")
    assert (report.failed, report.written) == ((), 10)
    assert pictures(contents(report.out)) == whole
    assert run(url, tmp_path / "out", resume=True).new == 0


def test_splits_and_expanded_folders_of_a_remote_dataset(memory: str, tmp_path: Path) -> None:
    files = fsspec.filesystem("memory")
    for name in (
        "train/a/1.png",
        "train/b/2.png",
        "test/a/3.png",
        "train/.git/4.png",
        "old/expand.json",
        "old/x/5.png",
    ):
        files.pipe_file(f"/faces/{name}", b"x")
    found = find_sources(memory, out=tmp_path / "out")
    assert [(source.key, source.label) for source in found.chosen] == [("train/a/1.png", "a"), ("train/b/2.png", "b")]
    assert found.unsplit == []


def test_a_list_of_this_machine_names_objects(
    run: Callable[..., ExpandReport], memory: str, faces: Path, tmp_path: Path
) -> None:
    upload(faces, memory)
    (tmp_path / "list.csv").write_text(f"file,label\n{memory}/anna/1.png,x\nfaces/anna/2.png,x\n{memory}/no.png,x\n")
    report = run(tmp_path / "list.csv", tmp_path / "out")
    assert report.written == 4
    assert [failure.source for failure in report.failed] == ["faces/no.png"]
    assert (tmp_path / "out" / "x" / "faces" / "anna" / "1_m000.png").is_file()


def test_a_file_url_is_a_path(run: Callable[..., ExpandReport], faces: Path, tmp_path: Path) -> None:
    assert run(f"file://{faces}", tmp_path / "out").written == 10


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/faces",
        "http://example.org/a.tar",
        "ftp://x/a.csv",
        "simplecache::s3://b/a",
        "zip://a::s3://b",
    ],
)
def test_nothing_is_read_from_the_web(tmp_path: Path, url: str) -> None:
    with pytest.raises(ArgumentError, match=r"nothing is downloaded|is not a folder"):
        find_sources(url, out=tmp_path / "out")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match=r"fomaug\[remote\]"):
        find_sources("s3://bucket/faces", out=tmp_path / "out")


def test_a_storage_without_its_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ArgumentError, match="gcsfs"):
        find_sources("gs://bucket/faces", out=tmp_path / "out")


def test_errors_of_a_storage_are_named(memory: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no credentials")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "find", fail)
    with pytest.raises(ArgumentError, match="RuntimeError: no credentials"):
        find_sources(memory, out=tmp_path / "out")


def test_an_empty_remote_folder_is_refused(storage: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="holds no picture"):
        find_sources(f"{storage}/nothing", out=tmp_path / "out")


def test_the_size_of_objects_is_limited(storage: str) -> None:
    upload_url = f"{storage}/sizes/a.bin"
    store, path = fsspec.url_to_fs(upload_url)
    store.pipe_file(path, b"12345")
    assert read_any(upload_url, Kind("a thing", 5)) == b"12345"
    assert read_any(upload_url, Kind("a thing", 9), 1, 3) == b"234"
    assert (size_of(upload_url), size_of(f"{storage}/sizes/b.bin")) == (5, -1)
    assert list_url(f"{storage}/sizes") == [("a.bin", 5)]
    with pytest.raises(OSError, match="ends before byte 7"):
        read_any(upload_url, Kind("a thing", 9), 4, 3)
    for call in (read_any, open_any):
        with pytest.raises(UnsafeFileError, match="more than the 4 that a thing may have"):
            call(upload_url, Kind("a thing", 4))


def test_windows_paths_are_not_urls() -> None:
    assert not is_url("C:/faces")
    assert not is_url("C:\\faces")


@pytest.mark.parametrize("format", ["webdataset", "parquet"])
def test_objects_are_the_files_of_a_local_job(
    run: Callable[..., ExpandReport], contents: Contents, faces: Path, tmp_path: Path, storage: str, format: str
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    options = {"format": format, "samples_per_shard": 4}
    whole = contents(run(faces, tmp_path / "local", **options).out)
    report = run(faces, f"{storage}/out-{format}", **options)
    assert (report.url, report.written) == (f"{storage}/out-{format}", 10)
    assert objects(report.url) == whole
    again = run(faces, report.url, resume=True, **options)
    assert (again.new, again.written) == (0, 10)
    assert objects(report.url) == whole
    with pytest.raises(ResumeError, match=f"{report.url} is not empty"):
        run(faces, report.url, **options)


@pytest.mark.parametrize("calls", [1, 2, 3])
def test_a_job_on_storage_can_be_resumed_after_any_write(
    run: Callable[..., ExpandReport],
    contents: Contents,
    faces: Path,
    tmp_path: Path,
    storage: str,
    calls: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The third and last archive is only there without its rows, after 3 calls."""
    options = {"format": "webdataset", "samples_per_shard": 4}
    whole = contents(run(faces, tmp_path / "local", **options).out)
    url = f"{storage}/killed-{calls}"
    from fomaug.expand.manifest import Part

    append, made = Part.append, []

    def stop(part: Part, rows: object) -> None:
        made.append(part)
        if len(made) == calls:
            raise KeyboardInterrupt
        append(part, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Part, "append", stop)
        with pytest.raises(KeyboardInterrupt):
            run(faces, url, **options)
    left = objects(url)
    assert len([name for name in left if name.endswith(".tar")]) == calls
    assert len([name for name in left if name.startswith(".fomaug-parts/")]) == calls - 1
    report = run(faces, url, resume=True, **options)
    assert report.new == 10 - 4 * (calls - 1)
    assert objects(url) == whole


def test_an_archive_that_was_lost_on_storage_is_made_again(
    run: Callable[..., ExpandReport], faces: Path, storage: str
) -> None:
    options = {"format": "webdataset", "samples_per_shard": 4}
    url = run(faces, f"{storage}/lost", **options).url
    whole = objects(url)
    store, path = fsspec.url_to_fs(url)
    store.rm_file(f"{path}/train-00001.tar")
    store.pipe_file(f"{path}/train-00002.tar", whole["train-00002.tar"][:5000])
    assert run(faces, url, resume=True, **options).new == 6
    assert objects(url) == whole


def test_processes_and_shares_of_a_job_on_storage(
    contents: Contents, tiny_model: Animator, tiny_pool: DrivingPool, faces: Path, tmp_path: Path, s3: str
) -> None:
    """Each share has a folder of its own, as machines without a shared disk have."""
    save_model(tiny_model, tmp_path / "tiny.safetensors", half=False)
    tiny_pool.save(tmp_path / "pool.safetensors")
    options = {"model": tmp_path / "tiny.safetensors", "driving": tmp_path / "pool.safetensors", "device": "cpu"}
    options |= {"gates": "off", "copies": 2, "batch_size": 4, "format": "webdataset", "samples_per_shard": 2}
    whole = contents(expand(faces, tmp_path / "local", **options).out)
    assert expand(faces, f"{s3}/shares", prepare=True, **options).url == f"{s3}/shares"
    assert finish(f"{s3}/shares", shard="1/3").new == 4
    assert finish(f"{s3}/shares", shard="1/3").new == 0
    report = finish(f"{s3}/shares", processes=2)
    assert (report.new, report.written) == (6, 10)
    assert objects(f"{s3}/shares") == whole


def test_a_file_for_each_copy_is_refused_on_storage(run: Callable[..., ExpandReport], faces: Path, memory: str) -> None:
    with pytest.raises(ArgumentError, match="takes archives; give format='webdataset'"):
        run(faces, f"{memory}/out")
    assert objects(memory) == {}


def test_a_write_that_fails_names_the_url(
    run: Callable[..., ExpandReport], faces: Path, memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise PermissionError("the bucket is read-only")

    monkeypatch.setattr(fsspec.get_filesystem_class("memory"), "put_file", fail)
    with pytest.raises(MediaError, match="cannot write to memory://faces/out: the bucket is read-only"):
        run(faces, f"{memory}/out", format="webdataset")


def test_the_command_line_accepts_urls(
    faces: Path, s3: str, tmp_path: Path, tiny_model: Animator, tiny_pool: DrivingPool, jobs: Any
) -> None:
    upload(faces, f"{s3}/cli")
    save_model(tiny_model, tmp_path / "tiny.safetensors", half=False)
    tiny_pool.save(tmp_path / "pool.safetensors")
    words = (f"{s3}/cli", f"{s3}/cli-out", "--format", "webdataset", "--copies", "2")
    assert f"copies         {s3}/cli-out\n" in jobs.finish(jobs.start(tmp_path, *words))
    assert f"contact sheet  {s3}/cli-out/.contact_sheet.png" in jobs.finish(
        jobs.start(tmp_path, f"{s3}/cli-out", "--finish")
    )
