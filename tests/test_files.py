from __future__ import annotations

import hashlib
import os
import tracemalloc
from pathlib import Path

import pytest

from fomaug.errors import UnsafeFileError
from fomaug.files import (
    Kind,
    append_line,
    is_temporary,
    open_regular,
    open_text,
    read_regular,
    read_text,
    replacing,
    sha256_of,
    write_file,
)

NOTE = Kind("a note", 8)


def test_a_file_is_written_whole_with_its_folders(tmp_path: Path) -> None:
    write_file(tmp_path / "a" / "b.txt", b"hello", durable=True)
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"hello"
    assert len(list((tmp_path / "a").iterdir())) == 1


def test_lines_are_appended(tmp_path: Path) -> None:
    for line in ("one\n", "two\nthree\n"):
        append_line(tmp_path / "a.jsonl", line, durable=True)
    assert (tmp_path / "a.jsonl").read_text() == "one\ntwo\nthree\n"


def test_temporary_names_are_recognised() -> None:
    assert is_temporary(Path("x/.a.png.fomaug-tmp"))
    assert not is_temporary(Path("x/a.png"))
    assert not is_temporary(Path("x/a.fomaug-tmp"))


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    for name in ("a" * 255, "\u8138" * 85):
        write_file(tmp_path / name, b"hello")
        assert (tmp_path / name).read_bytes() == b"hello"


def test_temporary_files_of_a_folder_have_different_names(tmp_path: Path) -> None:
    with replacing(tmp_path / "a") as first, replacing(tmp_path / "b") as second:
        assert first != second
        assert first.parent == second.parent == tmp_path
        assert is_temporary(first)
        for path in (first, second):
            path.write_bytes(path.name.encode())
    with replacing(tmp_path / "a") as again:
        assert first == again, "what a killed process left is written over"
        again.write_bytes(b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_an_error_names_the_final_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").mkdir()
    for name, reason in (("a", IsADirectoryError), ("a/b", IsADirectoryError)):
        with pytest.raises(reason) as caught:
            write_file(tmp_path / name, b"hello")
        assert caught.value.filename == str(tmp_path / name)
        assert "fomaug-tmp" not in str(caught.value)


def test_an_error_while_writing_names_the_final_file(tmp_path: Path) -> None:
    with pytest.raises(PermissionError) as caught, replacing(tmp_path / "a") as temporary:
        raise PermissionError(13, "Permission denied", str(temporary))
    assert str(caught.value) == f"[Errno 13] Permission denied: '{tmp_path / 'a'}'"


def test_errors_of_other_files_are_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "a"):
        (tmp_path / "other").read_bytes()
    assert caught.value.filename == str(tmp_path / "other")


def test_a_file_is_read_through_any_number_of_links(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one\r\ntwo")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    (tmp_path / "c").symlink_to(tmp_path / "b")
    for name in "abc":
        assert read_regular(tmp_path / name, NOTE) == b"one\r\ntwo"
        assert read_text(tmp_path / name, NOTE) == "one\ntwo"
        assert sha256_of(tmp_path / name, NOTE) == hashlib.sha256(b"one\r\ntwo").hexdigest()
        with open_text(tmp_path / name, NOTE, newline="") as file:
            assert list(file) == ["one\r\n", "two"]


def test_a_file_may_be_as_large_as_its_kind_and_no_larger(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345678")
    (tmp_path / "b").write_bytes(b"123456789")
    assert len(read_regular(tmp_path / "a", NOTE)) == 8
    with pytest.raises(UnsafeFileError) as caught:
        read_regular(tmp_path / "b", NOTE)
    assert str(caught.value) == f"{tmp_path / 'b'}: it has 9 bytes, more than the 8 that a note may have"
    assert caught.value.strerror == "it has 9 bytes, more than the 8 that a note may have"


def test_missing_files_and_folders_are_named_as_by_the_system(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "a", FileNotFoundError), (tmp_path, IsADirectoryError)):
        with pytest.raises(reason) as caught:
            open_regular(path, NOTE)
        assert caught.value.filename == str(path)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(UnsafeFileError, match="no file can have this name"):
        open_regular(Path(name), NOTE)


def test_a_refused_file_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"")
    status = (tmp_path / "b").stat()
    monkeypatch.setattr("pathlib.Path.stat", lambda *_: status)  # as if a pipe replaced the file in between
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(UnsafeFileError, match="a: it is a named pipe; a note must be a regular file"):
        open_regular(tmp_path / "a", NOTE)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_memory_depends_on_the_size_of_a_file_and_not_on_stated_lengths(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    with open_regular(tmp_path / "a", NOTE) as file:
        assert file.read(2) == b"12"
        tracemalloc.start()
        try:
            assert file.read(1 << 30) == b"345"
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()
        assert file.read() == file.read(1 << 30) == b""
