"""Hundreds of broken and odd inputs: jobs end, good files are done, bad ones named, and nothing else happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from item import Item
from workshop import Workshop, corpus, run

GROWTH = 10**9  # bytes
SECONDS = 60.0  # of a command, on a machine with other things to do
FORMS = ("faces.json", "points.csv", "metadata.jsonl", "pts", "masks")


@pytest.fixture(
    scope="module", params=[pytest.param(5, id="a fifth"), pytest.param(1, id="all", marks=pytest.mark.slow)]
)
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return run(tmp_path_factory.mktemp("corpus"), request.param)


def names(items: list[Item], *, good: bool) -> set[str]:
    return {item.name for item in items if item.is_good is good}


def test_there_are_four_hundred_inputs_and_their_names_differ() -> None:
    kinds = corpus()
    assert sum(map(len, kinds.values())) >= 400
    for kind, items in kinds.items():
        assert len({item.name for item in items}) == len(items), kind
        assert any(not item.is_good for item in items), kind
        assert kind == "file of annotations" or any(item.is_good for item in items), kind


def test_the_same_seed_makes_the_same_inputs() -> None:
    first, again = (
        {
            (kind, item.name): item.content
            for kind, items in corpus().items()
            for item in items
            if isinstance(item.content, bytes)
        }
        for _ in range(2)
    )
    assert first == again


def test_every_command_ends_with_an_exit_code_and_without_a_traceback(shop: Workshop) -> None:
    wrong = {
        name: result["text"][-1500:]
        for name, result in shop.results.items()
        if result["code"] not in (0, 2, 3) or "Traceback" in result["text"]
    }
    assert not wrong, (len(wrong), wrong)
    assert max(result["seconds"] for result in shop.results.values()) < SECONDS


def test_memory_grows_by_less_than_a_gigabyte(shop: Workshop) -> None:
    assert shop.growth < GROWTH


def test_no_other_file_is_written_and_no_program_is_started(shop: Workshop) -> None:
    assert shop.after == shop.before


def test_good_pictures_are_expanded_and_bad_ones_named(shop: Workshop) -> None:
    items = shop.items["picture"]
    failed = {failure["source"]: failure["reason"] for failure in shop.result("pictures")["failed"]}
    assert set(failed) == names(items, good=False)
    assert all(len(reason) > 10 for reason in failed.values())
    assert {row["source"] for row in shop.rows("pictures")} == names(items, good=True)
    assert all(
        (shop.root / "out/pictures" / row["file"]).stat().st_size == row["bytes"] for row in shop.rows("pictures")
    )
    assert shop.results["pictures"]["code"] == 3


def test_good_clips_drive_and_bad_ones_are_named(shop: Workshop) -> None:
    from fomaug import DrivingPool

    skipped = {failure["source"]: failure["reason"] for failure in shop.result("clips")["skipped_clips"]}
    items = shop.items["clip"]
    assert set(skipped) == {Path(name).stem for name in names(items, good=False)}
    assert all(len(reason) > 10 for reason in skipped.values())
    pool = DrivingPool.load(shop.root / "out/clips/driving.safetensors")
    assert set(pool.names) == {Path(name).stem for name in names(items, good=True)}
    assert shop.results["clips"]["code"] == 3


def _number(form: str, source: str) -> str:
    """Take the number of the item out of what names an annotation."""
    words, first = {"faces.json": ("annotation", 0), "points.csv": ("line", 2), "metadata.jsonl": ("line", 1)}.get(
        form, ("", 0)
    )
    if not words:
        return Path(source.partition(", line")[0]).stem
    found = re.search(rf"{words} (\d+)", source)
    assert found, source
    return str(int(found[1]) - first)


@pytest.mark.parametrize("form", FORMS)
def test_good_annotations_move_and_bad_ones_are_named(form: str, shop: Workshop) -> None:
    out, items = f"annotated {form}", shop.items[f"annotation in {form}"]
    by_index = {
        str(index): item for index, item in enumerate(items)
    }  # of the rows, in the order in which they are written
    named = {_number(form, failure["source"]) for failure in shop.result(out)["flawed"]}
    named = {by_index[number].name for number in named} if form in FORMS[:3] else named
    assert named == names(items, good=False)
    assert all(len(failure["reason"]) > 10 for failure in shop.result(out)["flawed"])
    rows = {Path(row["source"]).stem: row for row in shop.rows(out)}
    assert set(rows) == {item.name for item in items}, "a picture whose annotation is flawed has its copies, too"
    for name in names(items, good=True):
        assert rows[name]["annotation"] is not None or form == "masks", name
        assert form != "masks" or (shop.root / "out" / out / rows[name]["file"]).with_suffix(".mask").is_file(), name


KINDS = {
    "clip": "animate by {}",
    "file of annotations": "file of annotations {}",
    "weights": "weights {}",
    "pool": "pool {}",
    "configuration": "configuration {}",
    "manifest": "manifest {}",
}


@pytest.mark.parametrize("kind", KINDS)
def test_other_good_files_are_read_and_bad_ones_refused_by_name(kind: str, shop: Workshop) -> None:
    for item in shop.items[kind]:
        result = shop.results[KINDS[kind].format(item.name)]
        assert result["code"] == (0 if item.is_good else 2), (item.name, result["text"])
        assert item.is_good or Path(item.name).name in result["text"], (item.name, result["text"])


def test_jobs_are_not_resumed_with_broken_manifests(shop: Workshop) -> None:
    for item in shop.items["manifest"]:
        assert shop.results[f"resumed {item.name}"]["code"] == 2, item.name
