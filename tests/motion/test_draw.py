from __future__ import annotations

import json
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pytest
import torch

from fomaug.errors import ArgumentError
from fomaug.motion import DrawSettings, MotionParams, draw

ALWAYS = DrawSettings(p=1.0)
SELECTIONS = ("diverse", "uniform", "sequence")


def test_copies_of_one_source_are_neighbours(tiny_pool):
    params = draw(tiny_pool, ALWAYS, ["a", "b"], copies=3)
    assert [(param.key, param.copy) for param in params] == [(key, copy) for key in "ab" for copy in range(3)]


@pytest.mark.parametrize("selection", SELECTIONS)
def test_draw_depends_on_neither_neighbours_nor_order_nor_number_of_copies(tiny_pool, selection):
    settings = replace(ALWAYS, selection=selection, p=0.7)
    together = draw(tiny_pool, settings, ["a", 1, "b"], copies=4, epoch=2)
    apart = {key: draw(tiny_pool, settings, [key], copies=2, epoch=2) for key in ("b", 1, "a")}
    for param in together:
        if param.copy < 2:
            assert apart[param.key][param.copy] == param


@pytest.mark.parametrize("selection", SELECTIONS)
def test_every_name_counts(tiny_pool, selection):
    settings = replace(ALWAYS, selection=selection)

    def motions(settings, key, epoch):
        return [(p.clip, p.frame, p.strength) for p in draw(tiny_pool, settings, [key], copies=6, epoch=epoch)]

    draws = [
        motions(settings, "1", 0),
        motions(settings, 1, 0),
        motions(settings, "1", 1),
        motions(replace(settings, seed=1), "1", 0),
    ]
    assert all(a != b for i, a in enumerate(draws) for b in draws[:i])


def test_another_pool_gives_another_draw(tiny_pool):
    smaller = tiny_pool.select("nod", "smile")
    first, second = (draw(pool, ALWAYS, ["a"], copies=6) for pool in (tiny_pool, smaller))
    assert [p.strength for p in first] != [p.strength for p in second]
    assert {p.clip for p in second} <= {"nod", "smile"}


def test_params_are_plain_json(tiny_pool):
    for param in draw(tiny_pool, ALWAYS, [np.int64(3)], copies=3):
        assert json.loads(json.dumps(param.to_dict())) == param.to_dict()


def test_params_name_what_they_were_drawn_from(tiny_pool):
    param = draw(tiny_pool, replace(ALWAYS, seed=4), ["a"], epoch=3)[0]
    track = tiny_pool[param.clip]
    assert (param.clip_hash, param.label, param.driver) == (track.clip_hash, track.label, track.driver)
    assert (param.pool_hash, param.model_hash) == (tiny_pool.hash, tiny_pool.model_hash)
    assert (param.seed, param.epoch) == (4, 3)


def test_p_is_the_share_of_copies_that_move(tiny_pool):
    params = draw(tiny_pool, replace(ALWAYS, p=0.3, selection="uniform"), range(2000))
    assert abs(np.mean([not param.skipped for param in params]) - 0.3) < 0.03


def test_p_zero_skips_all_and_names_no_motion(tiny_pool):
    for param in draw(tiny_pool, replace(ALWAYS, p=0.0), range(20), copies=2):
        assert (param.skipped, param.clip, param.strength) == (True, "", 0.0)


def test_a_lower_p_only_skips_more(tiny_pool):
    often, seldom = (draw(tiny_pool, replace(ALWAYS, p=p), range(50), copies=2) for p in (0.9, 0.4))
    for param, rarer in zip(often, seldom, strict=True):
        assert rarer.skipped or rarer == param


def test_strength_fills_its_range(tiny_pool):
    settings = replace(ALWAYS, strength_range=(0.2, 0.6), selection="uniform")
    strengths = [param.strength for param in draw(tiny_pool, settings, range(500))]
    assert 0.2 <= min(strengths) < 0.22
    assert 0.58 < max(strengths) <= 0.6


def test_a_sequence_keeps_clip_and_strength(tiny_pool):
    settings = replace(ALWAYS, selection="sequence", p=0.5)
    for key in range(20):
        params = draw(tiny_pool, settings, [key], copies=5)
        assert len({(param.clip, param.strength, param.skipped) for param in params}) == 1
        assert all(param.skipped or param.reference == "closest" for param in params)


@pytest.mark.parametrize(("reference", "expected"), [("closest", "moving"), ("first", 0), (5, 5), (99, 11)])
def test_reference_is_settled_where_it_can_be(tiny_pool, reference, expected):
    assert draw(tiny_pool, replace(ALWAYS, reference=reference), ["a"])[0].reference == expected


@pytest.mark.parametrize("key", [True, 1.5, None, b"a"])
def test_a_key_is_a_name_or_a_number(tiny_pool, key):
    with pytest.raises(ArgumentError, match="key"):
        draw(tiny_pool, ALWAYS, [key])


def test_copies_start_at_one(tiny_pool):
    with pytest.raises(ArgumentError, match="copies must be 1 or more, got 0"):
        draw(tiny_pool, ALWAYS, ["a"], copies=0)


@pytest.mark.parametrize("keys", ["faces/1.jpg", b"a", 3, None])
def test_keys_are_a_list(tiny_pool, keys):
    with pytest.raises(ArgumentError, match="keys must be a list with the name of each image, got"):
        draw(tiny_pool, ALWAYS, keys)


def test_a_path_as_key_is_an_error_that_names_the_remedy(tiny_pool):
    with pytest.raises(ArgumentError, match=r"got PurePosixPath\('a'\) of type PurePosixPath; use str\(path\)"):
        draw(tiny_pool, ALWAYS, [PurePosixPath("a")])


@pytest.mark.parametrize("argument", ["copies", "epoch", "face"])
@pytest.mark.parametrize("value", [1.5, "1", None, True])
def test_numbers_of_a_draw_are_whole(tiny_pool, argument, value):
    with pytest.raises(ArgumentError, match=f"{argument} must be .*, got {value!r}"):
        draw(tiny_pool, ALWAYS, ["a"], **{argument: value})


def test_numbers_of_numpy_and_torch_draw_like_those_of_python_and_become_json(tiny_pool):
    settings = replace(
        ALWAYS,
        p=np.float32(1),
        seed=np.int64(3),
        reference=torch.tensor(2),
        strength_range=np.array([0.25, 0.5]),
        yaw_range=np.array([-90, 90]),
    )
    expected = replace(ALWAYS, seed=3, reference=2, strength_range=(0.25, 0.5), yaw_range=(-90, 90))
    params = draw(tiny_pool, settings, ["a"], copies=np.int64(2), epoch=np.int64(1), face=np.int64(1))
    assert params == draw(tiny_pool, expected, ["a"], copies=2, epoch=1, face=1)
    assert [MotionParams.from_dict(json.loads(json.dumps(param.to_dict()))) for param in params] == params
