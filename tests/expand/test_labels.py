from __future__ import annotations

from pathlib import Path

import pytest

from fomaug.errors import ArgumentError, LabelError
from fomaug.expand.labels import check_policy, copy_label, parse_labels
from fomaug.expand.plan import ExpandPlan
from fomaug.expand.sources import SourceFile


@pytest.mark.parametrize(
    ("policy", "label"),
    [("keep", "anna"), ("drop", ""), ("from_clip", "smile"), ({"anna": "anne"}, "anne"), ({"*": "fake"}, "fake")],
)
def test_each_policy_gives_its_label(policy: object, label: str) -> None:
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


def test_a_label_that_leads_elsewhere_is_refused(tiny_pool) -> None:
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
def test_pairs_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ArgumentError, match="OLD=NEW"):
        parse_labels(text)
