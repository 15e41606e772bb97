from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from fomaug.media import digest_sizes, file_size, is_expanded, list_pictures


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_pictures_are_listed_by_key_without_hidden_avoided_and_expanded_ones(tmp_path: Path) -> None:
    for key in ("b/2.PNG", "b/1.png", "a.png", "a.txt", ".hidden.png", ".hidden/1.png", "out/1.png", "more/x/1.png"):
        write(tmp_path / key)
    write(tmp_path / "more" / "expand.json", '{"fomaug": "1.0"}')
    found = list_pictures(tmp_path, (".png",), avoided={(tmp_path / "out").resolve()})
    assert found.keys == ["a.png", "b/1.png", "b/2.PNG"]
    assert found.expanded == ["more"]


def test_an_expanded_dataset_itself_can_be_listed(tmp_path: Path) -> None:
    write(tmp_path / "expand.json", '{"fomaug": "1.0"}')
    write(tmp_path / "a.png")
    assert list_pictures(tmp_path, (".png",)) == (["a.png"], [])


@pytest.mark.parametrize(
    ("text", "expanded"),
    [('{"fomaug": "1.0"}', True), ('{"name": "x"}', False), ('["fomaug"]', False), ("{", False), ("", False)],
)
def test_only_a_summary_of_fomaug_marks_an_expanded_dataset(tmp_path: Path, text: str, *, expanded: bool) -> None:
    write(tmp_path / "expand.json", text)
    assert is_expanded(tmp_path) is expanded
    assert not is_expanded(tmp_path / "nowhere")


def test_the_digest_is_that_of_a_line_for_each_file(tmp_path: Path) -> None:
    sizes = [("a.png", file_size(write(tmp_path / "a.png", "123"))), ("b.png", file_size(tmp_path / "b.png"))]
    assert digest_sizes(sizes) == hashlib.sha256(b"a.png\x003\nb.png\x000\n").hexdigest()
