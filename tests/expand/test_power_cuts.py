"""Files are on the disk before their rows; archives that a power cut damaged are noticed and made again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fomaug.expand import ExpandReport
from fomaug.expand.formats import is_whole_archive

Contents = Callable[[Path], dict[str, bytes]]
ARCHIVES = {"webdataset": "train-00001.tar", "parquet": "train-00001.parquet"}


@pytest.fixture
def run(run_small: Callable[..., ExpandReport]) -> Callable[..., ExpandReport]:
    return run_small


def emptied(content: bytes) -> bytes:
    return b""


def zeroed(content: bytes) -> bytes:
    return bytes(len(content))


def halved(content: bytes) -> bytes:
    return content[: len(content) // 2]


def without_end(content: bytes) -> bytes:
    return content[:-20480] + bytes(20480)


@pytest.mark.parametrize("damage", [emptied, zeroed, halved, without_end, None])
@pytest.mark.parametrize("format", list(ARCHIVES))
def test_a_damaged_archive_is_made_again(
    run: Callable[..., ExpandReport],
    contents: Contents,
    tmp_path: Path,
    format: str,
    damage: Callable[[bytes], bytes] | None,
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    whole = contents(run("out", format=format).out)
    path = tmp_path / "out" / ARCHIVES[format]
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    assert run("out", format=format, resume=True).new == 4
    assert contents(tmp_path / "out") == whole
    assert run("out", format=format, resume=True).new == 0


@pytest.mark.parametrize("format", list(ARCHIVES))
def test_an_archive_of_other_rows_is_not_whole(run: Callable[..., ExpandReport], format: str) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    out = run("out", format=format).out
    rows = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert is_whole_archive(str(out / ARCHIVES[format]), 4, rows[7])
    assert not is_whole_archive(str(out / ARCHIVES[format]), 3, rows[6])


@pytest.mark.parametrize("format", ["folder", *ARCHIVES])
def test_files_are_on_the_disk_before_their_rows(
    run: Callable[..., ExpandReport], tmp_path: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    flushed: set[int] = set()
    rows = 0
    fsync = os.fsync

    def note(descriptor: int) -> None:
        flushed.add(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def check(path: Path, lines: str, **options: Any) -> None:
        nonlocal rows
        for line in lines.splitlines():
            file = tmp_path / "out" / json.loads(line)["file"]
            assert file.stat().st_ino in flushed
            assert file.parent.stat().st_ino in flushed, "its name is on the disk, too"
            rows += 1
        assert options == {"durable": True}
        append(path, lines, **options)

    from fomaug.expand import manifest

    append = manifest.append_line
    monkeypatch.setattr("os.fsync", note)
    monkeypatch.setattr(manifest, "append_line", check)
    run("out", format=format)
    assert rows == 10


@pytest.mark.parametrize("format", ["folder", *ARCHIVES])
def test_only_the_unreadable_picture_is_tried_again(
    run: Callable[..., ExpandReport], contents: Contents, faces: Path, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if format == "parquet":
        pytest.importorskip("pyarrow")
    from fomaug.expand import copies as _copies
    from fomaug.expand import run as _run

    (faces / "ben" / "1.png").write_bytes(b"no picture")
    first = run("out", format=format)
    assert [failure.source for failure in first.failed] == ["ben/1.png"]
    before = contents(first.out)
    loaded: list[str] = []
    load = _run.load
    monkeypatch.setattr(_copies, "move", None)  # animates
    monkeypatch.setattr(_run, "load", lambda job, most: loaded.append(job.source.key) or load(job, most))
    again = run("out", format=format, resume=True)
    assert loaded == ["ben/1.png"]
    assert (again.new, again.written, again.failed) == (0, 8, first.failed)
    assert contents(first.out) == before
