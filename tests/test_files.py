from __future__ import annotations

from pathlib import Path

from fomaug.writers import append_line, is_temporary, write_file


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
