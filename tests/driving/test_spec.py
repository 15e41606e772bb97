"""Driving pools by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from fomaug.driving import DrivingPool, is_named_pool, load_pool
from fomaug.errors import ArgumentError, PoolError


def test_pools_without_a_file_have_names(face_model) -> None:
    assert load_pool("gestures", face_model).hash == DrivingPool.gestures(face_model).hash
    assert load_pool("parametric", face_model).hash == DrivingPool.parametric(face_model).hash


def test_a_parametric_pool_accepts_ranges(face_model) -> None:
    found = load_pool("parametric yaw=-45:45 pitch=-25:25 expressions=neutral,smile count=12 seed=3", face_model)
    expected = DrivingPool.parametric(
        face_model,
        yaw_range=(-45, 45),
        pitch_range=(-25, 25),
        expressions=("neutral", "smile"),
        count=12,
        seed=3,
    )
    assert found.hash == expected.hash


def test_views_accept_angles(face_model) -> None:
    found = load_pool("views yaw=-40:40:20 pitch=-20,0,20 expressions=neutral,smile", face_model)
    expected = DrivingPool.views(
        face_model, yaw=(-40, -20, 0, 20, 40), pitch=(-20, 0, 20), expressions=("neutral", "smile")
    )
    assert found.hash == expected.hash
    assert found.has_views
    assert not load_pool("gestures", face_model).has_views


def test_a_file_whose_name_begins_like_a_pool_is_read(
    tiny_pool, tiny_model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_pool.save("gestures of mine.safetensors")
    assert load_pool("gestures of mine.safetensors", tiny_model).hash == tiny_pool.hash


def test_a_path_is_read(tiny_pool, tiny_model, tmp_path: Path) -> None:
    tiny_pool.save(tmp_path / "parametric of mine.safetensors")
    assert not is_named_pool(str(tmp_path / "parametric of mine.safetensors"))
    assert load_pool(tmp_path / "parametric of mine.safetensors", tiny_model).hash == tiny_pool.hash


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("gesturs", PoolError, "did you mean 'gestures'"),
        ("long" * 100, PoolError, "there is no 'longlong"),
        ("gestures yaw=-1:1", ArgumentError, "only parametric pools have ranges"),
        ("views zz", PoolError, "'views zz'; the words after views must be NAME=VALUE, .* 'views yaw=-40:40:20 pitch="),
        ("views yaw=0 zz", PoolError, "the words after views must be NAME=VALUE"),
        ("parametric yaw", PoolError, "after parametric must be NAME=VALUE, such as 'parametric yaw=-20:20 pitch="),
        ("views jaw=0", ArgumentError, "did you mean 'yaw'"),
        ("views yaw=0:x:2", ArgumentError, "is neither NAME=LOW:HIGH:STEP nor"),
        ("views yaw=0:10:0", ArgumentError, "is neither NAME=LOW:HIGH:STEP nor"),
        ("views yaw=40:-40:20", ArgumentError, "LOW must not be above HIGH, and STEP must be above 0"),
        ("views yaw=-80,0", ArgumentError, "yaw must be angles from -70 to 70"),
        ("views yaw=nan", ArgumentError, "yaw must be angles"),
        ("views expressions=smlie", ArgumentError, "did you mean 'smile'"),
        ("parametric yaw=-20", ArgumentError, "is not NAME=LOW:HIGH"),
        ("parametric jaw=-20:20", ArgumentError, "did you mean 'yaw'"),
    ],
)
def test_unknown_names_are_refused_with_a_hint(text: str, error: type[Exception], message: str, face_model) -> None:
    with pytest.raises(error, match=message):
        load_pool(text, face_model)
