from __future__ import annotations

import dataclasses
import json

import pytest

from fomaug._errors import ArgumentError
from fomaug.augment import MotionParams

FULL = MotionParams(key="anna/1.jpg", copy=3, epoch=2, seed=7, clip="nod", label="smile", frame=5, reference=1)


def test_survives_json():
    assert MotionParams.from_dict(json.loads(json.dumps(FULL.to_dict()))) == FULL


def test_equal_values_are_equal_and_hash_alike():
    again = MotionParams.from_dict(FULL.to_dict())
    assert again == FULL
    assert hash(again) == hash(FULL)
    assert len({FULL, again, dataclasses.replace(FULL, frame=6)}) == 2


def test_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FULL.frame = 3  # type: ignore[misc]


def test_unknown_field_is_an_error_that_names_the_nearest():
    with pytest.raises(ArgumentError, match=r"'strenght'; did you mean 'strength'\?"):
        MotionParams.from_dict({"key": 1, "strenght": 0.5})


def test_key_is_needed():
    with pytest.raises(ArgumentError, match="'key'"):
        MotionParams.from_dict({"frame": 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [("frame", "3"), ("frame", True), ("skipped", 1), ("strength", None), ("reference", "first"), ("key", 1.5)],
)
def test_ill_typed_field_is_an_error(name, value):
    with pytest.raises(ArgumentError, match=name):
        MotionParams.from_dict({"key": "a", name: value})


def test_with_reference_changes_nothing_else():
    assert dataclasses.replace(FULL.with_reference(9), reference=1) == FULL
