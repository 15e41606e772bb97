from __future__ import annotations

from pathlib import Path

import pytest

from fomaug.files import append_line, is_temporary, replacing, write_file


def test_a_file_is_written_whole_with_its_folders(tmp_path: Path) -> None:
    write_file(tmp_path / "a" / "b.txt", b"hello", durable=True)
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"hello"
    assert len(list((tmp_path / "a").iterdir())) == 1


def test_lines_are_appended(tmp_path: Path) -> None:
    for line in ("one\n", "two\nthree\n"):
        append_line(tmp_path / "a.jsonl", line, durable=True)
    assert (tmp_path / "a.jsonl").read_text() == "one\ntwo\nthree\n"


def test_temporary_names_are_known_by_sight() -> None:
    assert is_temporary(Path("x/.a.png.fomaug-tmp"))
    assert not is_temporary(Path("x/a.png"))
    assert not is_temporary(Path("x/a.fomaug-tmp"))


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    for name in ("a" * 255, "\u8138" * 85):
        write_file(tmp_path / name, b"hello")
        assert (tmp_path / name).read_bytes() == b"hello"


def test_temporary_files_of_a_folder_do_not_meet(tmp_path: Path) -> None:
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


def test_an_error_names_the_file_that_was_meant(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").mkdir()
    for name, reason in (("a", IsADirectoryError), ("a/b", IsADirectoryError)):
        with pytest.raises(reason) as caught:
            write_file(tmp_path / name, b"hello")
        assert caught.value.filename == str(tmp_path / name)
        assert "fomaug-tmp" not in str(caught.value)


def test_an_error_while_writing_names_the_file_that_was_meant(tmp_path: Path) -> None:
    with pytest.raises(PermissionError) as caught, replacing(tmp_path / "a") as temporary:
        raise PermissionError(13, "Permission denied", str(temporary))
    assert str(caught.value) == f"[Errno 13] Permission denied: '{tmp_path / 'a'}'"


def test_the_errors_of_other_files_are_their_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "a"):
        (tmp_path / "other").read_bytes()
    assert caught.value.filename == str(tmp_path / "other")
