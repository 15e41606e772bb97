from __future__ import annotations

import os
from pathlib import Path

import pytest

from fomaug.errors import ArgumentError, LabelError
from fomaug.expand.labels import check_policy, parse_labels
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.samples import check_label, copy_label, copy_name, path_inside
from fomaug.expand.shards import fold, unique_stems
from fomaug.expand.sources import SourceFile


def source(key: str, label: str = "", split: str = "") -> SourceFile:
    return SourceFile(Path(key), key, label, split)


@pytest.mark.parametrize(
    ("keys", "stems"),
    [
        (["a.jpg", "b.jpg"], ["a", "b"]),
        (["x/a.jpg", "y/a.jpg"], ["a", "a"]),
        (["a.jpg", "a.png"], ["a", "a-png"]),
        (["A.jpg", "a.jpg"], ["A", "a-jpg"]),
        (["A.jpg", "a.jpg", "a.JPG"], ["A", "a-jpg", "a-jpg-3"]),
        (["\u00e9.jpg", "e\u0301.jpg"], ["\u00e9", "e\u0301-jpg"]),
        (["a-png.jpg", "a.jpg", "a.png"], ["a-png", "a", "a-png-3"]),
        (["X/a.jpg", "x/a.jpg"], ["a", "a-jpg"]),
    ],
)
def test_stems_change_only_if_a_file_system_would_confuse_them(keys: list[str], stems: list[str]) -> None:
    found = unique_stems([source(key) for key in keys])
    assert list(found.values()) == stems
    folders = [str(Path(key).parent) for key in keys]
    assert len({fold(f"{folder}/{stem}") for folder, stem in zip(folders, found.values(), strict=True)}) == len(keys)


def test_copies_of_merged_classes_have_different_names() -> None:
    items = [source("x/1.jpg", "x"), source("y/1.jpg", "y"), source("z/1.jpg", "z")]
    assert list(unique_stems(items).values()) == ["1", "1", "1"]
    assert list(unique_stems(items, merged=True).values()) == ["1", "1-jpg", "1-jpg-3"]


def test_dots_can_be_avoided() -> None:
    items = [source("a.b.jpg"), source("a-b.jpg")]
    assert list(unique_stems(items, dotless=True).values()) == ["a-b", "a-b-jpg"]


@pytest.mark.parametrize(
    ("item", "label", "name"),
    [
        (source("a.jpg"), "", "a_m007.jpg"),
        (source("x/a.jpg", "x"), "x", "x/a_m007.jpg"),
        (source("x/a.jpg", "x"), "smile", "smile/a_m007.jpg"),
        (source("x/a.jpg", "x"), "", "a_m007.jpg"),
        (source("Train/x/deep/a.jpg", "x", "train"), "x", "Train/x/deep/a_m007.jpg"),
    ],
)
def test_copies_mirror_the_tree(item: SourceFile, label: str, name: str) -> None:
    assert copy_name(item, "a", 7, label, "jpeg") == name


@pytest.mark.parametrize("name", ["../a.jpg", "/etc/a.jpg", "x/../../a.jpg"])
def test_no_file_is_written_outside(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArgumentError, match="outside of"):
        path_inside(tmp_path, name)


def test_a_link_inside_the_output_does_not_lead_out(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArgumentError, match="outside of"):
        path_inside(tmp_path / "out", "x/a.jpg")
    assert path_inside(tmp_path / "out", "y/a.jpg") == tmp_path / "out" / "y" / "a.jpg"


@pytest.mark.parametrize("label", ["..", ".", "a/b", "a\\b", "c:"])
def test_labels_that_cannot_name_a_folder_are_refused(label: str) -> None:
    with pytest.raises(ArgumentError, match="cannot name a folder"):
        check_label(label)


@pytest.mark.parametrize(
    ("stem", "encode_format"),
    [("a" * 246, "png"), ("a" * 246, "jpeg"), ("a" * 245, "webp"), ("a" * 242, "bmp"), ("\u8138" * 82, "png")],
)
def test_names_that_fit_are_unchanged(stem: str, encode_format: str) -> None:
    assert copy_name(source("a.jpg"), stem, 7, "", encode_format).startswith(f"{stem}_m007.")


@pytest.mark.parametrize(
    ("stem", "encode_format"),
    [("a" * 247, "png"), ("a" * 243, "bmp"), ("\u8138" * 83, "png"), ("a" * 244 + "\u00e9\u00e9", "png")],
)
def test_names_that_are_too_long_are_cut_and_remain_different(stem: str, encode_format: str) -> None:
    name, other = (copy_name(source("a.jpg"), long, 7, "", encode_format) for long in (stem, stem + "x"))
    assert name == copy_name(source("a.jpg"), stem, 7, "", encode_format)
    assert name != other
    for cut in (name, other):
        assert 245 <= len(cut.encode()) + 4 * (encode_format == "bmp") <= 255
        assert cut.startswith(stem[:70])
        assert "_m007." in cut


def test_bytes_that_are_no_text_count_once() -> None:
    stem = "\udcff" * 246
    assert copy_name(source("a.jpg"), stem, 7, "", "png") == f"{stem}_m007.png"
    assert len(os.fsencode(copy_name(source("a.jpg"), stem * 2, 7, "", "png"))) == 255


@pytest.mark.parametrize(
    ("policy", "label"),
    [("keep", "anna"), ("drop", ""), ("from_clip", "smile"), ({"anna": "anne"}, "anne"), ({"*": "fake"}, "fake")],
)
def test_each_policy_has_its_label(policy: object, label: str) -> None:
    assert copy_label(policy, "anna", "smile") == label


SOURCES = [SourceFile(Path("x"), f"{label}/1.jpg", label) for label in ("anna", "ben")]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"anna": "a"}, "also has ben"),
        ({"*": "a", "carl": "c"}, "maps carl, but the dataset has anna, ben"),
    ],
)
def test_mappings_that_do_not_fit_are_refused(tiny_pool, labels: dict[str, str], message: str) -> None:
    with pytest.raises(LabelError, match=message):
        check_policy(ExpandPlan("data", "out", labels=labels), SOURCES, tiny_pool)


def test_a_label_that_is_a_path_is_refused(tiny_pool) -> None:
    with pytest.raises(ArgumentError, match="cannot name a folder"):
        check_policy(ExpandPlan("data", "out", labels={"*": "../x"}), SOURCES, tiny_pool)


def test_clips_without_labels_are_named_before_any_work(tiny_pool) -> None:
    from dataclasses import replace

    from fomaug import DrivingPool

    plan = ExpandPlan("data", "out", labels="from_clip")
    check_policy(plan, SOURCES, tiny_pool)
    tracks = [replace(track, label=None) for track in tiny_pool.tracks]
    with pytest.raises(LabelError, match=r"3 of 3 driving clips have no label \(nod, shake, smile\)"):
        check_policy(plan, SOURCES, DrivingPool(tracks, tiny_pool.model_name, tiny_pool.model_hash))


@pytest.mark.parametrize("text", ["=a", "a=b,c"])
def test_invalid_pairs_are_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="OLD=NEW"):
        parse_labels(text)
