from __future__ import annotations

from pathlib import Path

import pytest

from fomaug.errors import ArgumentError, ResumeError
from fomaug.expand.dataset import digest_sources, find_sources, with_deleted


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def found(root: Path, split: str = "train") -> list[tuple[str, str, str]]:
    return [(s.key, s.label, s.split) for s in find_sources(root, out=root / "out", split=split).chosen]


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
def test_only_the_requested_split_is_used(tmp_path: Path, split: str, keys: list[str]) -> None:
    assert [key for key, _, _ in found(make(tmp_path, *SPLIT), split)] == keys


def test_split_folders_are_not_labels(tmp_path: Path) -> None:
    assert found(make(tmp_path, *SPLIT), "all")[0] == ("Valid/x/2.jpg", "x", "val")
    source = find_sources(tmp_path, out=tmp_path / "out", split="val").chosen[0]
    assert (source.split_folder, source.folder) == ("Valid", "")


def test_a_folder_outside_the_split_folders_is_in_no_split(tmp_path: Path) -> None:
    make(tmp_path, *SPLIT, "masks/x/1.png", "masks/2.png")
    assert found(tmp_path) == [("train/x/1.jpg", "x", "train")]
    assert found(tmp_path, "val") == [("Valid/x/2.jpg", "x", "val")]
    unsplit = find_sources(tmp_path, out=tmp_path / "out").unsplit
    assert [(source.key, source.split) for source in unsplit] == [("masks/2.png", ""), ("masks/x/1.png", "")]
    assert len(found(tmp_path, "all")) == 5


def test_a_class_called_like_a_split_is_a_class(tmp_path: Path) -> None:
    make(tmp_path, "anna/1.jpg", "dev/2.jpg")
    assert found(tmp_path) == [("anna/1.jpg", "anna", ""), ("dev/2.jpg", "dev", "")]


@pytest.mark.parametrize("split", ["val", "test"])
def test_a_split_of_a_dataset_without_splits_is_refused(tmp_path: Path, split: str) -> None:
    make(tmp_path, "a/1.jpg", "b/2.jpg", "3.jpg")
    with pytest.raises(ArgumentError, match=rf"has no split folders, so no split '{split}'; .*'all'"):
        found(tmp_path, split)
    assert len(found(tmp_path)) == len(found(tmp_path, "all")) == 3


def test_a_picture_outside_the_split_folders_is_in_no_split(tmp_path: Path) -> None:
    make(tmp_path, *SPLIT, "preview.png")
    assert found(tmp_path) == [("train/x/1.jpg", "x", "train")]
    unsplit = find_sources(tmp_path, out=tmp_path / "out").unsplit
    assert [(source.key, source.label, source.split) for source in unsplit] == [("preview.png", "", "")]
    assert ("preview.png", "", "") in found(tmp_path, "all")
    assert not find_sources(tmp_path, out=tmp_path / "out", split="all").unsplit


def test_a_picture_outside_class_folders_is_a_source(tmp_path: Path) -> None:
    make(tmp_path, "preview.png", "a/1.jpg")
    assert found(tmp_path) == [("a/1.jpg", "a", ""), ("preview.png", "", "")]
    assert not find_sources(tmp_path, out=tmp_path / "out").unsplit


def test_a_broken_link_is_listed_without_a_size(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "gone.jpg")
    sources = find_sources(tmp_path, out=tmp_path / "out").chosen
    assert [source.num_bytes for source in sources] == [1, 0]
    assert digest_sources(sources) != digest_sources(sources[:1])


def test_linked_folders_are_not_followed(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere", "a.jpg")
    make(tmp_path / "data", "b.jpg")
    (tmp_path / "data" / "link").symlink_to(tmp_path / "elsewhere")
    assert [key for key, _, _ in found(tmp_path / "data")] == ["b.jpg"]


def test_an_expanded_dataset_within_is_left_out_and_named(tmp_path: Path) -> None:
    make(tmp_path, "a/1.jpg", "copies/a/1_m000.jpg", "copies/contact_sheet.png", "a/deep/more/1_m000.jpg", "b/2.jpg")
    for folder in ("copies", "a/deep/more"):
        (tmp_path / folder / "expand.json").write_text('{"state": "done", "fomaug": "0.1"}')
    (tmp_path / "b" / "expand.json").write_text('{"of": "another program"}')
    sources = find_sources(tmp_path, out=tmp_path / "out")
    assert [source.key for source in sources.chosen] == ["a/1.jpg", "b/2.jpg"]
    assert sources.expanded == ["a/deep/more", "copies"]


@pytest.mark.parametrize("text", ["{", "[]", "3", "\udcff"])
def test_a_summary_of_another_program_excludes_nothing(tmp_path: Path, text: str) -> None:
    make(tmp_path, "a/1.jpg")
    (tmp_path / "a" / "expand.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert [key for key, _, _ in found(tmp_path)] == ["a/1.jpg"]


def test_an_expanded_dataset_may_be_the_dataset(tmp_path: Path) -> None:
    make(tmp_path, "a/1.jpg")
    (tmp_path / "expand.json").write_text('{"fomaug": "0.1"}')
    assert [key for key, _, _ in found(tmp_path)] == ["a/1.jpg"]


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
    before = digest_sources(find_sources(tmp_path, out=tmp_path / "out").chosen)
    assert digest_sources(find_sources(tmp_path, out=tmp_path / "out").chosen) == before
    (tmp_path / "b.jpg").write_bytes(b"xx")
    assert digest_sources(find_sources(tmp_path, out=tmp_path / "out").chosen) != before


def test_ids_do_not_contain_the_name(tmp_path: Path) -> None:
    (source,) = find_sources(make(tmp_path, "anna/1.jpg"), out=tmp_path / "out").chosen
    assert len(source.id) == 16
    assert "anna" not in source.id


@pytest.mark.parametrize("key", ["long" * 200 + ".png", "no/such.png"])
def test_a_listed_source_that_cannot_be_there_was_deleted(tmp_path: Path, key: str) -> None:
    make(tmp_path / "faces", "a/1.png")
    sources = find_sources(tmp_path / "faces", out=tmp_path / "out").chosen
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sources.jsonl").write_text(f'["a/1.png", "a", "", 1]\n["{key}", "", "", 1]\n')
    assert {source.key for source in with_deleted(sources, tmp_path / "faces", tmp_path / "out")} == {"a/1.png", key}


@pytest.mark.parametrize("key", ["/a.png", "../a.png", "a\\u0000.png"])
def test_a_listed_source_is_below_the_dataset(tmp_path: Path, key: str) -> None:
    (tmp_path / "sources.jsonl").write_text(f'["{key}", "", "", 1]\n')
    with pytest.raises(ResumeError, match=r"sources\.jsonl is damaged; remove it"):
        with_deleted([], tmp_path, tmp_path)
