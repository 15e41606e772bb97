from __future__ import annotations

import dataclasses
import json
import math

import pytest

from fomaug.errors import ArgumentError
from fomaug.motion import MotionParams

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


def test_settling_changes_nothing_else():
    assert dataclasses.replace(FULL.settle(9, 0.1), reference=1, strength=FULL.strength) == FULL


BOXED = dataclasses.replace(FULL, box=(1, 2, 40, 41), others=(dataclasses.replace(FULL, face=1, box=(9, 9, 50, 50)),))


def test_faces_survive_json():
    again = MotionParams.from_dict(json.loads(json.dumps(BOXED.to_dict())))
    assert again == BOXED
    assert hash(again) == hash(BOXED)
    assert [face.face for face in again.faces] == [0, 1]


def test_rows_written_before_there_were_faces_are_read():
    old = {name: value for name, value in FULL.to_dict().items() if name not in ("face", "box", "others")}
    assert MotionParams.from_dict(old) == FULL


@pytest.mark.parametrize("box", [[1, 2, 3], [1.5, 2, 3, 4], "1234", [True, 2, 3, 4]])
def test_a_box_is_four_whole_numbers(box):
    with pytest.raises(ArgumentError, match="box"):
        MotionParams.from_dict({"key": "a", "box": box})


def test_an_ill_typed_face_within_is_an_error():
    with pytest.raises(ArgumentError, match="strength"):
        MotionParams.from_dict({"key": "a", "others": [{"key": "a", "strength": "much"}]})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["key"], "must be a mapping of their fields, got"),
        ({"key": "a", "others": [5]}, "must be a mapping of their fields, got 5"),
        ({"key": "a", "others": [{"key": "a", "others": [{"key": "a"}]}]}, "further faces .* have no others"),
        ({"key": "a", "strength": math.inf}, "'strength' must be a finite number"),
        ({"key": "a", "strength": math.nan}, "'strength' must be a finite number"),
        ({"key": "a", "strength": 10**400}, "'strength' must be a finite number"),
        ({"key": "a", "frame": -(10**400)}, "'frame' must be a finite number"),
        ({"key": "a", "reference": 10**5000}, "'reference' must be a finite number"),
        ({"key": "a", "box": [0, 0, 10**400, 1]}, "'box' must be 4 whole numbers"),
    ],
)
def test_impossible_motion_parameters_are_errors(values, message):
    with pytest.raises(ArgumentError, match=message):
        MotionParams.from_dict(values)


def test_keys_and_seeds_may_be_of_any_size():
    assert MotionParams.from_dict({"key": 2**80, "seed": 2**70}).seed == 2**70
