from __future__ import annotations

from pathlib import Path

import pytest

from fomaug._errors import ArgumentError
from fomaug.expand._sources import digest_sources, find_sources


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def found(root: Path, split: str = "train") -> list[tuple[str, str, str]]:
    return [(s.key, s.label, s.split) for s in find_sources(root, out=root / "out", split=split)]


def test_class_folders_name_the_label(tmp_path: Path) -> None:
    make(tmp_path, "b/2.PNG", "a/1.jpg", "a/deep/3.webp")
    assert found(tmp_path) == [("a/1.jpg", "a", ""), ("a/deep/3.webp", "a", ""), ("b/2.PNG", "b", "")]


def test_a_flat_folder_has_no_labels(tmp_path: Path) -> None:
    assert found(make(tmp_path, "2.tif", "1.bmp")) == [("1.bmp", "", ""), ("2.tif", "", "")]


def test_hidden_files_others_and_the_output_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", ".b.jpg", ".git/c.jpg", "notes.txt", "out/d.jpg", "clip.mp4")
    assert [key for key, _, _ in found(tmp_path)] == ["a.jpg"]


SPLIT = ("train/x/1.jpg", "Valid/x/2.jpg", "test/y/3.jpg")


@pytest.mark.parametrize(
    ("split", "keys"),
    [
        ("train", ["train/x/1.jpg"]),
        ("val", ["Valid/x/2.jpg"]),
        ("all", ["Valid/x/2.jpg", "test/y/3.jpg", "train/x/1.jpg"]),
    ],
)
def test_only_the_split_asked_for_is_taken(tmp_path: Path, split: str, keys: list[str]) -> None:
    assert [key for key, _, _ in found(make(tmp_path, *SPLIT), split)] == keys


def test_split_folders_are_no_labels(tmp_path: Path) -> None:
    assert found(make(tmp_path, *SPLIT), "all")[0] == ("Valid/x/2.jpg", "x", "val")
    source = find_sources(tmp_path, out=tmp_path / "out", split="val")[0]
    assert (source.split_folder, str(source.folder)) == ("Valid", ".")


def test_a_class_called_test_among_others_is_a_class(tmp_path: Path) -> None:
    assert found(make(tmp_path, "test/1.jpg", "exam/2.jpg")) == [("exam/2.jpg", "exam", ""), ("test/1.jpg", "test", "")]


def test_linked_folders_are_not_followed(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere", "a.jpg")
    make(tmp_path / "data", "b.jpg")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    assert [key for key, _, _ in found(tmp_path / "data")] == ["b.jpg"]


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="is not a folder"):
        found(tmp_path / "nowhere")
    with pytest.raises(ArgumentError, match="holds no picture"):
        found(tmp_path)
    with pytest.raises(ArgumentError, match="none of split 'train', but of test"):
        found(make(tmp_path, "test/a.jpg"))
    with pytest.raises(ArgumentError, match="did you mean 'train'"):
        found(tmp_path, "trian")
    with pytest.raises(ArgumentError, match="out is the dataset itself"):
        find_sources(tmp_path, out=tmp_path)


def test_the_digest_follows_names_and_sizes(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "b.jpg")
    before = digest_sources(find_sources(tmp_path, out=tmp_path / "out"))
    assert digest_sources(find_sources(tmp_path, out=tmp_path / "out")) == before
    (tmp_path / "b.jpg").write_bytes(b"xx")
    assert digest_sources(find_sources(tmp_path, out=tmp_path / "out")) != before


def test_ids_do_not_tell_the_name(tmp_path: Path) -> None:
    (source,) = find_sources(make(tmp_path, "anna/1.jpg"), out=tmp_path / "out")
    assert len(source.id) == 16
    assert "anna" not in source.id
